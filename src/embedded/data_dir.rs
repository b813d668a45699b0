//! The data directory: where it is, who owns it, and the files in it that both servers need.
//!
//! Purpose: settle on a directory, lock it, and open logs and private files under it.
//!
//! Must not know: what the servers do with it.
//!
//! Why: two owners of one directory would each take the other's servers for leftovers of a crash and stop
//! them. The lock (flock) is the kernel's, so it is free the moment its owner dies, however it dies.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::account::{self, Account};
use super::error::EmbeddedError;

/// Where the default directory goes when it is root's alone.
const FALLBACK_PARENT: &str = "/var/lib/credit-approval";
/// A log longer than this is started afresh at the next start.
const LOG_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// How much of a log is searched for the reason of a failure.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// The exclusive owner of a data directory, for as long as it or a server started on it lives.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    moved_from: Option<PathBuf>,
    account: Option<Account>,
    /// Shared with the servers' threads, so that the directory stays ours until the last of them has ended.
    _lock: Arc<File>,
}

impl DataDir {
    /// Claims `path`, creating it if need be. `explicit`: somebody asked for this very path, so it is never
    /// swapped for another one.
    ///
    /// Fails with [`EmbeddedError::Busy`] when another live process owns it, and with
    /// [`EmbeddedError::Unreachable`] when we are root and the servers' account cannot get there; a default
    /// path is moved under `/var/lib` in that case, see [`DataDir::moved_from`].
    pub fn claim(path: &Path, explicit: bool) -> Result<Self, EmbeddedError> {
        let wanted = std::path::absolute(path).map_err(EmbeddedError::path("resolve", path))?;
        let (place, account) = settle(&wanted, explicit)?;
        create(&place, account.is_some())?;
        let path = place.canonicalize().map_err(EmbeddedError::path("resolve", &place))?;
        if path.to_str().is_none() {
            return Err(EmbeddedError::NotUtf8 { path });
        }
        let lock = lock(&path, account.as_ref())?;
        let moved_from = (place != wanted).then_some(wanted);
        Ok(Self { path, moved_from, account, _lock: Arc::new(lock) })
    }

    /// The directory in effect: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The default that could not be used, when the directory in effect is another.
    pub fn moved_from(&self) -> Option<&Path> {
        self.moved_from.as_deref()
    }

    /// Whom the servers run as, when not as ourselves.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// PostgreSQL's cluster under a data directory.
    pub(super) fn cluster_in(data_dir: &Path) -> PathBuf {
        data_dir.join("postgres")
    }

    /// Where a claim of `path` would (or did) end up, for those who only want to look.
    pub(super) fn candidates(path: &Path, explicit: bool) -> Vec<PathBuf> {
        let fallback = (!explicit).then(fallback).and_then(Result::ok);
        std::iter::once(path.to_path_buf()).chain(fallback).collect()
    }

    /// Opens a server's log for appending, afresh if it has grown too long.
    pub(super) fn open_log(&self, name: &str) -> Result<ServerLog, EmbeddedError> {
        let path = self.path.join(name);
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            if file.metadata()?.len() > LOG_KEPT_BYTES {
                file.set_len(0)?;
            }
            Ok(file)
        };
        let file = open().map_err(EmbeddedError::path("open", &path))?;
        account::give(&path, self.account())?;
        Ok(ServerLog { path, file })
    }

    /// Creates a directory 0700 for the servers' account, or makes an existing one so.
    pub(super) fn private_dir(&self, path: &Path) -> Result<(), EmbeddedError> {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
        made.and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(0o700)))
            .map_err(EmbeddedError::path("create", path))?;
        account::give_tree(path, self.account())
    }

    /// Writes a file 0600 for the servers' account, in place of whatever has its name: a new file renamed
    /// over the old, so that no link planted there is ever followed.
    pub(super) fn private_file(&self, path: &Path, content: &str) -> Result<(), EmbeddedError> {
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            remove_if_there(&new)?;
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
            file.write_all(content.as_bytes())
        };
        write().map_err(EmbeddedError::path("write", &new))?;
        account::give(&new, self.account())?;
        fs::rename(&new, path).map_err(EmbeddedError::path("write", path))
    }
}

/// A server's log, and what was written to it since a given moment.
#[derive(Debug)]
pub(super) struct ServerLog {
    pub(super) path: PathBuf,
    file: File,
}

impl ServerLog {
    /// A handle for a child's output.
    pub(super) fn handle(&self) -> Result<File, EmbeddedError> {
        self.file.try_clone().map_err(EmbeddedError::path("share", &self.path))
    }

