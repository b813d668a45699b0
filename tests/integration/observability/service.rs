//! The service as a process of its own whose log is kept.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use credit_approval::config::Serve;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::Client;
use crate::support::keys;
use crate::support::process::program;
use crate::support::servers::scratch_dir;
use crate::support::wait::{PATIENCE, eventually};

/// A running process; killed with the test.
pub(super) struct Service {
    child: Child,
    client: Option<Client>,
    directory: PathBuf,
    // Held so that the process can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

impl Service {
    /// Up, with these roles and, beside the test's servers, these variables.
    pub(super) async fn start(config: &Serve, roles: &str, variables: &[(&str, &str)]) -> Self {
        let directory = scratch_dir("observed");
        let mut command = program(config);
        command.env("LOG_FORMAT", "json").env("RUST_LOG", "info").envs(variables.iter().copied());
        command.args(["serve", "--roles", roles, "--http-addr", "127.0.0.1:0", "--database-connections", "8"]);
        command.args(["--visibility-timeout", "20", "--nats-stream", &config.nats_stream]);
        command.arg("--nats-stream-bytes").arg(config.nats_stream_bytes.to_string());
        if let Some(url) = &config.nats_url {
            command.env("NATS_URL", url);
        }
        let log = File::create(directory.join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = if roles.contains("api") { "listening  http://" } else { "fan-out" };
        let says = async {
            loop {
                let line = output.next_line().await.unwrap().expect("the process ended before it had started");
                if let Some(rest) = line.strip_prefix(last) {
                    return rest.to_owned();
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, says).await.expect("the process starts");
        keys::let_in(config.store.database_url.as_ref().expect("tests name a database")).await;
        Self { child, client: said.parse().ok().map(Client::new), directory, _output: output }
    }

    /// Of the process's API.
    pub(super) fn client(&self) -> &Client {
        self.client.as_ref().expect("it has the role")
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(&mut self) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it stops");
        assert!(ended.unwrap().success());
    }

    /// Waits until it has said so.
    pub(super) async fn until_says(&self, message: &str) {
        eventually(message, async || self.lines().iter().any(|line| says(line, message))).await;
    }

    /// All that it has logged, as it stands there.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap()
    }

    /// The lines of its log, each of which is an object; but for one that is just being written.
    pub(super) fn lines(&self) -> Vec<Map<String, Value>> {
        let log = self.log();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// The lines that belong to a request.
    pub(super) fn lines_of(&self, request_id: &str) -> Vec<Map<String, Value>> {
        self.lines().into_iter().filter(|line| line.get("request_id").is_some_and(|id| id == request_id)).collect()
    }
}

/// Whether a line has that message.
pub(super) fn says(line: &Map<String, Value>, message: &str) -> bool {
    line.get("message").is_some_and(|said| said == message)
}
