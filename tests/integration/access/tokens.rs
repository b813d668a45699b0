//! Tokens of an issuer, whose keys a server on a loopback port publishes: taken, refused, rotated, and the issuer away.

mod refused;
mod signer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;

use self::signer::{ALGORITHMS, Signer};
use crate::support::TestApp;
use crate::support::metrics::samples;
use crate::support::servers::scratch_dir;
use crate::support::wait::eventually;

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "credit";

/// What the issuer answers, and how often it was asked.
struct Published {
    document: RwLock<String>,
    asked: AtomicUsize,
}

/// An issuer that publishes keys.
struct Issuer {
    published: Arc<Published>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

async fn publish(State(published): State<Arc<Published>>) -> Result<String, StatusCode> {
    published.asked.fetch_add(1, Ordering::SeqCst);
    let document = published.document.read().await.clone();
    if document.is_empty() { Err(StatusCode::BAD_GATEWAY) } else { Ok(document) }
}

fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

impl Issuer {
    async fn start(document: String) -> Self {
        let published = Arc::new(Published { document: RwLock::new(document), asked: AtomicUsize::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/jwks", get(publish)).with_state(Arc::clone(&published));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { published, address, server }
    }

    fn url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }

    async fn publish(&self, document: String) {
        *self.published.document.write().await = document;
    }

    fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }

    /// A service that trusts it.
    async fn trusted(&self, more: &[&str]) -> TestApp {
        trusting(&["--jwt-jwks-url", &self.url()], more).await
    }
}

async fn trusting(keys: &[&str], more: &[&str]) -> TestApp {
    let arguments = [&["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE], keys, more].concat();
    let app = TestApp::start_with(TestApp::config(&arguments).await).await;
    eventually("its keys are fetched, or cannot be", async || {
        let fetched = samples(&app.client).await;
        ["taken", "failed"].iter().any(|outcome| fetched[&fetches(outcome)] > 0.0)
    })
    .await;
    app
}

/// The name of what is counted of fetches that came to this.
fn fetches(outcome: &str) -> String {
    format!("credit_approval_jwks_fetches_total{{outcome=\"{outcome}\"}}")
}

/// Claims that are good, for an officer.
fn claims() -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "teller 7", "exp": now + 300, "nbf": now, "roles": ["officer"]})
}

fn with(claim: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[claim] = value.into();
    claims
}