    /// Where the log ends now; 0 when it cannot be told.
    pub(super) fn end(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    /// What was written since `from`, its last part at most; empty when it cannot be read.
    pub(super) fn since(&self, from: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let start = from.max(self.end().saturating_sub(LOG_TAIL_BYTES));
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }
}

/// The first 12 hexadecimal digits of the SHA-256 of `parts`: short enough for a socket's path.
pub(super) fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Removes a file; that there is none is fine.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// The directory to use for `wanted`, and the account that goes with it.
fn settle(wanted: &Path, explicit: bool) -> Result<(PathBuf, Option<Account>), EmbeddedError> {
    let Some(account) = account_for(wanted)? else { return Ok((wanted.to_path_buf(), None)) };
    let blocked_at = account.blocked_at(wanted);
    if explicit {
        return match blocked_at {
            Some(blocked_at) => Err(EmbeddedError::Unreachable { account: account.name, blocked_at }),
            None => Ok((wanted.to_path_buf(), Some(account))),
        };
    }
    let fallback = fallback()?;
    // A directory that once had to move stays moved, or its data would seem lost when the permissions on the
    // way to the default change.
    let moved_before = has_cluster(&fallback) && !has_cluster(wanted);
    if blocked_at.is_none() && !moved_before {
        return Ok((wanted.to_path_buf(), Some(account)));
    }
    let account = account_for(&fallback)?;
    Ok((fallback, account))
}

fn account_for(data_dir: &Path) -> Result<Option<Account>, EmbeddedError> {
    Account::for_servers(data_dir, &DataDir::cluster_in(data_dir))
}

fn has_cluster(data_dir: &Path) -> bool {
    DataDir::cluster_in(data_dir).join("PG_VERSION").exists()
}

/// One fallback per working directory, so that two checkouts do not meet in one database.
fn fallback() -> Result<PathBuf, EmbeddedError> {
    let here = std::env::current_dir().map_err(EmbeddedError::io("tell the working directory"))?;
    let here = here.canonicalize().unwrap_or(here);
    Ok(Path::new(FALLBACK_PARENT).join(short_hash(&[here.as_os_str().as_encoded_bytes()])))
}

/// Creates the directory and those above it: open to traversal for an account other than ours, else ours alone.
fn create(path: &Path, for_account: bool) -> Result<(), EmbeddedError> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    missing.reverse();
    for dir in missing {
        let mode = if for_account || dir != path { 0o755 } else { 0o700 };
        let made = match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // The mode is set, not asked for, because a root's umask of 077 would lock the account out.
            made => made.and_then(|()| fs::set_permissions(dir, PermissionsExt::from_mode(mode))),
        };
        made.map_err(EmbeddedError::path("create", dir))?;
    }
    Ok(())
}

fn lock(data_dir: &Path, account: Option<&Account>) -> Result<File, EmbeddedError> {
    let path = data_dir.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o644).open(&path);
    let mut file = opened.map_err(EmbeddedError::path("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let pid = if holder.trim().is_empty() { "?" } else { holder.trim() };
            return Err(EmbeddedError::Busy { path: data_dir.to_path_buf(), pid: pid.to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(EmbeddedError::path("lock", &path)(error)),
    }
    let record = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    record.map_err(EmbeddedError::path("write", &path))?;
    account::give(&path, account)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{DataDir, EmbeddedError, short_hash};

    #[test]
    fn a_hash_is_short_and_tells_its_parts_apart() {
        assert_eq!(short_hash(&[b"a", b"b"]).len(), 12);
        assert_ne!(short_hash(&[b"ab"]), short_hash(&[b"a", b"b"]));
        assert_eq!(short_hash(&[b"a"]), short_hash(&[b"a"]));
    }

    #[test]
    fn a_second_claim_names_the_owner_and_a_dropped_claim_frees() -> Result<(), EmbeddedError> {
        let top = std::env::temp_dir().join(format!("credit-approval-claim-{}", std::process::id()));
        let first = DataDir::claim(&top, true)?;
        let second = DataDir::claim(&top, true);
        assert!(matches!(second, Err(EmbeddedError::Busy { ref pid, .. }) if *pid == std::process::id().to_string()));
        drop(first);
        let third = DataDir::claim(&top, true);
        let freed = third.is_ok();
        drop(third);
        std::fs::remove_dir_all(&top).map_err(EmbeddedError::path("remove", &top))?;
        assert!(freed);
        Ok(())
    }
}
