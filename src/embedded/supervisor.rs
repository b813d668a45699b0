//! The thread that keeps one server up.
//!
//! Purpose: start a server and wait until it is ready, watch it, start it again when it dies, stop it on order.
//!
//! Must not know: which server it is: that is what a [`Service`] says.
//!
//! Why a thread of its own, not a task: on Linux a server gets its death signal when the thread that spawned it
//! ends, and a runtime's blocking threads end after ten idle seconds. This thread spawns the server and then
//! waits for it, so it lives exactly as long, and if it ever panicked the server should end too. It also takes
//! blocking work (creating a cluster, asking a socket) off the runtime.
//!
//! Why poll: a wait that is interruptible by an order and safe against reused process ids would need a
//! signal handler for the whole process; looking ten times a second costs nothing measurable.

use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::error::EmbeddedError;
use super::process::{self, Step};

/// How often a running server is looked at.
const WATCH_POLL: Duration = Duration::from_millis(100);
/// How often a starting server is looked at: at first, and once it takes long.
const START_POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Longest wait for a server that is alive but not ready: recovery after a crash can be long.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a first start goes on while processes of the last run are still ending.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pauses between restarts: the first, and the longest they double up to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A server that stayed up this long has earned a quick restart again.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// What a server is to the thread that keeps it up. All calls come from that one thread.
pub(super) trait Service: Send + 'static {
    /// The program's name, for messages.
    const NAME: &'static str;
    /// The signals that stop it: the orderly one first.
    const STOP: &'static [Step];

    /// Once, before the first start: make or repair what the server needs.
    fn prepare(&mut self, orders: &Orders) -> Result<(), EmbeddedError>;
    /// Spawns the server. Called again for every restart.
    fn spawn(&mut self) -> Result<Child, EmbeddedError>;
    /// Whether the server is ready for clients; an error ends this attempt.
    fn is_ready(&mut self, pid: u32) -> Result<bool, EmbeddedError>;
    /// Why the server that was just spawned ended or is late.
    fn failure(&self, status: Option<ExitStatus>) -> EmbeddedError;
    /// Where clients find it; known once it was ready, and the same after a restart.
    fn url(&self) -> String;
    /// After the server has ended for good: remove what only it needed.
    fn clean_up(&mut self);
}

/// How a private server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Not ready for the first time yet.
    Starting,
    /// Ready for clients.
    Up {
        /// Its process id.
        pid: u32,
        /// How often it was restarted so far.
        restarts: u32,
    },
    /// It died and is being started again.
    Restarting {
        /// How often it was restarted before.
        restarts: u32,
    },
    /// It was stopped on order.
    Stopped {
        /// Whether the orderly signal sufficed.
        clean: bool,
    },
}

/// How a server is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// Somebody waits for an orderly end.
    Orderly,
    /// The handle was dropped: nobody waits.
    Abrupt,
}

/// The receiving end of a handle.
pub(super) struct Orders {
    inbox: mpsc::Receiver<Halt>,
    /// An order stays in force once it was seen, whoever saw it.
    seen: std::cell::Cell<Option<Halt>>,
}

impl Orders {
    /// Sleeps for `time`, or until an order comes.
    fn pause(&self, time: Duration) -> Option<Halt> {
        if self.seen.get().is_none() {
            self.seen.set(match self.inbox.recv_timeout(time) {
                Ok(halt) => Some(halt),
                Err(mpsc::RecvTimeoutError::Disconnected) => Some(Halt::Abrupt),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
            });
        }
        self.seen.get()
    }

    /// Whether an order to stop has come.
    pub(super) fn stop_asked(&self) -> bool {
        self.pause(Duration::ZERO).is_some()
    }
}

/// The owner's end: dropped without [`Handle::stop`], the server is ended abruptly.
#[derive(Debug)]
pub(super) struct Handle {
    orders: mpsc::Sender<Halt>,
    state: watch::Receiver<ServerState>,
    name: &'static str,
    url: String,
}

