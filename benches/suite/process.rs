//! The program, and the limits, as processes of their own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const LISTENING: &str = "listening  http://";
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The program on a database, on nothing else that the environment names.
pub(crate) fn command(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credit-approval"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("DATABASE_URL", database_url).env("RUST_LOG", "warn").env("HTTP_ADDR", "127.0.0.1:0");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A limit on a database.
pub(crate) fn limit(name: &str, database_url: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).env("DATABASE_URL", database_url).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// What answers over HTTP.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    child: Child,
    // Held so that the process can go on printing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    /// Returns when it says where it listens.
    pub(crate) async fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("the program does not start")?;
        let mut output = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let says = async {
            while let Some(line) = output.next_line().await? {
                if let Some(address) = line.strip_prefix(LISTENING) {
                    return address.parse().context("an address");
                }
            }
            anyhow::bail!("it ended before it listened")
        };
        let address = tokio::time::timeout(START_WITHIN, says).await.context("it does not listen")??;
        Ok(Self { address, child, _output: output })
    }

    /// MiB in memory now.
    pub(crate) fn memory(&self) -> Option<f64> {
        self.child.id().and_then(|pid| memory(pid, "VmRSS:"))
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
        }
        tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.context("it does not stop")??;
        Ok(())
    }
}

/// How long a command took, and the MiB that it had in memory at most.
pub(crate) struct Ran {
    pub(crate) time: Duration,
    pub(crate) memory: Option<f64>,
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> anyhow::Result<Ran> {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("it does not start")?;
    let pid = child.id();
    let mut stderr = BufReader::new(child.stderr.take().context("it has no output")?).lines();
    let complaints = tokio::spawn(async move {
        let mut last = String::new();
        while let Ok(Some(line)) = stderr.next_line().await {
            last = line;
        }
        last
    });
    let mut peak = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = tokio::time::sleep(LOOK_EVERY) => peak = pid.and_then(|pid| memory(pid, "VmHWM:")).or(peak),
        }
    };
    let time = started.elapsed();
    anyhow::ensure!(status.success(), "{command:?}: {status}: {}", complaints.await?);
    Ok(Ran { time, memory: peak })
}

/// MiB, from Linux's account of the process; elsewhere it is not known.
fn memory(pid: u32, line: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|told| told.strip_prefix(line))?.trim().strip_suffix(" kB")?;
    kilobytes.parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
