//! The private NATS server.
//!
//! Purpose: start `nats-server` with JetStream on a loopback port of its own choosing, and hand out its URL.
//!
//! Must not know: streams, consumers or subjects.
//!
//! Why a port and a password: `nats-server` has no unix socket, so any local user could connect; the password
//! is drawn at every start and lies in a file only the server's account can read. Only options of 2.9 (Debian
//! 12's) are used. What JetStream stores may be lost at any time: PostgreSQL is the truth.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::sync::watch;

use super::binaries;
use super::cluster::complaint;
use super::data_dir::{DataDir, ServerLog, remove_if_there};
use super::error::EmbeddedError;
use super::process::{self, Step};
use super::supervisor::{self, Handle, Orders, ServerState, Service};

const USER: &str = "credit";
const LOG: &str = "nats.log";
const MAX_PAYLOAD_BYTES: u32 = 1024 * 1024;
const JETSTREAM_FILE_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const JETSTREAM_MEMORY_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Longest wait for the server's greeting, which it sends unasked.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest greeting read.
const GREETING_MAX_BYTES: u64 = 64 * 1024;

/// A private `nats-server`, kept up until [`Nats::stop`]. Dropped without it, the server is ended at once.
#[derive(Debug)]
pub struct Nats(Handle);

impl Nats {
    /// Whether a `nats-server` is installed.
    pub fn installed() -> bool {
        binaries::nats_server().is_some()
    }

    /// Starts the server under `data` and waits until it takes connections. Dropping the future cancels.
    pub async fn start(data: &DataDir) -> Result<Self, EmbeddedError> {
        Ok(Self(Handle::start(Server::new(data.clone())?).await?))
    }

    /// The server's URL with its credentials, the same for as long as this lives, restarts included.
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

    /// Stops the server in order, bounded; past the bound it is ended by force ([`EmbeddedError::Forced`]).
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.0.stop().await
    }
}

/// The server as its keeper sees it.
struct Server {
    data: DataDir,
    program: PathBuf,
    dir: PathBuf,
    log: ServerLog,
    log_from: u64,
    password: String,
    /// The server's choice at its first start, kept for the later ones so that clients find it again.
    port: Option<u16>,
}

impl Server {
    fn new(data: DataDir) -> Result<Self, EmbeddedError> {
        let program = binaries::nats_server().ok_or(EmbeddedError::NoNats)?;
        let log = data.open_log(LOG)?;
        let dir = data.path().join("nats");
        let password = format!("{:032x}", rand::random::<u128>());
        Ok(Self { data, program, dir, log, log_from: 0, password, port: None })
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("nats.conf")
    }

    fn pid_path(&self) -> PathBuf {
        self.dir.join("nats.pid")
    }

    fn config(&self) -> String {
        let port = self.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        format!(
            "# Written at every start: changes here are lost.\n\
             host: 127.0.0.1\n\
             port: {port}\n\
             ports_file_dir: {dir}\n\
             pid_file: {pid}\n\
             max_payload: {MAX_PAYLOAD_BYTES}\n\
             authorization {{\n  user: \"{USER}\"\n  password: \"{password}\"\n}}\n\
             jetstream {{\n  store_dir: {store}\n  max_file: {JETSTREAM_FILE_MAX_BYTES}\n  max_mem: {JETSTREAM_MEMORY_MAX_BYTES}\n}}\n",
            dir = quoted(&self.dir),
            pid = quoted(&self.pid_path()),
            password = self.password,
            store = quoted(&self.dir.join("jetstream")),
        )
    }

    /// The port the server of this process id wrote down.
    fn chosen_port(&self, pid: u32) -> Option<u16> {
        let text = fs::read_to_string(self.ports_path(pid)).ok()?;
        parse_ports(&text)
    }

    fn ports_path(&self, pid: u32) -> PathBuf {
        self.dir.join(format!("nats-server_{pid}.ports"))
    }

