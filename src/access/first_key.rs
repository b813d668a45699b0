//! The first key of a service that has its data to itself: whoever started it owns the data directory, and finds there a
//! key with every role.

use std::io::Write;
use std::path::{Path, PathBuf};

use sqlx::PgPool;

use super::Roles;
use super::keys::store::{Scope, add, is_empty};
use super::keys::{ApiKey, KeyName, NoRandomBytes};

const FILE: &str = "operator.key";

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// None could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomBytes),
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database refused or did not answer.
    #[error("the keys' table did not answer")]
    Store(#[from] sqlx::Error),
}

/// Makes a key with every role and writes it into the directory, readable by its owner alone, where no key was ever made.
/// Answers where it lies, if it does.
///
/// # Errors
/// [`FirstKeyError`].
pub async fn ensure(log: &PgPool, data_dir: &Path) -> Result<Option<PathBuf>, FirstKeyError> {
    let path = data_dir.join(FILE);
    if is_empty(log).await? {
        let key = ApiKey::draw()?;
        // The file first: a key that nobody has would keep the next start from making one.
        write(&path, &key.token()).map_err(|source| FirstKeyError::Write { path: path.clone(), source })?;
        add(log, &key, &Scope { name: KeyName::first(), roles: Roles::ALL, hourly_limit: None, expires_at: None })
            .await?;
    }
    Ok(path.is_file().then_some(path))
}

/// Whole or not at all, and never through what somebody else has put there.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(file, "{token}")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        write(&path, "ca_1").unwrap();
        write(&path, "ca_2").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ca_2\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