impl Handle {
    /// Starts the service's thread and waits until the server is ready for the first time. Dropping the future
    /// stops what was begun.
    pub(super) async fn start<S: Service>(service: S) -> Result<Self, EmbeddedError> {
        let (orders, inbox) = mpsc::channel();
        let (report, state) = watch::channel(ServerState::Starting);
        let (answer, answered) = oneshot::channel();
        let orders_in = Orders { inbox, seen: std::cell::Cell::new(None) };
        thread::Builder::new()
            .name(format!("keep-{}", S::NAME))
            .spawn(move || keep(service, &orders_in, &report, answer))
            .map_err(EmbeddedError::io("start a thread"))?;
        // `orders` lives across this wait: it goes away with the future, and the thread takes that as an order.
        let url = answered.await.unwrap_or(Err(EmbeddedError::Cancelled { program: S::NAME }))?;
        Ok(Self { orders, state, name: S::NAME, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn state(&self) -> watch::Receiver<ServerState> {
        self.state.clone()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            ServerState::Up { pid, .. } => Some(pid),
            ServerState::Starting | ServerState::Restarting { .. } | ServerState::Stopped { .. } => None,
        }
    }

    /// Stops the server in order. The thread bounds every step, so this ends too.
    pub(super) async fn stop(mut self) -> Result<(), EmbeddedError> {
        // A thread that is gone already needs no order.
        let _ = self.orders.send(Halt::Orderly);
        while self.state.changed().await.is_ok() {}
        let end = *self.state.borrow();
        if end == (ServerState::Stopped { clean: true }) {
            Ok(())
        } else {
            Err(EmbeddedError::Forced { program: self.name })
        }
    }
}

/// The thread's whole life.
fn keep<S: Service>(
    mut service: S,
    orders: &Orders,
    report: &watch::Sender<ServerState>,
    answer: oneshot::Sender<Result<String, EmbeddedError>>,
) {
    let begun = Instant::now();
    let mut child = match first_start(&mut service, orders) {
        Ok(child) => child,
        Err(error) => {
            service.clean_up();
            // First, because it holds the directory's lock, which a caller that hears of this may want again.
            drop(service);
            let _ = answer.send(Err(error));
            return;
        }
    };
    tracing::info!(server = S::NAME, pid = child.id(), ms = millis(begun), "private server is ready");
    let mut restarts = 0;
    report.send_replace(ServerState::Up { pid: child.id(), restarts });
    // Nobody to tell means that the handle is gone too, which the next pause sees.
    let _ = answer.send(Ok(service.url()));

    let mut backoff = BACKOFF.0;
    let mut up_since = Instant::now();
    let halt = loop {
        if let Some(halt) = orders.pause(WATCH_POLL) {
            break Some(halt);
        }
        let ended = match child.try_wait() {
            Ok(None) => continue,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(server = S::NAME, pid = child.id(), %ended, "private server died, starting it again");
        report.send_replace(ServerState::Restarting { restarts });
        if up_since.elapsed() > STEADY_AFTER {
            backoff = BACKOFF.0;
        }
        match restart(&mut service, orders, &mut backoff) {
            Some(new) => child = new,
            None => break None,
        }
        restarts += 1;
        up_since = Instant::now();
        tracing::warn!(server = S::NAME, pid = child.id(), restarts, "private server is ready again");
        report.send_replace(ServerState::Up { pid: child.id(), restarts });
    };
    let clean = halt.is_none_or(|halt| stop::<S>(&mut child, halt));
    service.clean_up();
    report.send_replace(ServerState::Stopped { clean });
}

/// The first start: the caller hears of any failure, except that processes of the last run get time to end.
fn first_start<S: Service>(service: &mut S, orders: &Orders) -> Result<Child, EmbeddedError> {
    service.prepare(orders)?;
    let begun = Instant::now();
    loop {
        let error = match attempt(service, orders) {
            Err(error @ EmbeddedError::StillInUse { .. }) if begun.elapsed() < IN_USE_TIMEOUT => error,
            other => return other,
        };
        tracing::debug!(server = S::NAME, %error, "waiting");
        if orders.pause(BACKOFF.0).is_some() {
            return Err(EmbeddedError::Cancelled { program: S::NAME });
        }
    }
}

/// Starts a server that died until it is up; `None` when the order to stop came first.
fn restart<S: Service>(service: &mut S, orders: &Orders, backoff: &mut Duration) -> Option<Child> {
    while orders.pause(*backoff).is_none() {
        *backoff = backoff.saturating_mul(2).min(BACKOFF.1);
        match attempt(service, orders) {
            Ok(child) => return Some(child),
            Err(EmbeddedError::Cancelled { .. }) => return None,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(server = S::NAME, error, "private server does not start, trying again");
            }
        }
    }
    None
}

/// One attempt: a server that is ready, or none at all.
fn attempt<S: Service>(service: &mut S, orders: &Orders) -> Result<Child, EmbeddedError> {
    let mut child = service.spawn()?;
    match until_ready(service, orders, &mut child) {
        Ok(()) => Ok(child),
        Err(error) => {
            process::end(&mut child, S::STOP);
            Err(error)
        }
    }
}

fn until_ready<S: Service>(service: &mut S, orders: &Orders, child: &mut Child) -> Result<(), EmbeddedError> {
    let begun = Instant::now();
    loop {
        let ended = child.try_wait().map_err(EmbeddedError::io(format!("wait for {}", S::NAME)))?;
        if ended.is_some() {
            return Err(service.failure(ended));
        }
        if service.is_ready(child.id())? {
            return Ok(());
        }
        let waited = begun.elapsed();
        if waited > START_TIMEOUT {
            return Err(service.failure(None));
        }
        // Slower the longer it takes: a recovery of minutes is not helped by a hundred looks a second.
        if orders.pause((waited / 20).clamp(START_POLL.0, START_POLL.1)).is_some() {
            return Err(EmbeddedError::Cancelled { program: S::NAME });
        }
    }
}

/// Stops the server; true if the orderly signal sufficed.
fn stop<S: Service>(child: &mut Child, halt: Halt) -> bool {
    let begun = Instant::now();
    let steps = match halt {
        Halt::Orderly => S::STOP,
        Halt::Abrupt => S::STOP.get(1..).unwrap_or_default(),
    };
    let ended = process::end(child, steps);
    let clean = halt == Halt::Orderly && matches!(ended, Some((0, _)));
    let status = ended.map(|(_, status)| status.to_string());
    tracing::info!(server = S::NAME, pid = child.id(), clean, status, ms = millis(begun), "private server stopped");
    clean
}

/// The bound on a start, for messages.
pub(super) const fn start_timeout_seconds() -> u64 {
    START_TIMEOUT.as_secs()
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
