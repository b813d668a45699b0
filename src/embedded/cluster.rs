//! PostgreSQL's cluster on disk and its socket directory.
//!
//! Purpose: create the cluster so that a kill leaves nothing half made, clear away what an earlier run left,
//! and make a socket directory that nobody else can enter or has planted.
//!
//! Must not know: how the server is started or watched.
//!
//! Why: each of these is a way in which a start after a crash goes wrong: half a cluster, a recorded process
//! id that is somebody else's now, a backend that still runs, a stale socket.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::account::{self, Account};
use super::binaries::{PostgresBinaries, leading_number};
use super::data_dir::{DataDir, ServerLog, remove_if_there, short_hash};
use super::error::EmbeddedError;
use super::postgres::Tuning;
use super::process::{self, Step};
use super::supervisor::Orders;
use super::wire::{PORT, USER};

/// Longest `initdb`; it takes about a second, and a few more on a slow disk.
const INITDB_TIMEOUT: Duration = Duration::from_secs(300);
/// How a server of an earlier run is ended: an orderly stop, an immediate one, and the last resort.
const END_LEFTOVER: [Step; 3] = [
    (Signal::SIGINT, Duration::from_secs(60)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];
/// How long orphaned backends get to end before the server is started (and may refuse, to be tried again).
const ORPHANS_TIMEOUT: Duration = Duration::from_secs(2);
const ORPHANS_POLL: Duration = Duration::from_millis(20);
/// Where socket directories go, best first: only root can write to the first, so nobody can plant one there.
const SOCKET_PARENTS: [&str; 2] = ["/run", "/tmp"];
/// Longest socket directory: a socket's path ends at 107 bytes on Linux and 103 on macOS, its file included.
const SOCKET_DIR_MAX_BYTES: usize = 80;

/// The major version that made the cluster; `None` when there is no cluster yet.
pub(super) fn major_of(cluster: &Path) -> Result<Option<u32>, EmbeddedError> {
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(text) => {
            let not_a_cluster = || EmbeddedError::NotACluster { path: cluster.to_path_buf() };
            leading_number(text.trim()).map(Some).ok_or_else(not_a_cluster)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An empty directory is what a volume mounted here looks like, and is ours to fill.
            let empty = fs::read_dir(cluster).map_or(!cluster.exists(), |mut entries| entries.next().is_none());
            if empty { Ok(None) } else { Err(EmbeddedError::NotACluster { path: cluster.to_path_buf() }) }
        }
        Err(error) => Err(EmbeddedError::path("read", &cluster.join("PG_VERSION"))(error)),
    }
}

/// Makes the cluster in a directory beside its place and renames it there once it is whole and on disk.
pub(super) fn create(
    data: &DataDir,
    cluster: &Path,
    binaries: &PostgresBinaries,
    tuning: Tuning,
    log: &ServerLog,
    orders: &Orders,
) -> Result<(), EmbeddedError> {
    let unfinished = cluster.with_extension("unfinished");
    remove_unfinished(cluster)?;
    data.private_dir(&unfinished)?;
    let mut initdb = process::command(&binaries.program("initdb"), data.account(), Signal::SIGKILL);
    initdb.arg("-D").arg(&unfinished).args(["-U", USER]);
    initdb.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--data-checksums"]);
    if tuning == Tuning::Ephemeral {
        initdb.arg("--no-sync");
    }
    initdb.stdout(log.handle()?).stderr(log.handle()?);
    tracing::info!(major = binaries.major, dir = %cluster.display(), "creating the private PostgreSQL cluster");
    let from = log.end();
    match process::run(&mut initdb, INITDB_TIMEOUT, || orders.stop_asked())? {
        Some(status) if status.success() => {}
        Some(status) => {
            let detail = complaint(&log.since(from), "initdb: error:");
            let status = status.to_string();
            return Err(EmbeddedError::Failed { program: "initdb", status, detail, log: log.path.clone() });
        }
        None if orders.stop_asked() => return Err(EmbeddedError::Cancelled { program: "initdb" }),
        None => {
            let seconds = INITDB_TIMEOUT.as_secs();
            return Err(EmbeddedError::TimedOut { program: "initdb", seconds, log: log.path.clone() });
        }
    }
    // rename(2) replaces an empty directory, which is all that can be there.
    fs::rename(&unfinished, cluster).map_err(EmbeddedError::path("create", cluster))?;
    let synced = File::open(data.path()).and_then(|dir| dir.sync_all());
    synced.map_err(EmbeddedError::path("sync", data.path()))
}

