//! What is broken during the run: a PostgreSQL, a NATS, and two processes for each role on them, every one of which is
//! started again when it ends.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use credit_approval::embedded::{DataDir, Nats, Postgres, Tuning};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::support::Client;
use crate::support::cleanup::clean_up_afterwards;
use crate::support::keys;
use crate::support::process::{self, free_address};

/// The stream in NATS.
pub(super) const STREAM: &str = "CHAOS";
const DATABASE: &str = "chaos";
/// So small that the stream also drops messages by itself in a long run.
const STREAM_BYTES: &str = "8388608";
const PROCESSES_PER_ROLE: usize = 2;
const ROLES: [&str; 3] = ["api", "relay", "projector"];
const START_WITHIN: Duration = Duration::from_secs(120);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a process stays away after it ended.
const RESTART_MILLISECONDS: std::ops::RangeInclusive<u64> = 50..=1500;

/// Waits until this process has ended, however it has, and ends the role processes that did not end with it: each has
/// its id in a file for as long as it runs.
const CLEAN_UP: &str = r#"
cat >/dev/null
for file in "$1"/*; do
    [ -e "$file" ] && kill -KILL "$(cat "$file")" 2>/dev/null
done
"#;

/// The servers and the processes.
pub(super) struct Cluster {
    pub(super) directory: PathBuf,
    pub(super) database_url: String,
    pub(super) nats_url: Option<String>,
    /// One for each process that answers requests.
    pub(super) apis: Vec<Client>,
    postgres: Postgres,
    nats: Option<Nats>,
    processes: Vec<RoleProcess>,
    stop: CancellationToken,
}

/// A process that is started again whenever it ends.
struct RoleProcess {
    role: &'static str,
    /// 0 while there is none.
    pid: Arc<AtomicU32>,
    /// How often it ended without being killed: a start that found no database, most of all.
    ended_by_itself: Arc<AtomicU32>,
    keeper: JoinHandle<()>,
}

/// Sends a signal; a process that is gone has what it needs.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("an id of a process");
    assert!(pid > 1, "0 and below are whole groups of processes");
    let _ = kill(Pid::from_raw(pid), signal);
}

impl Cluster {
    /// Everything up, the schemas made, the APIs ready.
    pub(super) async fn start(settings: Settings, data: &DataDir) -> Self {
        let postgres = Postgres::start(data, Tuning::Ephemeral).await.expect("PostgreSQL starts");
        let nats = if Nats::installed() { Some(Nats::start(data).await.expect("NATS starts")) } else { None };
        let mut cluster = Self {
            directory: data.path().to_owned(),
            database_url: create_database(&postgres.url()).await,
            nats_url: nats.as_ref().map(Nats::url),
            apis: Vec::new(),
            postgres,
            nats,
            processes: Vec::new(),
            stop: CancellationToken::new(),
        };
        let migrated = cluster.run_to_end(&["migrate"], START_WITHIN).await;
        assert!(migrated.status.success(), "migrate: {}", String::from_utf8_lossy(&migrated.stderr));
        keys::let_in(&cluster.database_url).await;
        cluster.start_processes(settings);
        cluster.until_ready().await;
        cluster
    }

    fn start_processes(&mut self, settings: Settings) {
        let pids = self.directory.join("pids");
        fs::create_dir_all(&pids).expect("the directory is made");
        clean_up_afterwards(CLEAN_UP, &[pids.as_os_str()]);
        for role in ROLES {
            for number in 1..=PROCESSES_PER_ROLE {
                let (name, address) = (format!("{role}-{number}"), free_address());
                if role == "api" {
                    self.apis.push(Client::new(address));
                }
                let (pid, ended_by_itself) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
                let keeper = Keeper {
                    command: self.role_command(role, address, &self.log(&name)),
                    pid: Arc::clone(&pid),
                    pid_file: pids.join(&name),
                    ended_by_itself: Arc::clone(&ended_by_itself),
                    random: settings.random(&name),
                    stop: self.stop.clone(),
                };
                self.processes.push(RoleProcess { role, pid, ended_by_itself, keeper: tokio::spawn(keeper.keep()) });
            }
        }
    }

    /// The program, on the run's servers and on nothing else that the environment names.
    pub(super) fn binary(&self) -> Command {
        let mut command = process::binary();
        command.env("DATABASE_URL", &self.database_url).env("NATS_STREAM", STREAM).env("RUST_LOG", "warn");
        if let Some(url) = &self.nats_url {
            command.env("NATS_URL", url);
        }
        command
    }

    fn role_command(&self, role: &str, address: SocketAddr, log: &Path) -> RoleCommand {
        let mut command = self.binary();
        command.args(["serve", "--roles", role, "--http-addr", &address.to_string()]);
        command.args(["--visibility-timeout", "5", "--database-connections", "8"]);
        command.args(["--nats-stream-bytes", STREAM_BYTES]);
        RoleCommand { command, log: log.to_owned() }
    }

    /// Where a process's log goes.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    /// Runs one command of the program to its end.
    pub(super) async fn run_to_end(&self, arguments: &[&str], at_most: Duration) -> Output {
        let mut command = self.binary();
        let output = command.args(arguments).output();
        let ended = tokio::time::timeout(at_most, output).await;
        ended.unwrap_or_else(|_| panic!("{arguments:?} did not end")).expect("the program starts")
    }

    async fn until_ready(&self) {
        let until = Instant::now() + START_WITHIN;
        while !self.is_ready().await {
            assert!(Instant::now() < until, "the processes do not start");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether every API says that it can serve.
    pub(super) async fn is_ready(&self) -> bool {
        for api in &self.apis {
            let asked = api.request(Method::GET, "/health/ready").timeout(ANSWER_WITHIN);
            if !api.try_send(asked).await.is_ok_and(|answer| answer.status == 200) {
                return false;
            }
        }
        true
    }

    /// A connection beside those of the service.
    pub(super) async fn connect(&self) -> Option<PgConnection> {
        tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect(&self.database_url)).await.ok()?.ok()
    }

    /// PostgreSQL's process; `None` while there is none.
    pub(super) fn postgres_pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    /// NATS's process; `None` while there is none.
    pub(super) fn nats_pid(&self) -> Option<u32> {
        self.nats.as_ref().and_then(Nats::pid)
    }

    /// How many role processes there are to be.
    pub(super) fn size(&self) -> usize {
        self.processes.len()
    }

    /// A role process; `None` while it is away.
    pub(super) fn pid(&self, place: usize) -> Option<u32> {
        Some(self.processes[place].pid.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// The places of the processes of a role.
    pub(super) fn places_of(&self, role: &str) -> Vec<usize> {
        (0..self.size()).filter(|place| self.processes[*place].role == role).collect()
    }

    /// How often processes ended without being killed.
    pub(super) fn ended_by_themselves(&self) -> u32 {
        self.processes.iter().map(|process| process.ended_by_itself.load(Ordering::Relaxed)).sum()
    }

    /// Ends everything, PostgreSQL last.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for process in self.processes {
            process.keeper.await.expect("a keeper ends in order");
        }
        // One that took too long was ended by force, and nothing of it is needed any more.
        if let Some(nats) = self.nats {
            nats.stop().await.ok();
        }
        self.postgres.stop().await.ok();
    }
}

async fn create_database(url: &str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("PostgreSQL answers");
    sqlx::query(&format!("create database {DATABASE}")).execute(&mut connection).await.expect("the database is made");
    url.replace("/credit_approval?", &format!("/{DATABASE}?"))
}

/// How a role process is started, each time with its log at the end of those before.
struct RoleCommand {
    command: Command,
    log: PathBuf,
}

impl RoleCommand {
    fn spawn(&mut self) -> tokio::process::Child {
        let log = open_log(&self.log);
        self.command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts")
    }
}

/// A log, to write on.
pub(super) fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the log is opened")
}

/// Keeps one role process up.
struct Keeper {
    command: RoleCommand,
    pid: Arc<AtomicU32>,
    pid_file: PathBuf,
    ended_by_itself: Arc<AtomicU32>,
    random: ChaCha8Rng,
    stop: CancellationToken,
}

/// A process's id where others find it, for as long as it runs.
struct Noted<'a> {
    pid: &'a AtomicU32,
    file: &'a Path,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.pid.store(0, Ordering::Relaxed);
        // Its directory may be gone before it.
        fs::remove_file(self.file).ok();
    }
}

impl Keeper {
    async fn keep(mut self) {
        while !self.stop.is_cancelled() {
            let mut child = self.command.spawn();
            let pid = child.id().expect("it has just started");
            fs::write(&self.pid_file, pid.to_string()).expect("the id is written");
            self.pid.store(pid, Ordering::Relaxed);
            let noted = Noted { pid: &self.pid, file: &self.pid_file };
            let ended = self.stop.run_until_cancelled(child.wait()).await;
            let Some(ended) = ended else {
                child.kill().await.expect("it can be killed");
                return;
            };
            drop(noted);
            let killed = ended.expect("its end is known").signal() == Some(Signal::SIGKILL as i32);
            self.ended_by_itself.fetch_add(u32::from(!killed), Ordering::Relaxed);
            let pause = Duration::from_millis(self.random.random_range(RESTART_MILLISECONDS));
            self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }
}
