//! What is done to the cluster while clients use it: one fault after the other, dealt from a shuffled deck so that even
//! a short run meets most kinds. Those that last overlap with those that follow.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use futures::TryStreamExt;
use nix::sys::signal::Signal;
use projections::Projection;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::cluster::{Cluster, STREAM, open_log, signal};
use super::ledger::Ledger;

const PAUSE_MILLISECONDS: std::ops::RangeInclusive<u64> = 500..=4000;
const FREEZE_NATS_MILLISECONDS: std::ops::RangeInclusive<u64> = 1000..=3000;
const FREEZE_PROJECTOR_MILLISECONDS: std::ops::RangeInclusive<u64> = 1000..=5000;
const HOLD_LOG_MILLISECONDS: std::ops::RangeInclusive<u64> = 500..=3000;
const KILL_REBUILD_MILLISECONDS: std::ops::RangeInclusive<u64> = 100..=3000;
/// The service takes a rebuild up within a second; in a small log it then takes half of one.
const CANCEL_MILLISECONDS: std::ops::RangeInclusive<u64> = 300..=1600;
const REBUILD_WITHIN: Duration = Duration::from_secs(30);
/// A fault that cannot be done in this time, as nobody answers, is not done.
const STRIKE_WITHIN: Duration = Duration::from_secs(8);
const ASK_NATS_WITHIN: Duration = Duration::from_secs(2);
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// How often a directory is removed from under a server that is coming back.
const WIPES: usize = 20;
const WIPE_AGAIN: Duration = Duration::from_millis(5);

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    KillProcess,
    KillProcesses,
    KillPostgres,
    KillNats,
    FreezeNats,
    WipeNats,
    DeleteStream,
    DeleteConsumer,
    FreezeProjector,
    CutConnection,
    HoldLog,
    StartRebuild,
    RunRebuild,
    CancelRebuild,
}

/// How often each kind took place.
pub(super) type Struck = BTreeMap<Fault, usize>;

impl Fault {
    /// Each kind, and how often it is in a deck.
    const DECK: [(Self, usize); 14] = [
        (Self::KillProcess, 4),
        (Self::KillProcesses, 1),
        (Self::KillPostgres, 2),
        (Self::KillNats, 2),
        (Self::FreezeNats, 1),
        (Self::WipeNats, 1),
        (Self::DeleteStream, 1),
        (Self::DeleteConsumer, 2),
        (Self::FreezeProjector, 2),
        (Self::CutConnection, 3),
        (Self::HoldLog, 2),
        (Self::StartRebuild, 3),
        (Self::RunRebuild, 1),
        (Self::CancelRebuild, 2),
    ];

    /// Whether it needs NATS.
    const fn is_of_nats(self) -> bool {
        matches!(self, Self::KillNats | Self::FreezeNats | Self::WipeNats | Self::DeleteStream | Self::DeleteConsumer)
    }
}

/// The one who does it.
pub(super) struct Faults {
    cluster: Arc<Cluster>,
    ledger: Arc<Ledger>,
    nats: Option<Context>,
    random: ChaCha8Rng,
    deck: Vec<Fault>,
    /// What has begun and not ended.
    lasting: JoinSet<()>,
    stop: CancellationToken,
}

