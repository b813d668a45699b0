//! The private PostgreSQL.
//!
//! Purpose: start the server on its cluster with our settings, say when it takes connections to our database,
//! and hand out its URL.
//!
//! Must not know: tables, roles or migrations: it ends at an empty database.
//!
//! Why these settings: no TCP at all (the socket's directory is the access control, so `trust` is safe), and
//! every durability setting on, because an acknowledged command must survive the power cord. Only tests, which
//! throw the cluster away, may ask for less.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::binaries::PostgresBinaries;
use super::cluster::{self, PidFile};
use super::data_dir::{DataDir, ServerLog};
use super::error::EmbeddedError;
use super::process::{self, Step};
use super::supervisor::{self, Handle, Orders, ServerState, Service};
use super::wire::{self, PORT, Session, USER, WireError};

/// The one database of the cluster.
const DATABASE: &str = "credit_approval";
/// The database every cluster has, to create ours from.
const MAINTENANCE_DATABASE: &str = "postgres";
const LOG: &str = "postgres.log";
/// What counts statements for `perf-check`, where PostgreSQL's contributed modules are installed.
const COUNTS_STATEMENTS: &str = "pg_stat_statements";

/// Settings of every private server. Timings in the log and in the store are UTC; errors are logged without their
/// details, which quote the values of rows; nobody holds the event log back by an idle transaction for long.
const SETTINGS: [&str; 13] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "fsync=on",
    "jit=off",
    "idle_in_transaction_session_timeout=60s",
    "logging_collector=off",
    "log_error_verbosity=terse",
    "log_timezone=UTC",
    "timezone=UTC",
    "client_encoding=UTF8",
];
/// Which costs a tenth of what PostgreSQL's own method does.
const BY_LZ4: &str = "wal_compression=lz4";
const COMPRESSED: &str = "wal_compression=on";
const DURABLE: [&str; 2] = ["full_page_writes=on", "synchronous_commit=on"];
const EPHEMERAL: [&str; 5] = [
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    // Tests hold transactions open, and prepare some.
    "max_prepared_transactions=10",
    "idle_in_transaction_session_timeout=10min",
];

/// What the server promises about a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tuning {
    /// A committed transaction is on disk.
    #[default]
    Durable,
    /// A power cut may cost the cluster (a killed process does not): for tests that throw it away.
    Ephemeral,
}

/// A private PostgreSQL, kept up until [`Postgres::stop`]. Dropped without it, the server is ended at once and
/// recovers at the next start.
#[derive(Debug)]
pub struct Postgres(Handle);

impl Postgres {
    /// Starts the server of `data`'s cluster, creating both at the first start, and waits until it takes
    /// connections. Recovery after a crash is waited for (up to ten minutes). Dropping the future cancels.
    pub async fn start(data: &DataDir, tuning: Tuning) -> Result<Self, EmbeddedError> {
        Ok(Self(Handle::start(Server::new(data.clone(), tuning)?).await?))
    }

    /// The database's URL, the same for as long as this lives, restarts included.
    pub fn url(&self) -> String {
        self.0.url().to_owned()
    }

    /// The server's process id; `None` while it is being restarted.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// How the server is doing, to watch for restarts.
    pub fn state(&self) -> watch::Receiver<ServerState> {
        self.0.state()
    }

    /// Stops the server: its clients are disconnected and everything is written out. Bounded: a server that
    /// takes longer is ended by force, which is the error [`EmbeddedError::Forced`] and loses nothing.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.0.stop().await
    }
}

/// The URL of the private PostgreSQL of a data directory, if one runs now and takes connections: for commands
/// run beside `serve`. `path` and `explicit` as in [`DataDir::claim`].
pub fn running_postgres(path: &Path, explicit: bool) -> Option<String> {
    DataDir::candidates(path, explicit).into_iter().find_map(|data_dir| {
        let socket_dir = PidFile::read(&DataDir::cluster_in(&data_dir))?.socket_dir?;
        match Session::connect(&socket_dir, DATABASE) {
            Ok(_) => Some(url(&socket_dir)),
            Err(WireError::Server { code, .. }) if code == wire::TOO_MANY_CONNECTIONS => Some(url(&socket_dir)),
            Err(_) => None,
        }
    })
}

