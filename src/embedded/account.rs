//! Whom the embedded servers run as.
//!
//! Purpose: pick an unprivileged account when we are root, tell whether it can reach a directory, and hand
//! files over to it.
//!
//! Must not know: which server the account is for.
//!
//! Why: PostgreSQL refuses to run as root, and containers often are root. Reachability is checked before
//! anything is created, because PostgreSQL's own complaint ("could not access directory") names the wrong one.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use super::error::EmbeddedError;

/// Accounts to drop to, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user that the servers run as when this process is root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name, for messages.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id; supplementary groups are dropped.
    pub gid: u32,
}

impl Account {
    /// The account for servers under `data_dir`: `None` when they run as ourselves.
    ///
    /// As root it is the owner of the cluster, or of the directory, that is already there (so a directory may
    /// be used by root and by its owner in turn), else `postgres`, else `nobody`.
    pub(super) fn for_servers(data_dir: &Path, cluster: &Path) -> Result<Option<Self>, EmbeddedError> {
        if !geteuid().is_root() {
            let ours = geteuid().as_raw();
            return match owner(cluster) {
                Some(uid) if uid != ours => {
                    Err(EmbeddedError::NotOurs { path: cluster.to_path_buf(), owner: name_of(uid) })
                }
                Some(_) | None => Ok(None),
            };
        }
        let owners = [cluster, data_dir].into_iter().filter_map(owner).filter(|uid| *uid != 0);
        let by_owner = owners.into_iter().find_map(|uid| lookup(User::from_uid(Uid::from_raw(uid))));
        by_owner
            .or_else(|| UNPRIVILEGED.iter().find_map(|name| lookup(User::from_name(name))))
            .map(Some)
            .ok_or(EmbeddedError::NoAccount)
    }

    /// The outermost directory on the way to (and including) `path` that this account may not traverse.
    /// What does not exist yet is skipped: we create it so that it can be.
    pub(super) fn blocked_at(&self, path: &Path) -> Option<PathBuf> {
        let existing = path.ancestors().find_map(|a| a.canonicalize().ok())?;
        let mut way: Vec<&Path> = existing.ancestors().collect();
        way.reverse();
        way.into_iter()
            .find(|dir| fs::metadata(dir).is_ok_and(|m| !self.may_traverse(m.uid(), m.gid(), m.mode())))
            .map(Path::to_path_buf)
    }

    /// Whether a directory of this owner, group and mode lets the account through. The first class that
    /// matches decides alone, as the kernel does it: an owner without `x` is out even if others are in.
    fn may_traverse(&self, owner: u32, group: u32, mode: u32) -> bool {
        let class = match (owner == self.uid, group == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        mode & class != 0
    }
}

/// Makes `path` the account's. Without an account it is ours already.
pub(super) fn give(path: &Path, account: Option<&Account>) -> Result<(), EmbeddedError> {
    let Some(account) = account else { return Ok(()) };
    lchown(path, Some(account.uid), Some(account.gid))
        .map_err(EmbeddedError::path(&format!("hand over to user {}:", account.name), path))
}

/// As [`give`], with everything below. Only a top that is not the account's is walked: the case of a backup
/// that root has put back.
pub(super) fn give_tree(path: &Path, account: Option<&Account>) -> Result<(), EmbeddedError> {
    let Some(account) = account else { return Ok(()) };
    if owner(path) == Some(account.uid) {
        return Ok(());
    }
    let walk = |path: &Path| -> io::Result<()> {
        let mut pending = vec![path.to_path_buf()];
        while let Some(next) = pending.pop() {
            if fs::symlink_metadata(&next)?.is_dir() {
                for entry in fs::read_dir(&next)? {
                    pending.push(entry?.path());
                }
            }
            // The top last: a walk that is cut short is then walked again.
            if next != path {
                lchown(&next, Some(account.uid), Some(account.gid))?;
            }
        }
        lchown(path, Some(account.uid), Some(account.gid))
    };
    walk(path).map_err(EmbeddedError::path(&format!("hand over to user {}:", account.name), path))
}

/// The owner's user id, of the path itself if it is a link.
pub(super) fn owner(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().map(|m| m.uid())
}

fn lookup(found: nix::Result<Option<User>>) -> Option<Account> {
    let user = found.ok().flatten()?;
    Some(Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

fn name_of(uid: u32) -> String {
    lookup(User::from_uid(Uid::from_raw(uid))).map_or_else(|| uid.to_string(), |account| account.name)
}

#[cfg(test)]
mod tests {
    use super::Account;

    fn account() -> Account {
        Account { name: "somebody".to_owned(), uid: 1234, gid: 567 }
    }

    #[test]
    fn the_first_matching_class_decides_alone() {
        let account = account();
        assert!(account.may_traverse(1234, 0, 0o700));
        assert!(!account.may_traverse(1234, 0, 0o077), "an owner without x is out");
        assert!(account.may_traverse(0, 567, 0o710));
        assert!(!account.may_traverse(0, 567, 0o701), "a group without x is out");
        assert!(account.may_traverse(0, 0, 0o711));
        assert!(!account.may_traverse(0, 0, 0o750));
        assert!(!account.may_traverse(0, 0, 0o744), "r is not x");
    }

    #[test]
    fn the_outermost_closed_directory_is_named() -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let top = std::env::temp_dir().join(format!("credit-approval-blocked-{}", std::process::id()));
        let closed = top.join("closed");
        std::fs::create_dir_all(closed.join("inner"))?;
        std::fs::set_permissions(&top, PermissionsExt::from_mode(0o755))?;
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700))?;
        let blocked = account().blocked_at(&closed.join("inner").join("not").join("there"));
        let open = account().blocked_at(&top.join("not-there"));
        let canonical = closed.canonicalize()?;
        std::fs::remove_dir_all(&top)?;
        assert_eq!(blocked, Some(canonical));
        assert_eq!(open, None);
        Ok(())
    }
}
