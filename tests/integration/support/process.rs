//! The program as a process of its own: a command that runs to its end, or a service with one role.

use std::process::{Output, Stdio};

use credit_approval::config::Serve;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::wait::PATIENCE;

/// What the environment may name, and no test means.
const OF_THE_ENVIRONMENT: [&str; 13] = [
    "DATABASE_URL",
    "READ_DATABASE_URL",
    "NATS_URL",
    "DATA_DIR",
    "HTTP_ADDR",
    "ROLES",
    "POLICY",
    "POLICIES_DIR",
    "BUSINESS_UTC_OFFSET",
    "RESTORE_LEAVE_UNUSED",
    "PERF_CHECK_SLOW_MS",
    "PERF_CHECK_LONG_TRANSACTION",
    "PERF_CHECK_FAIL_ON",
];

/// The program, on nothing that the environment names; killed with the test.
pub(crate) fn binary() -> Command {
    let mut binary = Command::new(env!("CARGO_BIN_EXE_credit-approval"));
    for variable in OF_THE_ENVIRONMENT {
        binary.env_remove(variable);
    }
    binary.stdin(Stdio::null()).kill_on_drop(true);
    binary
}

/// The program on a service's databases, and on nothing else.
pub(crate) fn program(config: &Serve) -> Command {
    let url = config.store.database_url.as_ref().expect("tests name a database");
    let mut program = binary();
    program.env("DATABASE_URL", url).env("RUST_LOG", "warn");
    program
}

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) complained: String,
}

/// Runs a command of the command line to its end.
pub(crate) async fn run(config: &Serve, arguments: &[&str]) -> Ran {
    let mut program = program(config);
    let ended = tokio::time::timeout(PATIENCE, program.args(arguments).output()).await;
    let Output { status, stdout, stderr } = ended.expect("the command ends").expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: status.code(), said: text(stdout), complained: text(stderr) }
}

/// A process of the product with one role, on a test's servers; killed with the test.
pub(crate) struct RoleProcess {
    child: Child,
    // Held so that the process can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl RoleProcess {
    /// Up: it has started its workers, and those have caught up where it has any.
    pub(crate) async fn start(config: &Serve, role: &str) -> Self {
        let mut command = program(config);
        command.args(["serve", "--roles", role, "--http-addr", "127.0.0.1:0", "--database-connections", "8"]);
        command.arg("--nats-stream").arg(&config.nats_stream);
        command.arg("--nats-stream-bytes").arg(config.nats_stream_bytes.to_string());
        if let Some(url) = &config.nats_url {
            command.arg("--nats-url").arg(url);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let says = async {
            while let Some(line) = output.next_line().await.unwrap() {
                if line.starts_with("fan-out ") {
                    return;
                }
            }
            panic!("a process with role {role} ended before it had started");
        };
        tokio::time::timeout(PATIENCE, says).await.expect("the process starts");
        Self { child, _output: output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// As by `kill -9`; returns when it has ended.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}