impl Faults {
    /// One who has done nothing yet, and begins nothing more after `stop`.
    pub(super) async fn new(
        settings: Settings,
        cluster: &Arc<Cluster>,
        ledger: &Arc<Ledger>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            ledger: Arc::clone(ledger),
            nats: match &cluster.nats_url {
                Some(url) => Some(jetstream(url).await),
                None => None,
            },
            random: settings.random("faults"),
            deck: Vec::new(),
            lasting: JoinSet::new(),
            stop: stop.clone(),
        }
    }

    /// One fault after the other until stopped; ends when the last of them has ended.
    pub(super) async fn run(mut self) -> Struck {
        let mut struck = Struck::new();
        loop {
            let pause = self.duration(PAUSE_MILLISECONDS);
            self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            if self.stop.is_cancelled() {
                break;
            }
            let fault = self.deal();
            let done = tokio::time::timeout(STRIKE_WITHIN, self.strike(fault)).await;
            if matches!(done, Ok(true)) {
                *struck.entry(fault).or_default() += 1;
            }
        }
        while let Some(ended) = self.lasting.join_next().await {
            ended.expect("a fault ends");
        }
        struck
    }

    fn duration(&mut self, milliseconds: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(milliseconds))
    }

    fn deal(&mut self) -> Fault {
        loop {
            if let Some(fault) = self.deck.pop() {
                return fault;
            }
            let possible = Fault::DECK.into_iter().filter(|(fault, _)| self.nats.is_some() || !fault.is_of_nats());
            self.deck = possible.flat_map(|(fault, times)| std::iter::repeat_n(fault, times)).collect();
            self.deck.shuffle(&mut self.random);
        }
    }

    /// Does it, or begins it; `false` when there was nothing to do it to.
    async fn strike(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::KillProcess => self.kill_processes(1),
            Fault::KillProcesses => {
                let number = self.random.random_range(2..=self.cluster.size());
                self.kill_processes(number)
            }
            Fault::KillPostgres => kill(self.cluster.postgres_pid()),
            Fault::KillNats => kill(self.cluster.nats_pid()),
            Fault::FreezeNats => {
                let time = self.duration(FREEZE_NATS_MILLISECONDS);
                self.freeze(time, Cluster::nats_pid)
            }
            Fault::WipeNats => self.wipe_nats().await,
            Fault::DeleteStream => self.delete_stream().await,
            Fault::DeleteConsumer => self.delete_consumer().await.unwrap_or(false),
            Fault::FreezeProjector => {
                let time = self.duration(FREEZE_PROJECTOR_MILLISECONDS);
                let places = self.cluster.places_of("projector");
                let place = *places.choose(&mut self.random).expect("there are projectors");
                self.freeze(time, move |cluster| cluster.pid(place))
            }
            Fault::CutConnection => self.cut_connection().await.unwrap_or(false),
            Fault::HoldLog => self.hold_log().await,
            Fault::StartRebuild => {
                let projection = self.projection();
                self.ask_rebuild(Method::POST, projection).await
            }
            Fault::RunRebuild => self.run_rebuild(),
            Fault::CancelRebuild => self.start_and_cancel().await,
        }
    }

    fn kill_processes(&mut self, number: usize) -> bool {
        let mut places: Vec<usize> = (0..self.cluster.size()).collect();
        places.shuffle(&mut self.random);
        let killed = places.into_iter().take(number).filter(|place| kill(self.cluster.pid(*place)));
        killed.count() > 0
    }

    fn freeze(&mut self, time: Duration, pid_in: impl Fn(&Cluster) -> Option<u32> + Send + 'static) -> bool {
        let Some(pid) = pid_in(&self.cluster) else { return false };
        signal(pid, Signal::SIGSTOP);
        let cluster = Arc::clone(&self.cluster);
        self.lasting.spawn(async move {
            tokio::time::sleep(time).await;
            // One that was killed meanwhile is not there to go on.
            if pid_in(&cluster) == Some(pid) {
                signal(pid, Signal::SIGCONT);
            }
        });
        true
    }

    async fn wipe_nats(&self) -> bool {
        let stored = self.cluster.directory.join("nats/jetstream");
        let killed = kill(self.cluster.nats_pid());
        for _ in 0..WIPES {
            // While the server ends or comes back, parts of it may appear again.
            tokio::fs::remove_dir_all(&stored).await.ok();
            tokio::time::sleep(WIPE_AGAIN).await;
        }
        killed
    }

    async fn delete_stream(&self) -> bool {
        let Some(nats) = &self.nats else { return false };
        nats.delete_stream(STREAM).await.is_ok_and(|deleted| deleted.success)
    }

    async fn delete_consumer(&mut self) -> Option<bool> {
        let stream = self.nats.as_ref()?.get_stream(STREAM).await.ok()?;
        let mut names: Vec<String> = stream.consumer_names().try_collect().await.ok()?;
        names.sort_unstable();
        let name = names.choose(&mut self.random)?;
        Some(stream.delete_consumer(name).await.ok()?.success)
    }

    /// Ends one of the service's database sessions.
    async fn cut_connection(&mut self) -> Option<bool> {
        let mut connection = self.cluster.connect().await?;
        let mut pids: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where application_name = 'credit-approval' and datname = current_database()",
        )
        .fetch_all(&mut connection)
        .await
        .ok()?;
        pids.sort_unstable();
        let pid = *pids.choose(&mut self.random)?;
        sqlx::query_scalar("select pg_terminate_backend($1)").bind(pid).fetch_one(&mut connection).await.ok()
    }

    /// An appender that takes its time and commits nothing.
    async fn hold_log(&mut self) -> bool {
        let Some(connection) = self.cluster.connect().await else { return false };
        let (time, rolls_back) = (self.duration(HOLD_LOG_MILLISECONDS), self.random.random_bool(0.5));
        self.lasting.spawn(async move {
            // It may be cut off or its server killed; then it has rolled back, too.
            append_nothing(connection, time, rolls_back).await.ok();
        });
        true
    }

    fn projection(&mut self) -> Projection {
        *Projection::ALL.choose(&mut self.random).expect("there are projections")
    }

    /// A rebuild that is cancelled wherever it has come to.
    async fn start_and_cancel(&mut self) -> bool {
        let projection = self.projection();
        self.ask_rebuild(Method::POST, projection).await;
        tokio::time::sleep(self.duration(CANCEL_MILLISECONDS)).await;
        self.ask_rebuild(Method::DELETE, projection).await
    }

    /// Has a rebuild begun or cancelled; counts when it was.
    async fn ask_rebuild(&mut self, method: Method, projection: Projection) -> bool {
        let key = format!("rebuild-{}", self.random.random::<u64>());
        let api = self.cluster.apis.choose(&mut self.random).expect("there are APIs");
        let path = format!("/v1/projections/{projection}/rebuild");
        let Ok(answer) = api.try_send(api.request(method.clone(), &path).header("Idempotency-Key", key)).await else {
            return false;
        };
        let nothing_to_do: &[u16] = if method == Method::DELETE { &[404, 409] } else { &[409] };
        if (400..500).contains(&answer.status) && !nothing_to_do.contains(&answer.status) {
            self.ledger.violation(format!("{method} {path} was answered {}: {}", answer.status, answer.body));
        }
        (200..300).contains(&answer.status)
    }

    /// A rebuild by the command line, killed half of the time.
    fn run_rebuild(&mut self) -> bool {
        let mut command = self.cluster.binary();
        command.args(["rebuild", "--all"]).stdout(Stdio::null()).stderr(open_log(&self.cluster.log("rebuild")));
        let killed_after = self.duration(KILL_REBUILD_MILLISECONDS);
        let patience = if self.random.random_bool(0.5) { killed_after } else { REBUILD_WITHIN };
        let mut rebuild = command.spawn().expect("the program starts");
        let stop = self.stop.clone();
        self.lasting.spawn(async move {
            // Whether it succeeds depends on what else is broken meanwhile.
            let ended = stop.run_until_cancelled(tokio::time::timeout(patience, rebuild.wait())).await;
            if !matches!(ended, Some(Ok(_))) {
                // It may just have ended.
                rebuild.kill().await.ok();
            }
        });
        true
    }
}

