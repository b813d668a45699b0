//! What can go wrong with the embedded servers, each in one line an operator can act on.
//!
//! Purpose: the one error type of this folder.
//!
//! Must not know: how it is shown.
//!
//! Why: most of these are met at the very first start, by somebody who has read nothing yet: a message names
//! the path, the user or the package it is about, and the way out.

use std::path::{Path, PathBuf};

/// Why the embedded servers could not be started, kept or stopped.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The operating system refused something; the source says what.
    #[error("cannot {action}")]
    Io {
        /// What was attempted, as the rest of the sentence "cannot ...".
        action: String,
        /// The system's own error.
        #[source]
        source: std::io::Error,
    },

    /// Another live process owns the data directory.
    #[error("{} is in use by process {pid}: stop it, or set another DATA_DIR", path.display())]
    Busy {
        /// The data directory.
        path: PathBuf,
        /// The owner's process id, or `?` while it has not written it yet.
        pid: String,
    },

    /// The servers' configuration files can only name paths that are text.
    #[error("{} is not valid UTF-8: set another DATA_DIR", path.display())]
    NotUtf8 {
        /// The data directory.
        path: PathBuf,
    },

    /// Run as root, the servers' own account cannot get to the data directory.
    #[error(
        "user {account}, which PostgreSQL runs as because it refuses root, cannot enter {}: set DATA_DIR outside it (for example /var/lib/credit-approval), or run as an ordinary user",
        blocked_at.display()
    )]
    Unreachable {
        /// The account's name.
        account: String,
        /// The first directory on the way that the account may not traverse.
        blocked_at: PathBuf,
    },

    /// Run as root on a system with neither `postgres` nor `nobody`.
    #[error(
        "PostgreSQL refuses root and neither user postgres nor nobody exists: run as an ordinary user, or set DATABASE_URL"
    )]
    NoAccount,

    /// The cluster belongs to another user, and only root could act as that user.
    #[error("{} belongs to user {owner}: run as that user, or set another DATA_DIR", path.display())]
    NotOurs {
        /// The cluster's directory.
        path: PathBuf,
        /// Its owner.
        owner: String,
    },

    /// No usable PostgreSQL server programs; `found` lists those too old.
    #[error(
        "no PostgreSQL server 15 or newer found{found}: install one (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@16), or set DATABASE_URL to a running one"
    )]
    NoPostgres {
        /// Empty, or " (only 13 in ...)".
        found: String,
    },

    /// The cluster was made by a major version that is not installed.
    #[error(
        "{} was made by PostgreSQL {needed}, which is not installed (found: {found}): install PostgreSQL {needed}, or dump it there and set another DATA_DIR",
        path.display()
    )]
    WrongMajor {
        /// The cluster's directory.
        path: PathBuf,
        /// The major version the cluster needs.
        needed: u32,
        /// The major versions that are installed.
        found: String,
    },

    /// Something else lies where the cluster should be.
    #[error("{} exists and is not a PostgreSQL cluster: move it away, or set another DATA_DIR", path.display())]
    NotACluster {
        /// The cluster's directory.
        path: PathBuf,
    },

    /// The socket directory's name is taken by another user (or by something that is no directory).
    #[error("{} exists and is not ours, so it cannot be trusted with PostgreSQL's socket: remove it", path.display())]
    SocketDirTaken {
        /// The directory.
        path: PathBuf,
    },

    /// No place for a private socket directory.
    #[error("no writable place for PostgreSQL's socket directory (tried {tried})")]
    NoSocketDir {
        /// The places tried.
        tried: String,
    },

    /// `nats-server` is not installed.
    #[error(
        "no nats-server found: install it (apt-get install nats-server; brew install nats-server), or set NATS_URL"
    )]
    NoNats,

    /// A program ended instead of doing its work.
    #[error("{program} failed ({status}): {detail}; see {}", log.display())]
    Failed {
        /// `initdb`, `postgres` or `nats-server`.
        program: &'static str,
        /// Its exit status.
        status: String,
        /// The last complaint in its log.
        detail: String,
        /// The log.
        log: PathBuf,
    },

    /// PostgreSQL will not start while processes of its last run live on: they are about to end, try again.
    #[error("processes of the last run still use {}", path.display())]
    StillInUse {
        /// The cluster's directory.
        path: PathBuf,
    },

    /// The server runs and refuses us.
    #[error("{program} refuses its owner: {detail}")]
    Refused {
        /// `postgres` or `nats-server`.
        program: &'static str,
        /// What it said.
        detail: String,
    },

    /// The server did not become ready within the bound.
    #[error("{program} was not ready after {seconds} s; see {}", log.display())]
    TimedOut {
        /// `initdb`, `postgres` or `nats-server`.
        program: &'static str,
        /// The bound.
        seconds: u64,
        /// The log.
        log: PathBuf,
    },

    /// A server of an earlier run outlived every signal.
    #[error("{program} of an earlier run (process {pid}) does not end")]
    Undying {
        /// `postgres` or `nats-server`.
        program: &'static str,
        /// Its process id.
        pid: u32,
    },

    /// The server had to be ended by force; its data is safe and is recovered at the next start.
    #[error("{program} did not stop in time and was ended by force; it recovers at the next start")]
    Forced {
        /// `postgres` or `nats-server`.
        program: &'static str,
    },

    /// The start was given up by whoever asked for it.
    #[error("the start of {program} was cancelled")]
    Cancelled {
        /// `postgres` or `nats-server`.
        program: &'static str,
    },
}

impl EmbeddedError {
    /// Turns a system error into "cannot `action`", for `map_err`.
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// As [`EmbeddedError::io`], for the usual case of a verb and a path.
    pub(super) fn path(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let action = format!("{verb} {}", path.display());
        move |source| Self::Io { action, source }
    }
}
