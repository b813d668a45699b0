//! HTTPS: which versions are spoken, and that a certificate is changed without a restart.

use std::fs;
use std::path::PathBuf;

use reqwest::tls::Version as Tls;
use reqwest::{Certificate, Client, ClientBuilder, Version};

use super::{rest, sent};
use crate::support::TestApp;
use crate::support::keys;
use crate::support::process::{binary, run};
use crate::support::servers::scratch_dir;
use crate::support::wait::eventually;

/// A certificate and its key, of a name of its own.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// A client that trusts this certificate and no other.
    fn client(&self) -> ClientBuilder {
        let root = Certificate::from_pem(self.certificate.as_bytes()).expect("a certificate");
        Client::builder().tls_built_in_root_certs(false).add_root_certificate(root)
    }
}

/// The files that the service reads.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        Self(scratch_dir("tls"))
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    fn write(&self, certificate: &str, key: &str) {
        fs::write(self.certificate(), certificate).expect("the file is written");
        fs::write(self.key(), key).expect("the file is written");
    }

    fn arguments(&self) -> [String; 4] {
        let [certificate, key] = [self.certificate(), self.key()].map(|path| path.display().to_string());
        ["--tls-certificate-file".to_owned(), certificate, "--tls-key-file".to_owned(), key]
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn over_tls(files: &Files, further: &[&str]) -> TestApp {
    let arguments = files.arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(further.iter().copied()).collect();
    TestApp::start_with(TestApp::config(&arguments).await).await
}

/// What a service over TLS that takes tokens tells Prometheus, once it has looked at a certificate and an issuer's keys.
pub(crate) async fn metrics_with_tokens() -> String {
    let (files, pair) = (Files::new(), Pair::new());
    files.write(&pair.certificate, &pair.key);
    let issuer_keys = files.0.join("keys.json");
    fs::write(&issuer_keys, r#"{"keys": []}"#).expect("the file is written");
    let issuer_keys = issuer_keys.display().to_string();
    let tokens = ["--jwt-issuer", "https://id", "--jwt-audience", "credit", "--jwt-jwks-file", &issuer_keys];
    let app = over_tls(&files, &tokens).await;
    files.write("nonsense", &pair.key);
    let (client, url) = (pair.client().build().expect("a client"), format!("https://{}/metrics", app.address()));
    let text = eventually("both were looked at", async || {
        let answer = client.get(&url).bearer_auth(keys::key().token()).send().await.expect("the service answers");
        let text = answer.text().await.expect("text");
        (text.contains("certificate_changes_total{") && text.contains("jwks_fetches_total{")).then_some(text)
    })
    .await;
    app.stop().await;
    text
}

fn url(app: &TestApp) -> String {
    format!("https://{}/health/live", app.address())
}

/// Whether a client's new connection is served.
async fn serves(client: ClientBuilder, app: &TestApp) -> bool {
    let answer = client.build().expect("a client").get(url(app)).send().await;
    answer.is_ok_and(|answer| answer.status().as_u16() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_in_its_two_versions_and_http_in_both_of_its_own() {
    let (files, pair) = (Files::new(), Pair::new());
    files.write(&pair.certificate, &pair.key);
    let app = over_tls(&files, &["--header-timeout", "2"]).await;
    let clients = [
        (pair.client(), Version::HTTP_2),
        (pair.client().http1_only(), Version::HTTP_11),
        (pair.client().max_tls_version(Tls::TLS_1_2), Version::HTTP_2),
        (pair.client().min_tls_version(Tls::TLS_1_3), Version::HTTP_2),
    ];
    for (client, version) in clients {
        let answer = client.build().unwrap().get(url(&app)).send().await.expect("the service answers");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
    assert!(!serves(Client::builder(), &app).await, "a certificate that nobody vouches for");

    let answer = rest(&mut sent(app.address(), "GET /health/live HTTP/1.1\r\nHost: service\r\n\r\n").await).await;
    assert!(!answer.contains("HTTP/1.1 200"), "plain HTTP is answered: {answer}");
    assert_eq!(rest(&mut sent(app.address(), "").await).await, "", "who makes no handshake is let go");
    let ran = run(&app.config, &["health", "--url", &url(&app)]).await;
    assert_eq!((ran.code, ran.complained.as_str()), (Some(0), ""));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_and_a_bad_one_changes_nothing() {
    let (files, first, second) = (Files::new(), Pair::new(), Pair::new());
    files.write(&first.certificate, &first.key);
    let app = over_tls(&files, &[]).await;
    let old = first.client().build().unwrap();
    assert_eq!(old.get(url(&app)).send().await.expect("the service answers").status().as_u16(), 200);
    assert!(!serves(second.client(), &app).await);

    files.write(&second.certificate, &second.key);
    eventually("the new certificate is taken", async || serves(second.client(), &app).await).await;
    assert!(!serves(first.client(), &app).await, "the old one is still shown");
    assert_eq!(old.get(url(&app)).send().await.expect("its connection goes on").status().as_u16(), 200);

    let metrics = format!("https://{}/metrics", app.address());
    let client = second.client().build().unwrap();
    let refused = async |times: u8| {
        let line = format!("credit_approval_tls_certificate_changes_total{{outcome=\"refused\"}} {times}\n");
        client
            .get(&metrics)
            .bearer_auth(keys::key().token())
            .send()
            .await
            .expect("the service answers")
            .text()
            .await
            .expect("text")
            .contains(&line)
    };
    let bad = [
        ("nonsense", second.key.as_str()),
        (first.certificate.as_str(), second.key.as_str()),
        (second.certificate.as_str(), ""),
    ];
    for (times, (certificate, key)) in (1..).zip(bad) {
        files.write(certificate, key);
        eventually("it is refused", async || refused(times).await).await;
        assert!(serves(second.client(), &app).await, "the one before is gone");
    }
    fs::remove_file(files.key()).unwrap();
    eventually("that the file is gone is seen", async || refused(4).await).await;
    assert!(serves(second.client(), &app).await, "the one before is gone");

    files.write(&first.certificate, &first.key);
    eventually("the next good one is taken", async || serves(first.client(), &app).await).await;
    app.stop().await;
}

#[tokio::test]
async fn a_service_without_a_good_certificate_does_not_start() {
    let (files, pair, other) = (Files::new(), Pair::new(), Pair::new());
    let start = async || {
        let arguments = files.arguments();
        let output = binary().args(["serve", "--http-addr", "127.0.0.1:0"]).args(arguments).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start().await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("credit-approval: HTTPS cannot be spoken: cannot read "), "{said}");
    assert!(said.contains("certificate.pem"), "{said}");
    files.write(&pair.certificate, &other.key);
    let (code, said) = start().await;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("certificate.pem and ") && said.contains("are no certificate and its key"), "{said}");

    let lonely = binary().args(["serve", "--tls-key-file", "key.pem"]).output().await.unwrap();
    assert_eq!(lonely.status.code(), Some(2));
    let origin = binary().args(["serve", "--cors-allowed-origins", "*"]).output().await.unwrap();
    assert_eq!(origin.status.code(), Some(2));
}