/// A token that nobody here trusts.
pub(super) fn a_token_of_a_strangers() -> String {
    Signer::new("ES256", "k").token(&claims())
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.client.showing(token).get("/v1/decisions").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_each_algorithm_is_taken_and_its_subject_recorded() {
    let signers = ALGORITHMS.map(|algorithm| Signer::new(algorithm, algorithm));
    let issuer = Issuer::start(key_set(&signers.each_ref())).await;
    let app = issuer.trusted(&[]).await;
    for signer in &signers {
        assert_eq!(status(&app, &signer.token(&claims())).await, 200, "{}", signer.key_id);
        let channel = signer.token(&with("roles", json!(["channel"])));
        assert_eq!(status(&app, &channel).await, 403, "{}: another role", signer.key_id);
    }
    let channel = app.client.showing(&signers[0].token(&with("roles", "channel")));
    channel.register(50_000).await;
    let caller: String =
        sqlx::query_scalar("select metadata ->> 'caller' from events").fetch_one(&app.pool().await).await.unwrap();
    assert_eq!(caller, format!("token:{ISSUER} teller 7"));
    assert_eq!(issuer.asked(), 1, "its keys are fetched once");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_read_where_the_configuration_says() {
    let signer = Signer::new("EdDSA", "k");
    let issuer = Issuer::start(key_set(&[&signer])).await;
    let app = issuer.trusted(&["--jwt-roles-claim", "realm_access.roles"]).await;
    let nested = with("realm_access", json!({"roles": ["uma", "auditor"]}));
    assert_eq!(app.client.showing(&signer.token(&nested)).get("/v1/events").await.status, 200);
    let scoped = with("scope", "openid auditor");
    assert_eq!(app.client.showing(&signer.token(&scoped)).get("/v1/events").await.status, 200);
    assert_eq!(status(&app, &signer.token(&claims())).await, 403, "`roles` is not where they are");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuers_new_key_is_known_at_once_and_its_old_one_forgotten() {
    let (old, new) = (Signer::new("ES256", "old"), Signer::new("EdDSA", "new"));
    let issuer = Issuer::start(key_set(&[&old])).await;
    let app = issuer.trusted(&["--jwt-jwks-refresh", "2"]).await;
    assert_eq!(status(&app, &old.token(&claims())).await, 200);
    issuer.publish(key_set(&[&old, &new])).await;
    assert_eq!(status(&app, &new.token(&claims())).await, 200, "the first token makes it known");
    assert_eq!(status(&app, &old.token(&claims())).await, 200, "both are good until it says otherwise");
    issuer.publish(key_set(&[&new])).await;
    eventually("the old key is forgotten", async || status(&app, &old.token(&claims())).await == 401).await;
    assert_eq!(status(&app, &new.token(&claims())).await, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_key_ids_do_not_drive_the_issuer() {
    let (known, unknown) = (Signer::new("ES256", "known"), Signer::new("ES256", "unknown"));
    let issuer = Issuer::start(key_set(&[&known])).await;
    let app = issuer.trusted(&[]).await;
    eventually("the keys are fetched", async || issuer.asked() == 1).await;
    let sent = (0..200).map(|number| {
        let client = app.client.showing(&unknown.token_naming(&format!("made-up-{number}"), &claims()));
        tokio::spawn(async move { client.get("/v1/decisions").await.status })
    });
    for answered in sent.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap(), 401);
    }
    assert_eq!(issuer.asked(), 2, "once for all of them");
    assert_eq!(status(&app, &known.token(&claims())).await, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_go_on_serving_while_the_issuer_is_away() {
    let signer = Signer::new("PS256", "k");
    let issuer = Issuer::start(key_set(&[&signer])).await;
    let app = issuer.trusted(&["--jwt-jwks-refresh", "1"]).await;
    assert_eq!(status(&app, &signer.token(&claims())).await, 200);
    let failed = async || samples(&app.client).await[&fetches("failed")];
    for broken in [String::new(), "<html>".to_owned(), key_set(&[]), " ".repeat(300 * 1024)] {
        let before = failed().await;
        issuer.publish(broken).await;
        eventually("a fetch fails", async || failed().await > before).await;
        assert_eq!(status(&app, &signer.token(&claims())).await, 200);
    }
    issuer.server.abort();
    let before = failed().await;
    eventually("a fetch fails", async || failed().await > before).await;
    assert_eq!(status(&app, &signer.token(&claims())).await, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_was_never_there_is_told_from_a_bad_token() {
    let signer = Signer::new("ES384", "k");
    let issuer = Issuer::start(String::new()).await;
    let app = issuer.trusted(&[]).await;
    let answer = app.client.showing(&signer.token(&claims())).get("/v1/decisions").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.body);
    assert_eq!(app.client.get("/v1/decisions").await.status, 200, "keys of the API need no issuer");
    issuer.publish(key_set(&[&signer])).await;
    eventually("it is back", async || status(&app, &signer.token(&claims())).await == 200).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_lie_in_a_file() {
    let (old, new) = (Signer::new("RS256", "old"), Signer::new("ES256", "new"));
    let directory = scratch_dir("jwks");
    let file = directory.join("keys.json");
    std::fs::write(&file, key_set(&[&old])).unwrap();
    let app = trusting(&["--jwt-jwks-file", file.to_str().unwrap()], &[]).await;
    assert_eq!(status(&app, &old.token(&claims())).await, 200);
    std::fs::write(&file, key_set(&[&new])).unwrap();
    assert_eq!(status(&app, &new.token(&claims())).await, 200);
    assert_eq!(status(&app, &old.token(&claims())).await, 401);
    app.stop().await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_issuer_no_token_is_taken() {
    let app = TestApp::start().await;
    assert_eq!(status(&app, &a_token_of_a_strangers()).await, 401);
    app.stop().await;
}