/// Whether there was something to kill.
fn kill(pid: Option<u32>) -> bool {
    let Some(pid) = pid else { return false };
    signal(pid, Signal::SIGKILL);
    true
}

/// NATS as anybody may reach it.
async fn jetstream(url: &str) -> Context {
    let address: async_nats::ServerAddr = url.parse().expect("NATS has an address");
    let of_address = |part: Option<&str>| part.expect("NATS asks who connects").to_owned();
    let (user, password) = (of_address(address.username()), of_address(address.password()));
    let client = async_nats::ConnectOptions::with_user_and_password(user, password)
        .request_timeout(Some(ASK_NATS_WITHIN))
        .reconnect_delay_callback(|_| RECONNECT_DELAY)
        .retry_on_initial_connect()
        .connect(address)
        .await
        .expect("NATS's address is one");
    let mut context = jetstream::new(client);
    context.set_timeout(ASK_NATS_WITHIN);
    context
}

async fn append_nothing(mut connection: PgConnection, time: Duration, rolls_back: bool) -> Result<(), sqlx::Error> {
    let mut appender = connection.begin().await?;
    sqlx::query("savepoint nothing").execute(&mut *appender).await?;
    sqlx::query(
        r#"insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
           values ('customer', $1, 1, 'None', '1.0', '{}', '{"customer_id": "1"}')"#,
    )
    .bind(uuid::Uuid::now_v7().to_string())
    .execute(&mut *appender)
    .await?;
    tokio::time::sleep(time).await;
    if rolls_back {
        return appender.rollback().await;
    }
    sqlx::query("rollback to savepoint nothing").execute(&mut *appender).await?;
    appender.commit().await
}