/// Port and sslmode are spelled out because clients otherwise take them from `PGPORT` and `PGSSLMODE`.
fn url(socket_dir: &Path) -> String {
    let host = percent_encoded(socket_dir.as_os_str().as_encoded_bytes());
    format!("postgres://{USER}@localhost:{PORT}/{DATABASE}?host={host}&sslmode=disable")
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// The server as its keeper sees it.
struct Server {
    data: DataDir,
    tuning: Tuning,
    cluster: PathBuf,
    log: ServerLog,
    /// Where the log ended when the server was last spawned.
    log_from: u64,
    /// Known once prepared.
    ground: Option<Ground>,
}

/// What the server stands on.
struct Ground {
    binaries: PostgresBinaries,
    socket_dir: PathBuf,
}

impl Server {
    fn new(data: DataDir, tuning: Tuning) -> Result<Self, EmbeddedError> {
        let cluster = DataDir::cluster_in(data.path());
        let log = data.open_log(LOG)?;
        Ok(Self { data, tuning, cluster, log, log_from: 0, ground: None })
    }

    fn ground(&self) -> Result<&Ground, EmbeddedError> {
        self.ground.as_ref().ok_or(EmbeddedError::Cancelled { program: Self::NAME })
    }

    /// Connects to our database, creating it if it is not there.
    fn ensure_database(&self, socket_dir: &Path) -> Result<(), WireError> {
        match Session::connect(socket_dir, DATABASE) {
            Err(WireError::Server { code, .. }) if code == wire::NO_SUCH_DATABASE => {}
            Err(WireError::Server { code, .. }) if code == wire::TOO_MANY_CONNECTIONS => return Ok(()),
            Ok(session) => {
                self.count_statements(session);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let mut session = Session::connect(socket_dir, MAINTENANCE_DATABASE)?;
        match session.execute(&format!("CREATE DATABASE {DATABASE}")) {
            Err(WireError::Server { code, .. }) if code == wire::DUPLICATE_DATABASE => Ok(()),
            other => other,
        }?;
        Session::connect(socket_dir, DATABASE).map(|session| self.count_statements(session))
    }

    /// Without it all goes on, and `perf-check` says what is missing.
    fn count_statements(&self, mut session: Session) {
        let counts = self.ground.as_ref().is_some_and(|ground| ground.binaries.has_module(COUNTS_STATEMENTS));
        if counts && let Err(error) = session.execute(&format!("CREATE EXTENSION IF NOT EXISTS {COUNTS_STATEMENTS}")) {
            tracing::debug!(%error, "statements are not counted");
        }
    }

    /// How whole pages are compressed in the write-ahead log: by LZ4 where the server was built with it.
    fn compression(&self, program: &Path) -> &'static str {
        let mut asking = process::command(program, self.data.account(), Signal::SIGKILL);
        asking.arg("-D").arg(&self.cluster).args(["-C", "wal_compression", "-c", BY_LZ4]);
        asking.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if asking.status().is_ok_and(|status| status.success()) { BY_LZ4 } else { COMPRESSED }
    }
}

impl Service for Server {
    const NAME: &'static str = "postgres";
    /// "Fast" (clients are disconnected, all is written out), then "immediate" (as a crash), then by force.
    const STOP: &'static [Step] = &[
        (Signal::SIGINT, Duration::from_secs(60)),
        (Signal::SIGQUIT, Duration::from_secs(10)),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ];

    fn prepare(&mut self, orders: &Orders) -> Result<(), EmbeddedError> {
        let major = cluster::major_of(&self.cluster)?;
        let binaries = PostgresBinaries::find(&self.cluster, major)?;
        cluster::remove_unfinished(&self.cluster)?;
        if major.is_some() {
            cluster::end_leftovers(&self.data, &self.cluster)?;
            cluster::repair(&self.cluster, self.data.account())?;
        } else {
            cluster::create(&self.data, &self.cluster, &binaries, self.tuning, &self.log, orders)?;
        }
        self.ground = Some(Ground { binaries, socket_dir: cluster::socket_dir(&self.data)? });
        Ok(())
    }

    fn spawn(&mut self) -> Result<Child, EmbeddedError> {
        // Those that remain make PostgreSQL refuse, which is tried again.
        let _ = cluster::end_orphans(&self.data);
        let ground = self.ground()?;
        cluster::make_socket_dir(&ground.socket_dir, &self.data)?;
        // An immediate shutdown when we die: the backends go with the server, at once, and recovery does the rest.
        let program = ground.binaries.program("postgres");
        let mut command = process::command(&program, self.data.account(), Signal::SIGQUIT);
        command.arg("-D").arg(&self.cluster).args(["-p", &PORT.to_string()]);
        let tuned: &[&str] = match self.tuning {
            Tuning::Durable => &DURABLE,
            Tuning::Ephemeral => &EPHEMERAL,
        };
        for setting in SETTINGS.iter().chain(tuned) {
            command.args(["-c", setting]);
        }
        command.args(["-c", self.compression(&program)]);
        if ground.binaries.has_module(COUNTS_STATEMENTS) {
            command.arg("-c").arg(format!("shared_preload_libraries={COUNTS_STATEMENTS}"));
        }
        command.arg("-c").arg(format!("cluster_name={}", cluster::mark(&self.data)));
        command.arg("-c").arg(format!("unix_socket_directories={}", ground.socket_dir.display()));
        command.stdout(self.log.handle()?).stderr(self.log.handle()?);
        let from = self.log.end();
        let child = command.spawn().map_err(EmbeddedError::path("run", &program))?;
        self.log_from = from;
        Ok(child)
    }

    fn is_ready(&mut self, pid: u32) -> Result<bool, EmbeddedError> {
        // Its own record first, as `pg_ctl` does: connections refused during a recovery would fill its log.
        if !PidFile::read(&self.cluster).is_some_and(|file| file.pid == pid && file.ready) {
            return Ok(false);
        }
        match self.ensure_database(&self.ground()?.socket_dir) {
            Ok(()) => Ok(true),
            Err(WireError::Io(_)) => Ok(false),
            Err(WireError::Server { code, .. }) if code == wire::CANNOT_CONNECT_NOW => Ok(false),
            Err(error) => Err(EmbeddedError::Refused { program: Self::NAME, detail: error.to_string() }),
        }
    }

    fn failure(&self, status: Option<ExitStatus>) -> EmbeddedError {
        let log = self.log.path.clone();
        let Some(status) = status else {
            return EmbeddedError::TimedOut { program: Self::NAME, seconds: supervisor::start_timeout_seconds(), log };
        };
        let detail = cluster::complaint(&self.log.since(self.log_from), "FATAL:");
        if detail.starts_with("pre-existing shared memory block") {
            return EmbeddedError::StillInUse { path: self.cluster.clone() };
        }
        EmbeddedError::Failed { program: Self::NAME, status: status.to_string(), detail, log }
    }

    fn url(&self) -> String {
        self.ground.as_ref().map(|ground| url(&ground.socket_dir)).unwrap_or_default()
    }

    fn clean_up(&mut self) {
        if let Some(ground) = &self.ground {
            cluster::remove_socket_dir(&ground.socket_dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::url;
    use std::path::Path;

    #[test]
    fn the_socket_directory_is_encoded_into_the_url() {
        assert_eq!(
            url(Path::new("/tmp/credit approval?&é")),
            "postgres://credit@localhost:5432/credit_approval?host=%2Ftmp%2Fcredit%20approval%3F%26%C3%A9&sslmode=disable"
        );
    }
}
