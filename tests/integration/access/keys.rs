//! A key's life: made, used, replaced, revoked, expired; by the command line and through several processes.

use std::time::{Duration, Instant};

use credit_approval::access::keys::store::{Scope, add};
use credit_approval::access::keys::{ApiKey, HourlyLimit};
use credit_approval::access::{Role, Roles};
use credit_approval::config::Serve;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::keys::scope;
use crate::support::log::migrated;
use crate::support::metrics::samples;
use crate::support::process::run;
use crate::support::wait::eventually;

/// What is known of a key is believed for a second.
async fn soon_forgetting() -> TestApp {
    TestApp::start_with(TestApp::config(&["--key-cache-seconds", "1"]).await).await
}

/// The output of a `keys` command, as JSON.
pub(super) async fn keys(config: &Serve, arguments: &[&str]) -> Value {
    let ran = run(config, &[&["keys"], arguments, &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.complained);
    serde_json::from_str(&ran.said).unwrap()
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_printed_once_and_only_its_digest_is_kept() {
    let app = soon_forgetting().await;
    let arguments = ["keys", "create", "--name", "web shop", "--role", "channel,officer", "--hourly-limit", "500"];
    let made = run(&app.config, &arguments).await;
    assert_eq!(made.code, Some(0), "{}", made.complained);
    let key = made.said.trim_end();
    assert_eq!(made.said.lines().count(), 1, "a shell can catch it: {}", made.said);
    assert!(made.complained.contains("web shop: channel, officer"), "{}", made.complained);
    assert_eq!(app.client.showing(key).get("/v1/customers").await.status, 200);
    assert_eq!(app.client.showing(key).get("/v1/events").await.status, 403);

    let secret = key.rsplit('_').next().unwrap();
    let pool = app.pool().await;
    let rows: Vec<String> = sqlx::query_scalar("select api_keys::text from api_keys").fetch_all(&pool).await.unwrap();
    assert_eq!(rows.len(), 2, "the tests' own and this one");
    assert!(rows.iter().all(|row| !row.contains(secret)), "{rows:?}");
    let listed = run(&app.config, &["keys", "list"]).await.said;
    let line = listed.lines().find(|line| line.contains("web shop")).expect("it is listed");
    assert!(line.contains("valid") && line.contains("500 requests an hour") && !listed.contains(secret), "{listed}");
    let listed = keys(&app.config, &["list"]).await;
    let mine = listed.as_array().unwrap().iter().find(|kept| kept["name"] == "web shop").unwrap();
    assert_eq!((&mine["hourly_limit"], &mine["roles"][1]), (&500.into(), &"officer".into()));
    assert!(mine.get("key").is_none() && mine.get("secret_digest").is_none(), "{mine}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_in_every_process_within_what_is_believed() {
    let app = soon_forgetting().await;
    let other = app.another().await;
    let made = keys(&app.config, &["create", "--name", "branch", "--role", "auditor"]).await;
    let clients = [&app, &other].map(|app| app.client.showing(text(&made, "key")));
    for client in &clients {
        assert_eq!(client.get("/v1/events").await.status, 200);
    }
    let revoked = keys(&app.config, &["revoke", text(&made, "id")]).await;
    assert!(revoked["revoked_at"].is_string());
    let since = Instant::now();
    for client in &clients {
        eventually("it is refused", async || client.get("/v1/events").await.status == 401).await;
    }
    assert!(since.elapsed() < Duration::from_secs(3), "believed for {:?}", since.elapsed());
    let answer = clients[0].get("/v1/events").await;
    assert_eq!(answer.body["detail"], "Authorization holds a key that is revoked.");

    let again = keys(&app.config, &["revoke", text(&made, "id")]).await;
    assert_eq!(again["revoked_at"], revoked["revoked_at"], "it stays revoked since then");
    let listed = run(&app.config, &["keys", "list"]).await.said;
    assert!(!listed.contains("branch"), "{listed}");
    let listed = run(&app.config, &["keys", "list", "--all"]).await.said;
    assert!(listed.lines().any(|line| line.contains("branch") && line.contains("revoked")), "{listed}");
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_without_a_moment_in_which_none_is_good() {
    let app = soon_forgetting().await;
    let create = ["create", "--name", "app", "--role", "channel", "--hourly-limit", "90000", "--expires-in", "30d"];
    let old = keys(&app.config, &create).await;
    let old_client = app.client.showing(text(&old, "key"));
    assert_eq!(old_client.get("/v1/loans").await.status, 200);
    // Ten days old, so that the length of a life is told from its end.
    let aged = "update api_keys set created_at = created_at - interval '10 days', \
                                    expires_at = expires_at - interval '10 days' where id = $1";
    sqlx::query(aged).bind(text(&old, "id")).execute(&app.pool().await).await.unwrap();
    let new = keys(&app.config, &["rotate", text(&old, "id"), "--grace", "3s"]).await;
    let rotated = Instant::now();
    for field in ["name", "roles", "hourly_limit"] {
        assert_eq!(new[field], old[field], "{field}");
    }
    assert_eq!(new["replaces"], old["id"]);
    assert_eq!(text(&new, "expires_at")[..10], text(&old, "expires_at")[..10], "as long as the old one was made for");
    let new_client = app.client.showing(text(&new, "key"));
    while rotated.elapsed() < Duration::from_secs(2) {
        let both = (old_client.get("/v1/loans").await.status, new_client.get("/v1/loans").await.status);
        assert_eq!(both, (200, 200), "in the grace both are good");
    }
    let again = run(&app.config, &["keys", "rotate", text(&old, "id")]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.complained.contains(&format!("replaced by {}", text(&new, "id"))), "{}", again.complained);

    eventually("the old one has expired", async || old_client.get("/v1/loans").await.status == 401).await;
    assert_eq!(new_client.get("/v1/loans").await.status, 200);
    let again = run(&app.config, &["keys", "rotate", text(&old, "id")]).await;
    assert_eq!(again.code, Some(1));
    assert!(again.complained.contains("is revoked or expired"), "{}", again.complained);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn being_replaced_prolongs_no_key_and_ends_every_one() {
    let config = TestApp::config(&[]).await;
    migrated(config.store.database_url.as_ref().unwrap()).await;
    let short = keys(&config, &["create", "--name", "short", "--role", "channel", "--expires-in", "1h"]).await;
    let endless = keys(&config, &["create", "--name", "endless", "--role", "channel"]).await;
    for key in [&short, &endless] {
        keys(&config, &["rotate", text(key, "id")]).await;
    }
    let listed = keys(&config, &["list"]).await;
    let kept = |key: &Value| listed.as_array().unwrap().iter().find(|kept| kept["id"] == key["id"]).unwrap().clone();
    assert_eq!(kept(&short)["expires_at"], short["expires_at"], "its hour ends before the grace");
    assert!(endless["expires_at"].is_null() && kept(&endless)["expires_at"].is_string(), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_was_made_to() {
    let app = soon_forgetting().await;
    let made = keys(&app.config, &["create", "--name", "short", "--role", "auditor", "--expires-in", "2s"]).await;
    let client = app.client.showing(text(&made, "key"));
    assert_eq!(client.get("/v1/loans").await.status, 200);
    eventually("it has expired", async || client.get("/v1/loans").await.status == 401).await;
    assert_eq!(client.get("/v1/loans").await.body["detail"], "Authorization holds a key that has expired.");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_looked_up_once_for_many_requests_and_its_use_is_noted() {
    let app = TestApp::start_with(TestApp::config(&["--key-cache-seconds", "60"]).await).await;
    let pool = app.pool().await;
    let key = ApiKey::draw().unwrap();
    let limited = HourlyLimit::try_from(0).unwrap();
    let roles = Roles::of(&[Role::Operator]);
    add(&pool, &key, &Scope { hourly_limit: Some(limited), ..scope("often", roles) }).await.unwrap();
    let client = app.client.showing(&key.token());
    let sent = (0..40).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.get("/v1/imports").await.status })
    });
    for answered in sent.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap(), 200);
    }
    let samples = samples(&client).await;
    let looked_up = |source: &str| samples[&format!("credit_approval_api_key_lookups_total{{source=\"{source}\"}}")];
    assert_eq!(looked_up("database"), 1.0, "requests that ask at once ask once");
    assert_eq!(looked_up("cache"), 40.0);
    let accepted = "credit_approval_authentications_total{credential=\"key\",outcome=\"accepted\"}";
    assert_eq!(samples[accepted], 41.0);

    let config = app.config.clone();
    app.stop().await;
    let listed = keys(&config, &["list"]).await;
    let used = |name: &str| {
        listed.as_array().unwrap().iter().find(|kept| kept["name"] == name).unwrap()["last_used_at"].clone()
    };
    assert!(used("often").is_string() && used("tests").is_null(), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keys_is_asked_wrongly_is_refused() {
    let config = TestApp::config(&[]).await;
    let usage: [&[&str]; 8] = [
        &["create", "--name", "x"],
        &["create", "--role", "channel"],
        &["create", "--name", "x", "--role", "admin"],
        &["create", "--name", " ", "--role", "channel"],
        &["create", "--name", "x", "--role", "channel", "--expires-in", "soon"],
        &["create", "--name", "x", "--role", "channel", "--hourly-limit", "-1"],
        &["revoke", "ca_1"],
        &["rotate", "0123456789abcdef", "--grace", "1"],
    ];
    for arguments in usage {
        assert_eq!(run(&config, &[&["keys"], arguments].concat()).await.code, Some(2), "{arguments:?}");
    }
    for command in ["revoke", "rotate"] {
        let ran = run(&config, &["keys", command, "0123456789abcdef"]).await;
        assert_eq!((ran.code, ran.complained.lines().count()), (Some(1), 1), "{}", ran.complained);
        assert!(ran.complained.contains("there is no key 0123456789abcdef"), "{}", ran.complained);
    }
}
