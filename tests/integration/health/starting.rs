//! A start: probes are answered from its beginning, databases that are not there yet are waited for, and what waiting
//! cannot mend ends it at once.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{asked, failing};
use crate::support::line::Line;
use crate::support::metrics::samples_in;
use crate::support::process::{RoleProcess, binary, free_address, program, run};
use crate::support::wait::eventually;
use crate::support::{Client, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_its_databases_and_says_so() {
    let config = TestApp::config(&[]).await;
    let line = Line::to(config.store.database_url.as_ref().unwrap()).await;
    line.cut();
    let probes = free_address();
    let settings =
        [("DATABASE_URL", line.url()), ("HEALTH_ADDR", probes.to_string()), ("DATABASE_WAIT", "60".to_owned())];
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

    line.mend();
    eventually("it has started", async || client.get("/health/startup").await.status == 200).await;
    let ready = eventually("it is ready", async || {
        let ready = client.get("/health/ready").await;
        (ready.status == 200).then_some(ready)
    })
    .await;
    assert_eq!(ready.body["checks"], json!(["log", "read_models"]));
    process.ask_to_stop();
    assert!(process.has_ended().await);
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
