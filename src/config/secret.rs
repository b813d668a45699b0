//! Secrets that stand in files of their own, as container platforms hand them out: no environment, no list of processes
//! and no log shows them.

use std::fmt;
use std::fs;

/// More is no address of a server.
const MAX_BYTES: u64 = 16 << 10;

/// What a file held, read once when the options were.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile(String);

impl SecretFile {
    /// The secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretFile(..)")
    }
}

/// Reads a file that holds a secret, and perhaps a line's end.
pub(super) fn secret_file(path: &str) -> Result<SecretFile, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(format!("must be a file of at most {MAX_BYTES} bytes"));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    match text.trim() {
        "" => Err("must be a file that holds something".to_owned()),
        secret => Ok(SecretFile(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_s_end_and_never_shown() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        assert!(secret_file(&path).unwrap_err().contains("holds something"));
        writeln!(file, "postgres://credit:hunter2@postgres/credit").unwrap();
        let secret = secret_file(&path).unwrap();
        assert_eq!(secret.reveal(), "postgres://credit:hunter2@postgres/credit");
        assert!(!format!("{secret:?}").contains("hunter2"));
        file.write_all(&[b'x'; 16 << 10]).unwrap();
        assert!(secret_file(&path).unwrap_err().contains("at most"));
        assert!(secret_file("/no/such/file").unwrap_err().contains("cannot be read"));
    }
}
