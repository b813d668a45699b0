//! The program as a process of its own: a command that runs to its end, or a service with one role.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Output, Stdio};

use clap::CommandFactory;
use credit_approval::config::{Cli, Serve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::wait::PATIENCE;

/// What the environment may name, and no test means.
fn of_the_environment() -> Vec<OsString> {
    let mut commands = vec![Cli::command()];
    let mut variables = vec![OsString::from("OTEL_EXPORTER_OTLP_HEADERS")];
    while let Some(command) = commands.pop() {
        variables.extend(command.get_arguments().filter_map(|argument| argument.get_env()).map(OsStr::to_owned));
        commands.extend(command.get_subcommands().cloned());
    }
    variables
}

/// The program, on nothing that the environment names and without rate limits; killed with the test.
pub(crate) fn binary() -> Command {
    let mut binary = Command::new(env!("CARGO_BIN_EXE_credit-approval"));
    for variable in of_the_environment() {
        binary.env_remove(variable);
    }
    binary.env("RATE_LIMIT_ANONYMOUS", "0").env("RATE_LIMIT_AUTHENTICATED", "0");
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

/// An address that is free now, for a process that takes it at once.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("the listener has an address")
}

/// Waits until the service says where it listens.
pub(crate) async fn listening(child: &mut Child) -> (SocketAddr, Lines<BufReader<ChildStdout>>) {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = async {
        loop {
            let line = output.next_line().await.unwrap().expect("the service ended before it listened");
            if let Some(url) = line.strip_prefix("listening  http://") {
                return url.parse().unwrap();
            }
        }
    };
    let address = tokio::time::timeout(PATIENCE, said).await.expect("the service starts");
    (address, output)
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
    output: Lines<BufReader<ChildStdout>>,
}

impl RoleProcess {
    /// Up: it has started its workers, and those have caught up where it has any.
    pub(crate) async fn start(config: &Serve, role: &str) -> Self {
        let mut process = Self::spawn::<&str>(program(config), config, role, &[]);
        process.has_started(role).await;
        process
    }

    /// One of whichever program, with further settings, that has yet to come up.
    pub(crate) fn spawn<V: AsRef<OsStr>>(
        mut command: Command,
        config: &Serve,
        role: &str,
        settings: &[(&str, V)],
    ) -> Self {
        command.args(["serve", "--roles", role, "--database-connections", "8"]);
        command.arg("--nats-stream").arg(&config.nats_stream);
        command.arg("--nats-stream-bytes").arg(config.nats_stream_bytes.to_string());
        if let Some(url) = &config.nats_url {
            command.arg("--nats-url").arg(url);
        }
        command.env("HTTP_ADDR", "127.0.0.1:0").envs(settings.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    async fn has_started(&mut self, role: &str) {
        let says = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line.starts_with("fan-out ") {
                    return;
                }
            }
            panic!("a process with role {role} ended before it had started");
        };
        tokio::time::timeout(PATIENCE, says).await.expect("the process starts");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits until it has ended; answers whether it did so in order.
    pub(crate) async fn has_ended(&mut self) -> bool {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the process ends").expect("its end is known").success()
    }

    /// As by `kill -9`; returns when it has ended.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}