/// Removes what a killed creation left.
pub(super) fn remove_unfinished(cluster: &Path) -> Result<(), EmbeddedError> {
    let unfinished = cluster.with_extension("unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EmbeddedError::path("remove", &unfinished)(error)),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Ends a server that an earlier run left. We hold the directory's lock, so it is nobody's.
pub(super) fn end_leftovers(data: &DataDir, cluster: &Path) -> Result<(), EmbeddedError> {
    let pid = PidFile::read(cluster).map(|file| file.pid).filter(|pid| process::exists(*pid));
    if let Some(pid) = pid.filter(|pid| process::is_running(*pid, "postgres", cluster)) {
        tracing::warn!(pid, "stopping a private PostgreSQL that an earlier run left");
        if !process::end_leftover(pid, "postgres", cluster, &END_LEFTOVER) {
            return Err(EmbeddedError::Undying { program: "postgres", pid });
        }
    }
    let alone = end_orphans(data);
    // An id that is somebody else's now: the server is long gone, but PostgreSQL cannot tell and would refuse to
    // start for as long as that process lives. In doubt the record stays, and PostgreSQL has the last word:
    // without it, it could not notice a backend that still runs.
    if alone && pid.is_some_and(|pid| process::is_stranger(pid, "postgres", cluster)) {
        let record = cluster.join("postmaster.pid");
        remove_if_there(&record).map_err(EmbeddedError::path("remove", &record))?;
    }
    Ok(())
}

/// Ends backends whose server was killed; true once there are none. They notice by themselves when idle, but one
/// in the middle of a long statement goes on, and PostgreSQL starts no new server beside it.
pub(super) fn end_orphans(data: &DataDir) -> bool {
    let mark = mark(data);
    let begun = Instant::now();
    loop {
        let orphans = process::marked("postgres", &mark);
        if orphans.is_empty() {
            return true;
        }
        if begun.elapsed() > ORPHANS_TIMEOUT {
            return false;
        }
        for pid in orphans {
            process::send(pid, Signal::SIGQUIT);
        }
        thread::sleep(ORPHANS_POLL);
    }
}

/// The cluster's name, which PostgreSQL puts into every process title: how its orphans are recognised.
pub(super) fn mark(data: &DataDir) -> String {
    let uid = uid_of(data.account());
    let hash = short_hash(&[data.path().as_os_str().as_encoded_bytes(), &uid.to_be_bytes()]);
    format!("credit-approval-{hash}")
}

/// What a start needs of a cluster that exists: its owner and a mode PostgreSQL accepts.
pub(super) fn repair(cluster: &Path, account: Option<&Account>) -> Result<(), EmbeddedError> {
    account::give_tree(cluster, account)?;
    let mode = fs::metadata(cluster).map_err(EmbeddedError::path("read", cluster))?.mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(cluster, PermissionsExt::from_mode(0o700))
            .map_err(EmbeddedError::path("close", cluster))?;
    }
    Ok(())
}

/// What PostgreSQL records about its running server in `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    pub(super) socket_dir: Option<PathBuf>,
    pub(super) ready: bool,
}

impl PidFile {
    /// Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let socket_dir = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
        let ready = lines.nth(2).is_some_and(|line| line.trim() == "ready");
        Some(Self { pid, socket_dir, ready })
    }

    pub(super) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }
}

