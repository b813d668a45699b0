//! A start: probes are answered from its beginning, databases that are not there yet are waited for, and what waiting
//! cannot mend ends it at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;

use super::{asked, failing};
use crate::support::metrics::samples_in;
use crate::support::process::{RoleProcess, binary, free_address, program, run};
use crate::support::servers::socket_dir;
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

/// PostgreSQL's own, in the directory of its socket.
const SOCKET: &str = ".s.PGSQL.5432";

/// Leads from a port to PostgreSQL's socket.
async fn lead(address: SocketAddr, socket: String) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).await.expect("the port is still free");
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.expect("connections come");
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut server = UnixStream::connect(socket).await.expect("PostgreSQL listens");
                // Whichever side ends it, it has ended.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_its_databases_and_says_so() {
    let config = TestApp::config(&[]).await;
    let url = config.store.database_url.clone().unwrap();
    let (port, probes) = (free_address(), free_address());
    let (server, query) = url.split_once('?').unwrap();
    assert!(query.starts_with("host="), "{query}");
    let (_, database) = server.rsplit_once('/').unwrap();
    let user = server.trim_start_matches("postgres://").split('@').next().unwrap();
    let over_tcp = format!("postgres://{user}@{port}/{database}?sslmode=disable");
    let settings = [("DATABASE_URL", over_tcp.as_str()), ("HEALTH_ADDR", &probes.to_string()), ("DATABASE_WAIT", "60")];
    let mut process = RoleProcess::spawn(binary(), &config, "projector", &settings);

    let client = Client::new(probes);
    let startup = eventually("probes are answered", async || asked(&client, "startup").await).await;
    assert_eq!(failing(&startup).unwrap(), ["start"]);
    eventually("it says that it waits for the databases", async || {
        client.get("/health/startup").await.body["errors"][0]["message"] == "waits for the databases"
    })
    .await;
    assert_eq!(failing(&client.get("/health/ready").await).unwrap(), ["start"]);
    assert_eq!(client.get("/health/live").await.status, 200, "it lives, and is not to be started again");

    let leading = lead(port, format!("{}/{SOCKET}", socket_dir(&url))).await;
    eventually("it has started", async || client.get("/health/startup").await.status == 200).await;
    let ready = eventually("it is ready", async || {
        let ready = client.get("/health/ready").await;
        (ready.status == 200).then_some(ready)
    })
    .await;
    assert_eq!(ready.body["checks"], json!(["log", "read_models"]));
    process.ask_to_stop();
    assert!(process.has_ended().await);
    leading.abort();
}

#[tokio::test]
async fn what_waiting_cannot_mend_is_not_waited_for() {
    let config = TestApp::config(&[]).await;
    let missing = config.store.database_url.clone().unwrap().replace("/test_", "/missing_");
    let started = Instant::now();
    let config = {
        let mut config = config;
        config.store.database_url = Some(missing);
        config
    };
    let ran = run(&config, &["serve", "--http-addr", "127.0.0.1:0", "--database-wait", "60"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.complained.contains("credit-approval: cannot connect to PostgreSQL: "), "{}", ran.complained);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_without_an_api_answer_probes_on_a_port_of_their_own() {
    let config = TestApp::config(&[]).await;
    let with_nats = config.nats_url.is_some();
    let relay_checks = if with_nats { json!(["log", "nats"]) } else { json!(["log"]) };
    for (role, checks) in
        [("relay", relay_checks), ("projector", json!(["log", "read_models"])), ("importer", json!(["log"]))]
    {
        let probes = free_address();
        let mut process = RoleProcess::spawn(program(&config), &config, role, &[("HEALTH_ADDR", &probes.to_string())]);
        let client = Client::new(probes);
        let ready = eventually(&format!("{role} is ready"), async || {
            asked(&client, "ready").await.filter(|answer| answer.status == 200)
        })
        .await;
        assert_eq!(ready.body, json!({"status": "ready", "checks": checks}), "{role}");
        assert_eq!(client.get("/health/live/").await.status, 404, "a probe is configured to the letter");
        let response = client.request(Method::GET, "/metrics").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let text = response.text().await.unwrap();
        samples_in(&text);
        assert!(text.ends_with("# EOF\n") && !text.contains("log_head_position"), "its own, and no other: {text}");
        let others = client.get("/v1/events").await;
        assert_eq!((others.status, &others.body["status"]), (404, &json!(404)), "{}", others.body);
        process.ask_to_stop();
        assert!(process.has_ended().await);
    }
}
