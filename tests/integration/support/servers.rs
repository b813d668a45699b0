//! The PostgreSQL and NATS of this test run: started by the first test that asks, gone when the process is.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use credit_approval::embedded::{DataDir, Nats, Postgres, Tuning};
use sqlx::{Connection, PgConnection};

use super::cleanup::clean_up_afterwards;

/// Waits until this process has ended, ends its servers if they have not ended with it, and removes what they leave.
/// Whether a server has ended shows in its files staying away: its pid may linger until somebody asks for its status.
const CLEAN_UP: &str = r#"
cat >/dev/null
for pid in $2; do kill -QUIT "$pid" 2>/dev/null; done
for _ in $(seq 100); do
    rm -rf "$1" "$3"
    sleep 0.05
    [ -e "$1" ] || [ -e "$3" ] || break
done
"#;

/// The servers of this run.
pub(crate) struct Servers {
    postgres: Postgres,
    nats: Option<Nats>,
    databases: AtomicU32,
}

static SERVERS: OnceLock<Servers> = OnceLock::new();

/// The servers, started at the first call.
pub(crate) fn servers() -> &'static Servers {
    // A thread of its own: the caller already is inside a runtime.
    SERVERS.get_or_init(|| std::thread::spawn(start).join().expect("the servers start"))
}

/// A fresh directory for a test run or a test, in which the servers' account may look.
pub(crate) fn scratch_dir(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("credit-approval-{name}-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir_all(&path).expect("the directory is made");
    path
}

fn start() -> Servers {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let data = DataDir::claim(&scratch_dir("test"), false).expect("the directory is free");
        let postgres = Postgres::start(&data, Tuning::Ephemeral).await.expect("PostgreSQL starts");
        let nats = if Nats::installed() { Some(Nats::start(&data).await.expect("NATS starts")) } else { None };
        let pids = [postgres.pid(), nats.as_ref().and_then(Nats::pid)];
        let pids = pids.iter().flatten().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let sockets = socket_dir(&postgres.url());
        clean_up_afterwards(CLEAN_UP, &[data.path().as_os_str(), OsStr::new(&pids), OsStr::new(&sockets)]);
        Servers { postgres, nats, databases: AtomicU32::new(0) }
    })
}

/// The directory of the socket that a URL of these servers leads to.
fn socket_dir(url: &str) -> String {
    let host = url.split_once("host=").map_or("", |(_, rest)| rest).split('&').next().unwrap_or_default();
    host.replace("%2F", "/").replace("%2f", "/")
}

impl Servers {
    /// NATS's address, where it is installed.
    pub(crate) fn nats_url(&self) -> Option<String> {
        self.nats.as_ref().map(Nats::url)
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = self.postgres.url();
        let mut connection = PgConnection::connect(&url).await.expect("PostgreSQL answers");
        sqlx::query(&format!("create database {name}")).execute(&mut connection).await.expect("the database is made");
        url.replace("/credit_approval?", &format!("/{name}?"))
    }
}