    fn remove_ports_files(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "ports") {
                let _ = remove_if_there(&path);
            }
        }
    }

    fn end_leftover(&self) -> Result<(), EmbeddedError> {
        let recorded = fs::read_to_string(self.pid_path()).ok();
        let Some(pid) = recorded.and_then(|text| text.trim().parse().ok()) else { return Ok(()) };
        let config = self.config_path();
        if process::is_running(pid, Self::NAME, &config) {
            tracing::warn!(pid, "stopping a private nats-server that an earlier run left");
            if !process::end_leftover(pid, Self::NAME, &config, Self::STOP) {
                return Err(EmbeddedError::Undying { program: Self::NAME, pid });
            }
        }
        Ok(())
    }
}

impl Service for Server {
    const NAME: &'static str = "nats-server";
    const STOP: &'static [Step] =
        &[(Signal::SIGINT, Duration::from_secs(15)), (Signal::SIGKILL, Duration::from_secs(5))];

    fn prepare(&mut self, _orders: &Orders) -> Result<(), EmbeddedError> {
        self.end_leftover()?;
        self.data.private_dir(&self.dir)
    }

    fn spawn(&mut self) -> Result<Child, EmbeddedError> {
        self.remove_ports_files();
        self.data.private_file(&self.config_path(), &self.config())?;
        let mut command = process::command(&self.program, self.data.account(), Signal::SIGTERM);
        command.arg("-c").arg(self.config_path());
        command.stdout(self.log.handle()?).stderr(self.log.handle()?);
        self.log_from = self.log.end();
        command.spawn().map_err(EmbeddedError::path("run", &self.program))
    }

    fn is_ready(&mut self, pid: u32) -> Result<bool, EmbeddedError> {
        let Some(port) = self.chosen_port(pid) else { return Ok(false) };
        if greets(port) {
            self.port = Some(port);
        }
        Ok(self.port.is_some())
    }

    fn failure(&self, status: Option<ExitStatus>) -> EmbeddedError {
        let log = self.log.path.clone();
        match status {
            Some(status) => {
                let detail = complaint(&self.log.since(self.log_from), "[FTL]");
                EmbeddedError::Failed { program: Self::NAME, status: status.to_string(), detail, log }
            }
            None => EmbeddedError::TimedOut { program: Self::NAME, seconds: supervisor::start_timeout_seconds(), log },
        }
    }

    fn url(&self) -> String {
        let port = self.port.unwrap_or_default();
        format!("nats://{USER}:{}@127.0.0.1:{port}", self.password)
    }

    fn clean_up(&mut self) {
        self.remove_ports_files();
        let _ = remove_if_there(&self.pid_path());
    }
}

/// Whether a NATS server with JetStream greets on the port.
fn greets(port: u16) -> bool {
    let greeting = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, GREETING_TIMEOUT)?;
        stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
        let mut line = String::new();
        BufReader::new(stream.take(GREETING_MAX_BYTES)).read_line(&mut line)?;
        Ok(line)
    };
    greeting().is_ok_and(|line| line.starts_with("INFO ") && line.contains("\"jetstream\":true"))
}

#[derive(Deserialize)]
struct PortsFile {
    nats: Vec<String>,
}

/// The port in `{"nats":["nats://127.0.0.1:4222"]}`; `None` while the file is half written.
fn parse_ports(text: &str) -> Option<u16> {
    let file: PortsFile = serde_json::from_str(text).ok()?;
    file.nats.first()?.rsplit_once(':')?.1.parse().ok()
}

/// A path as a string of NATS's configuration language. The data directory is known to be UTF-8.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::{parse_ports, quoted};
    use std::path::Path;

    #[test]
    fn ports_files_whole_and_half_written() {
        assert_eq!(parse_ports(r#"{"nats":["nats://127.0.0.1:40123"],"monitoring":[]}"#), Some(40123));
        assert_eq!(parse_ports(r#"{"nats":["nats://127.0."#), None);
        assert_eq!(parse_ports(r#"{"nats":[]}"#), None);
        assert_eq!(parse_ports(""), None);
    }

    #[test]
    fn paths_survive_the_configuration_language() {
        assert_eq!(quoted(Path::new("/a b/\"c\"\\")), "\"/a b/\\\"c\\\"\\\\\"");
    }
}
