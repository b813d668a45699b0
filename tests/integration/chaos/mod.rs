//! Whatever is killed, frozen, wiped or cut off while clients write: what was acknowledged is there once, no customer
//! is over a bound, and the read models are the fold of the log (G1 to G7, all at once).
//!
//! Everything random comes from one seed, which is printed. It decides on the requests and the faults; what meets what
//! is up to the machine, so the same seed shows the same failure often, and not always.
//!
//! - `cluster`: the servers and processes that are broken, and come back
//! - `faults`: how they are broken
//! - `clients`, `writes`: what is asked of them meanwhile
//! - `ledger`: what they acknowledged
//! - `judgement`, `rebuilds`: what must hold in the end

mod clients;
mod cluster;
mod faults;
mod judgement;
mod ledger;
mod rebuilds;
mod writes;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use credit_approval::embedded::DataDir;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use self::cluster::Cluster;
use self::faults::{Faults, Struck};
use self::ledger::{Account, Ledger};
use self::rebuilds::Rebuilds;
use crate::support::servers::scratch_dir;

const DEFAULT_SECONDS: u64 = 60;
/// What a run takes at most beside its seconds: its start, what is under way when they are over, and the judgement.
const OVERHEAD: Duration = Duration::from_secs(15 * 60);
const MAX_FINDINGS_SHOWN: usize = 40;

/// What a run is repeated by.
#[derive(Debug, Clone, Copy)]
struct Settings {
    seed: u64,
    seconds: u64,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CHAOS_SEED={} CHAOS_SECONDS={}", self.seed, self.seconds)
    }
}

impl Settings {
    /// From the environment; a seed that nobody names is drawn.
    fn from_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a whole number, not '{text}'")))
        };
        let seed = number("CHAOS_SEED").unwrap_or_else(rand::random);
        Self { seed, seconds: number("CHAOS_SECONDS").unwrap_or(DEFAULT_SECONDS) }
    }

    /// The random choices of one part of the run: how many it draws moves nothing elsewhere.
    fn random(&self, part: &str) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(part.bytes().fold(0, |stream: u64, byte| stream.wrapping_mul(257) ^ u64::from(byte)));
        random
    }
}

/// The files of a run: gone with it, or, when it fails, kept and pointed at.
struct Evidence {
    settings: Settings,
    directory: PathBuf,
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("chaos: failed; repeat it by `{} make chaos`", self.settings);
            println!("chaos: the logs and data are in {}", self.directory.display());
            return;
        }
        // The last server may still be removing its own.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.directory).is_ok() || !self.directory.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_is_lost_or_doubled() {
    let settings = Settings::from_environment();
    println!("chaos: {settings}");
    let data = DataDir::claim(&scratch_dir("chaos"), false).unwrap();
    let _evidence = Evidence { settings, directory: data.path().to_owned() };
    let at_most = Duration::from_secs(settings.seconds) + OVERHEAD;
    let findings = tokio::time::timeout(at_most, run(settings, &data)).await.expect("the run ends in time");
    let shown = findings[..findings.len().min(MAX_FINDINGS_SHOWN)].join("\n");
    assert!(findings.is_empty(), "{settings} found {} things wrong:\n{shown}", findings.len());
}

/// A whole run; what was found wrong.
async fn run(settings: Settings, data: &DataDir) -> Vec<String> {
    let cluster = Arc::new(Cluster::start(settings, data).await);
    let ledger = Arc::new(Ledger::default());
    let struck = let_loose(settings, &cluster, &ledger).await;
    let account = ledger.close();
    let (findings, rebuilds) = judgement::judge(&cluster, &account).await;
    say(settings, &cluster, &account, &struck, &rebuilds);
    Arc::into_inner(cluster).expect("nobody else uses the cluster any more").stop().await;
    findings
}

/// Faults and clients, until the time is up or something is wrong. Faults end first, so that clients can learn what
/// became of everything that they sent.
async fn let_loose(settings: Settings, cluster: &Arc<Cluster>, ledger: &Arc<Ledger>) -> Struck {
    let (stop_faults, stop_clients) = (CancellationToken::new(), CancellationToken::new());
    let mut clients = clients::start(settings, &cluster.apis, ledger, &stop_clients);
    let faults = Faults::new(settings, cluster, ledger, &stop_faults).await;
    let faults = tokio::spawn(faults.run());
    // Elapsing is the good end of it.
    let _ = tokio::time::timeout(Duration::from_secs(settings.seconds), ledger.violated()).await;
    stop_faults.cancel();
    let struck = faults.await.expect("the faults end");
    stop_clients.cancel();
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client ends");
    }
    struck
}

fn say(settings: Settings, cluster: &Cluster, account: &Account, struck: &Struck, rebuilds: &Rebuilds) {
    let faults: Vec<_> = struck.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
    println!("chaos: {settings}");
    println!("chaos: {}", account.counts);
    println!("chaos: {} faults: {}", struck.values().sum::<usize>(), faults.join(", "));
    println!("chaos: {rebuilds}");
    println!("chaos: processes ended by themselves {} times, all restarted", cluster.ended_by_themselves());
}
