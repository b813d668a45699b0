//! What a service tells its log of those who ask: never a secret, however much it is told to say.

use std::fs::File;
use std::process::Stdio;

use credit_approval::access::keys::ApiKey;
use reqwest::Method;

use super::tokens::a_token_of_a_strangers;
use crate::support::client::registration;
use crate::support::process::{listening, program};
use crate::support::servers::scratch_dir;
use crate::support::{Client, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_at_any_level() {
    let app = TestApp::start().await;
    let directory = scratch_dir("logged");
    let log = directory.join("log");
    let mut command = program(&app.config);
    command.env("RUST_LOG", "trace").args(["serve", "--roles", "api", "--http-addr", "127.0.0.1:0"]);
    let mut service = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let (address, _said) = listening(&mut service).await;
    let client = Client::new(address);
    let unknown = ApiKey::draw().unwrap().token();
    let token = a_token_of_a_strangers();
    let request = client.request(Method::POST, "/register").header("Prefer", "respond-async");
    assert_eq!(client.send(request.json(&registration(50_000))).await.status, 201);
    assert_eq!(client.showing(&unknown).get("/v1/loans").await.status, 401);
    assert_eq!(client.showing(&token).get("/v1/loans").await.status, 401);
    service.kill().await.unwrap();

    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains("/v1/loans") && logged.contains("api_keys"), "it tells of requests and of statements");
    let mine = crate::support::keys::key().token();
    let secrets = [mine.rsplit('_').next(), unknown.rsplit('_').next(), token.rsplit('.').next()];
    for secret in secrets.into_iter().flatten() {
        assert!(secret.len() >= 64 && !logged.contains(secret), "a secret is logged");
    }
    app.stop().await;
    std::fs::remove_dir_all(directory).unwrap();
}