/// The cluster's socket directory, empty and the account's alone.
///
/// It is not under the data directory because a socket's path is short (107 bytes) and a data directory's may
/// not be, and because shared folders of virtual machines take files but no sockets.
pub(super) fn socket_dir(data: &DataDir) -> Result<PathBuf, EmbeddedError> {
    let mark = mark(data);
    let mut places: Vec<PathBuf> = SOCKET_PARENTS.iter().map(|parent| Path::new(parent).join(&mark)).collect();
    let inside = data.path().join("run");
    if inside.as_os_str().len() <= SOCKET_DIR_MAX_BYTES {
        places.push(inside);
    }
    for place in &places {
        match make_socket_dir(place, data) {
            Ok(()) => return Ok(place.clone()),
            // No such parent, or not ours to write to: the next one.
            Err(EmbeddedError::Io { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(EmbeddedError::NoSocketDir { tried: tried.join(", ") })
}

/// Makes this very directory, or clears it if it is there: at every restart too, as a cleaner of temporary
/// files may have taken it meanwhile.
pub(super) fn make_socket_dir(place: &Path, data: &DataDir) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(place) {
        Ok(()) => account::give(place, data.account()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => reuse(place, data.account()),
        Err(error) => Err(EmbeddedError::path("create", place)(error)),
    }
}

/// Takes over a socket directory of an earlier run, if it really is one: a directory, no link, and of the
/// account (or ours, from a start that was killed before it was handed over).
fn reuse(place: &Path, account: Option<&Account>) -> Result<(), EmbeddedError> {
    let uid = uid_of(account);
    let found = fs::symlink_metadata(place).map_err(EmbeddedError::path("read", place))?;
    if !found.is_dir() || (found.uid() != uid && found.uid() != geteuid().as_raw()) {
        return Err(EmbeddedError::SocketDirTaken { path: place.to_path_buf() });
    }
    fs::set_permissions(place, PermissionsExt::from_mode(0o700)).map_err(EmbeddedError::path("close", place))?;
    account::give(place, account)?;
    clear_socket_dir(place).map_err(EmbeddedError::path("clear", place))
}

fn uid_of(account: Option<&Account>) -> u32 {
    account.map_or(geteuid().as_raw(), |account| account.uid)
}

/// Removes the socket and its lock, which names a process id that may be somebody else's by now.
fn clear_socket_dir(place: &Path) -> io::Result<()> {
    remove_if_there(&place.join(format!(".s.PGSQL.{PORT}")))?;
    remove_if_there(&place.join(format!(".s.PGSQL.{PORT}.lock")))
}

/// Removes the socket directory after the server has ended; left-over files are better than a failed stop.
pub(super) fn remove_socket_dir(place: &Path) {
    if let Err(error) = clear_socket_dir(place).and_then(|()| fs::remove_dir(place)) {
        tracing::debug!(dir = %place.display(), %error, "socket directory stays");
    }
}

/// The last line of a log with `mark` in it, without what stands before; else the last line there is.
pub(super) fn complaint(log: &str, mark: &str) -> String {
    let marked = log.lines().rev().find_map(|line| line.split_once(mark)).map(|(_, text)| text);
    let last = || log.lines().rev().find(|line| !line.trim().is_empty());
    marked.or_else(last).map_or_else(|| "it said nothing".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{PidFile, complaint};
    use std::path::PathBuf;

    #[test]
    fn a_pid_file_is_read_at_every_stage_of_a_start() {
        let full = "4242\n/data/postgres\n1700000000\n5432\n/run/x\n\n  5432001    131072\nready   \n";
        let socket_dir = Some(PathBuf::from("/run/x"));
        assert_eq!(PidFile::parse(full), Some(PidFile { pid: 4242, socket_dir: socket_dir.clone(), ready: true }));
        let starting = full.replace("ready   ", "starting");
        assert_eq!(PidFile::parse(&starting), Some(PidFile { pid: 4242, socket_dir, ready: false }));
        assert_eq!(PidFile::parse("4242\n"), Some(PidFile { pid: 4242, socket_dir: None, ready: false }));
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("garbage"), None);
    }

    #[test]
    fn the_last_complaint_is_the_one_that_counts() {
        let log = "LOG:  starting\n2024 [7] FATAL:  first\n2024 [7] FATAL:  second\n2024 [7] LOG:  down\n";
        assert_eq!(complaint(log, "FATAL:"), "second");
        assert_eq!(complaint("only this\n\n", "FATAL:"), "only this");
        assert_eq!(complaint("", "FATAL:"), "it said nothing");
    }
}
