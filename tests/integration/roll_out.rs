//! G11: a new version takes the place of the one before under load, and not one request fails.
//!
//! Two processes for each role that shares work and one relay stand behind a balancer that knows nothing but
//! `/health/ready`. Each is replaced in turn, in the order of `docs/upgrading.md`: the migrations, then projectors and
//! relay, then the API. What the new version brings is migrations of its own, made while everything is in use, and a
//! read model of which it makes more than the one before, so that it is rebuilt under the load. The old processes are of
//! this build, unless `OLD_BINARY` names one of another; `scripts/roll-out` builds that from an earlier commit.

mod balancer;

use std::net::SocketAddr;
use std::path::PathBuf;

use credit_approval::config::{Role, Serve};
use credit_approval::store::migrate::bring_up_to_date;
use projections::Projection;
use projections::rebuilds::{self, Phase};
use sqlx::PgPool;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use tokio::process::Command;

use self::balancer::Balancer;
use crate::support::keys;
use crate::support::leases::eventually_leases;
use crate::support::log::migrated;
use crate::support::metrics::samples;
use crate::support::process::{RoleProcess, free_address, program};
use crate::support::sql::{count, execute};
use crate::support::traffic::Traffic;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

const CLIENTS: usize = 4;
const EVENTS_OF_A_ROUND: usize = 5;
/// More than a balancer takes between two probes.
const DRAIN_SECONDS: &str = "1";

/// A process with where it listens.
struct Running {
    process: RoleProcess,
    http: SocketAddr,
    probes: Client,
}

/// Which version a process is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

fn binary(config: &Serve, version: Version) -> Command {
    let old = std::env::var_os("OLD_BINARY").map(PathBuf::from);
    let mut command = program(config);
    if let Some(old) = old.filter(|_| version == Version::Old) {
        let mut other = Command::new(old);
        other.kill_on_drop(true);
        for (name, value) in command.as_std().get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        command = other;
    }
    command
}

fn start(config: &Serve, version: Version, role: &str) -> Running {
    let (http, probes) = (free_address(), free_address());
    let settings = [
        ("HTTP_ADDR", http.to_string()),
        ("HEALTH_ADDR", probes.to_string()),
        ("DRAIN_DELAY", DRAIN_SECONDS.to_owned()),
    ];
    let process = RoleProcess::spawn(binary(config, version), config, role, &settings);
    Running { process, http, probes: Client::new(probes) }
}

impl Running {
    /// Until it says so itself; an older version may not be able to, and has no such port.
    async fn is_ready(&self) {
        eventually("the new process is ready", async || {
            let asked = self.probes.request(reqwest::Method::GET, "/health/ready");
            self.probes.try_send(asked).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    async fn stop(mut self) {
        self.process.ask_to_stop();
        assert!(self.process.has_ended().await, "a process that is replaced ends in order");
    }
}

/// The migrations of the next version: a column, and an index that nobody is to be held up by.
async fn migrate_to_the_next(pool: &PgPool) {
    let simple = |version, sql: &'static str, no_tx| {
        Migration::new(version, "of the next version".into(), MigrationType::Simple, sql.into(), no_tx)
    };
    let migrations = vec![
        simple(1998, "alter table read_models.loans add column of_the_next text", false),
        simple(1999, "create index concurrently loans_next on read_models.loans (of_the_next, loan_id)", true),
    ];
    bring_up_to_date(&Migrator { migrations: migrations.into(), ..Migrator::DEFAULT }, pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_rolls_out_and_no_request_fails() {
    let config = TestApp::config(&[]).await;
    let pool = migrated(config.store.database_url.as_ref().unwrap()).await;
    keys::let_in(config.store.database_url.as_ref().unwrap()).await;
    let old = |role| start(&config, Version::Old, role);
    let new = |role| start(&config, Version::New, role);
    let (projectors, relay, apis) = ([old("projector"), old("projector")], old("relay"), [old("api"), old("api")]);
    let balancer = Balancer::start().await;
    for api in &apis {
        balancer.add(api.http).await;
    }
    eventually_leases(&pool, &[16, 16]).await;
    let client = Client::new(balancer.address);
    let mut traffic = Traffic::of_everything(&client, CLIENTS);
    traffic.goes_on().await;

    migrate_to_the_next(&pool).await;
    traffic.goes_on().await;
    // What the version before has made of credit profiles is less than this one makes of them.
    let before = Projection::CreditProfiles.version() - 1;
    assert!(before >= Projection::CreditProfiles.answers_since(), "it is answered from meanwhile");
    execute(
        &pool,
        &format!("update read_models.checkpoints set version = {before} where projection = 'credit_profiles'"),
    )
    .await;
    let mut replaced = Vec::new();
    for projector in projectors {
        let next = new("projector");
        next.is_ready().await;
        projector.stop().await;
        traffic.goes_on().await;
        replaced.push(next);
    }
    let next = new("relay");
    next.is_ready().await;
    relay.stop().await;
    traffic.goes_on().await;
    replaced.push(next);
    for api in apis {
        let next = new("api");
        next.is_ready().await;
        balancer.add(next.http).await;
        let address = api.http;
        api.stop().await;
        balancer.remove(address);
        traffic.goes_on().await;
        replaced.push(next);
    }

    eventually_leases(&pool, &[16, 16]).await;
    let rebuild = eventually("the read model is made anew", async || {
        rebuilds::latest(&pool, Projection::CreditProfiles).await.unwrap().filter(|latest| latest.finished_at.is_some())
    })
    .await;
    assert_eq!((rebuild.phase, rebuild.error), (Phase::Done, None));
    traffic.goes_on().await;
    let rounds = traffic.stop().await;
    let events = count(&pool, "events").await;
    assert_eq!(usize::try_from(events).unwrap(), rounds * EVENTS_OF_A_ROUND, "each request took effect, and once");
    assert_verified(&pool).await;
    eprintln!("roll-out: {rounds} rounds, the slowest request took {:?}", balancer.slowest());
    for process in replaced {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_leaves_its_work_to_the_one_that_stands_by() {
    let config = TestApp::config(&[]).await;
    if config.nats_url.is_none() {
        return;
    }
    let app = TestApp::start_with(Serve { roles: vec![Role::Api], ..config.clone() }).await;
    let (first, projector) = (start(&config, Version::New, "relay"), start(&config, Version::New, "projector"));
    first.is_ready().await;
    projector.is_ready().await;
    let second = start(&config, Version::New, "relay");
    second.is_ready().await;
    let mut traffic = Traffic::of_writers(&app.client);
    traffic.goes_on().await;
    first.stop().await;
    traffic.goes_on().await;
    traffic.stop().await;
    eventually("the one that stood by has published all of it", async || {
        samples(&app.client).await.get("credit_approval_relay_lag_events") == Some(&0.0)
    })
    .await;
    second.stop().await;
    assert_verified(&app.pool().await).await;
    projector.stop().await;
    app.stop().await;
}
