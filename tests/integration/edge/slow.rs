//! Clients that send slowly, or nothing: they are let go, and nobody else waits for them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{rest, sent};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::metrics::samples;
use crate::support::wait::{PATIENCE, eventually};

const HALF_A_HEAD: &str = "GET /health/live HTTP/1.1\r\nHost: service\r\nX-Never: ";
const HALF_A_BODY: &str = "POST /register HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n\
                           Content-Length: 1000\r\n\r\n{";
const WHOLE: &str = "GET /health/live HTTP/1.1\r\nHost: service\r\n\r\n";
/// A request is answered within so long, whoever else is slow.
const PROMPTLY: Duration = Duration::from_secs(5);

async fn all_sent(address: SocketAddr, bytes: &str, how_many: usize) -> Vec<TcpStream> {
    join_all((0..how_many).map(|_| sent(address, bytes))).await
}

/// What comes on all of them until the service closes them.
async fn all_rest(streams: Vec<TcpStream>) -> Vec<String> {
    let rests = streams.into_iter().map(|mut stream| async move { rest(&mut stream).await });
    tokio::time::timeout(PATIENCE, join_all(rests)).await.expect("the service lets slow clients go")
}

async fn connections(app: &TestApp) -> f64 {
    samples(&app.client).await["credit_approval_http_connections"]
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_slow_clients_hold_up_nobody() {
    let app = TestApp::start_with(TestApp::config(&["--header-timeout", "20", "--body-timeout", "20"]).await).await;
    let heads = all_sent(app.address(), HALF_A_HEAD, 300).await;
    let bodies = all_sent(app.address(), HALF_A_BODY, 300).await;
    eventually("all of them are connected", async || connections(&app).await >= 600.0).await;
    for _ in 0..5 {
        let began = Instant::now();
        app.client.register(50_000).await;
        assert_eq!(app.client.get("/health/ready").await.status, 200);
        assert!(began.elapsed() < PROMPTLY, "they held it up for {:?}", began.elapsed());
    }
    drop((heads, bodies));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_let_go() {
    let app = TestApp::start_with(TestApp::config(&["--header-timeout", "1", "--body-timeout", "1"]).await).await;
    let heads = all_sent(app.address(), HALF_A_HEAD, 50).await;
    let silent = all_sent(app.address(), "", 50).await;
    let bodies = all_sent(app.address(), HALF_A_BODY, 50).await;
    assert!(all_rest(heads).await.iter().all(String::is_empty), "who sends half a head is answered nothing");
    assert!(all_rest(silent).await.iter().all(String::is_empty));
    for answer in all_rest(bodies).await {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("urn:credit-approval:problem:unreadable-body"), "{answer}");
        assert!(answer.contains("\"body\"") && answer.contains("came too slowly"), "{answer}");
    }
    let form = format!(
        "POST /v1/imports HTTP/1.1\r\nHost: service\r\n{}Content-Type: multipart/form-data; boundary=b\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\n--b\r\n\r\n",
        app.client.authorization(),
    );
    for answer in all_rest(all_sent(app.address(), &form, 1).await).await {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_said_to_be_too_large_is_not_waited_for() {
    let app = TestApp::start_with(TestApp::config(&["--body-timeout", "60"]).await).await;
    let head = HALF_A_BODY.replace("Content-Length: 1000", "Content-Length: 65537");
    let request = head.replace("Host: service", &format!("Host: service\r\n{}", app.client.authorization().trim_end()));
    let began = Instant::now();
    let mut stream = sent(app.address(), &request).await;
    let mut answer = [0; 64];
    let length = tokio::time::timeout(PROMPTLY, stream.read(&mut answer)).await.expect("it is answered").unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer[..length]));
    assert!(began.elapsed() < PROMPTLY);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_an_answer_is_let_go() {
    let app = TestApp::start_with(TestApp::config(&["--body-timeout", "1"]).await).await;
    // More than fits into the buffers of both sides.
    let asked = "GET /openapi.json HTTP/1.1\r\nHost: service\r\nAccept-Encoding: identity\r\n\r\n".repeat(200);
    let stream = sent(app.address(), &asked).await;
    eventually("it is connected", async || connections(&app).await == 2.0).await;
    eventually("it is let go", async || connections(&app).await == 1.0).await;
    drop(stream);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_keeps_pace_may_come_in_pieces() {
    let app = TestApp::start_with(TestApp::config(&["--body-timeout", "2"]).await).await;
    let body = registration(50_000).to_string();
    let head = format!(
        "POST /register HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len(),
    );
    let mut stream = sent(app.address(), &head).await;
    for piece in body.as_bytes().chunks(40) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(piece).await.unwrap();
    }
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_all_places_taken_comes_in_once_there_is_room() {
    let app = TestApp::start_with(TestApp::config(&["--max-connections", "10", "--header-timeout", "2"]).await).await;
    let silent = all_sent(app.address(), "", 10).await;
    let late = all_sent(app.address(), WHOLE, 5).await;
    let answers = join_all(late.into_iter().map(|mut stream| async move {
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning).await.map(|_| beginning)
    }));
    let answers = tokio::time::timeout(PATIENCE, answers).await.expect("there is room again");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|status| status == b"HTTP/1.1 200")), "{answers:?}");
    drop(silent);
    let samples = samples(&app.client).await;
    assert!(samples["credit_approval_http_connections_waited_total"] >= 1.0, "{samples:?}");
    assert!(samples["credit_approval_http_connections"] <= 10.0, "{samples:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_nothing_any_more_is_let_go() {
    let app = TestApp::start_with(TestApp::config(&["--idle-timeout", "2"]).await).await;
    let asked = Instant::now();
    let mut stream = sent(app.address(), WHOLE).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!((1..15).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());

    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/health/live", app.address());
    let answered = http2.get(&url).send().await.unwrap();
    assert_eq!((answered.version(), answered.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    // Of the one that asks for the metrics there is one too, again and again.
    assert_eq!(connections(&app).await, 2.0);
    eventually("it is let go", async || connections(&app).await == 1.0).await;
    // And a client that comes again is served.
    assert_eq!(http2.get(&url).send().await.unwrap().status().as_u16(), 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_is_under_way_and_waits_for_nobody_else() {
    let app = TestApp::start().await;
    let (address, client) = (app.address(), app.client.clone());
    let body = registration(50_000).to_string();
    let head = format!(
        "POST /register HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len(),
    );
    let mut under_way = sent(address, &head).await;
    let mut idle = sent(address, WHOLE).await;
    let mut beginning = [0; 12];
    idle.read_exact(&mut beginning).await.unwrap();
    let stopping = tokio::spawn(app.stop());
    eventually("nobody comes in any more", async || TcpStream::connect(address).await.is_err()).await;
    assert!(tokio::time::timeout(PROMPTLY, rest(&mut idle)).await.is_ok(), "an idle connection is closed");

    under_way.write_all(body.as_bytes()).await.unwrap();
    let answer = rest(&mut under_way).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    tokio::time::timeout(PATIENCE, stopping).await.expect("it stops").unwrap();
    assert!(client.try_send(client.request(Method::GET, "/health/live")).await.is_err());
}
