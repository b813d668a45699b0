//! What every answer says beside what was asked: to browsers, to caches, to pages of other origins; how it is
//! compressed; and that a request which is too large is refused with a document.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::support::TestApp;

const DESK: &str = "https://desk.example";
const STRICT: &str = "default-src 'none'; frame-ancestors 'none'";

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

/// Takes answers as they come over the wire.
fn raw() -> Client {
    Client::builder().no_gzip().no_brotli().no_zstd().build().expect("a client")
}

#[tokio::test]
async fn every_answer_tells_browsers_and_caches_to_keep_out() {
    let app = TestApp::start().await;
    let cases = [
        ("/health/live", 200, STRICT, "no-store"),
        ("/view-loans/999", 404, STRICT, "no-store"),
        ("/no/such/route", 404, STRICT, "no-store"),
        ("/docs", 200, "default-src 'self';", "no-store"),
        ("/docs/docs.js", 200, STRICT, "public, max-age=3600"),
    ];
    for (path, status, policy, cached) in cases {
        let answer = app.client.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header("content-security-policy").starts_with(policy), "{path}: {:?}", answer.headers);
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("cache-control"), cached, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}: it is not spoken over TLS");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    app.stop().await;
}

/// A browser's question whether a page may send a request.
async fn preflight(app: &TestApp, origin: &str) -> HeaderMap {
    let request = app.client.request(Method::OPTIONS, "/v1/customers/1").header("Origin", origin);
    let request = request.header("Access-Control-Request-Method", "PATCH");
    let request = request.header("Access-Control-Request-Headers", "authorization,content-type,if-match");
    app.client.send(request).await.headers
}

/// What a page's request is answered.
async fn asked(app: &TestApp, path: &str, origin: &str) -> HeaderMap {
    app.client.send(app.client.request(Method::GET, path).header("Origin", origin)).await.headers
}

#[tokio::test]
async fn pages_of_other_origins_may_do_nothing_unless_told() {
    let app = TestApp::start().await;
    for headers in [preflight(&app, DESK).await, asked(&app, "/health/live", DESK).await] {
        assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{headers:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn pages_of_the_named_origins_may_call_the_api() {
    let arguments = ["--cors-allowed-origins", "https://desk.example,http://localhost:3000"];
    let app = TestApp::start_with(TestApp::config(&arguments).await).await;
    for origin in [DESK, "http://localhost:3000"] {
        let headers = preflight(&app, origin).await;
        assert_eq!(header(&headers, "access-control-allow-origin"), origin);
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            assert!(header(&headers, "access-control-allow-methods").contains(method), "{headers:?}");
        }
        for name in ["authorization", "idempotency-key", "if-match", "consistency-token"] {
            assert!(header(&headers, "access-control-allow-headers").contains(name), "{headers:?}");
        }
        assert_eq!(header(&headers, "access-control-allow-credentials"), "", "cookies mean nothing here");
        for path in ["/health/live", "/no/such/route"] {
            let headers = asked(&app, path, origin).await;
            assert_eq!(header(&headers, "access-control-allow-origin"), origin, "{path}");
            let exposed = header(&headers, "access-control-expose-headers");
            for name in
                ["consistency-token", "etag", "idempotency-replayed", "ratelimit", "retry-after", "x-request-id"]
            {
                assert!(exposed.split(',').any(|found| found.trim() == name), "{path}: {exposed}");
            }
        }
    }
    for origin in ["https://desk.example.evil", "https://evil", "null", "http://desk.example"] {
        assert_eq!(header(&preflight(&app, origin).await, "access-control-allow-origin"), "", "{origin}");
        assert_eq!(header(&asked(&app, "/health/live", origin).await, "access-control-allow-origin"), "", "{origin}");
    }
    app.stop().await;
}

async fn get(client: &Client, url: &str, encoding: &str) -> Response {
    client.get(url).header("Accept-Encoding", encoding).send().await.expect("the service answers")
}

#[tokio::test]
async fn what_is_large_is_compressed_for_those_who_ask() {
    let app = TestApp::start().await;
    let url = format!("http://{}/openapi.json", app.address());
    let plain = get(&raw(), &url, "identity").await;
    assert_eq!(header(plain.headers(), "content-encoding"), "");
    let plain = plain.text().await.unwrap();
    for encoding in ["gzip", "br", "zstd"] {
        let answer = get(&raw(), &url, encoding).await;
        assert_eq!(header(answer.headers(), "content-encoding"), encoding);
        assert!(header(answer.headers(), "vary").to_ascii_lowercase().contains("accept-encoding"), "{encoding}");
        let bytes = answer.bytes().await.unwrap().len();
        assert!(bytes * 3 < plain.len(), "{encoding}: {bytes} bytes, of {}", plain.len());
        assert!(get(&Client::new(), &url, encoding).await.text().await.unwrap() == plain, "{encoding}: not the same");
    }
    for path in ["/health/live", "/docs/favicon-32x32.png"] {
        let small = get(&raw(), &format!("http://{}{path}", app.address()), "gzip, br, zstd").await;
        assert_eq!(header(small.headers(), "content-encoding"), "", "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_request_with_too_long_a_url_or_too_large_headers_is_refused_with_a_document() {
    let app = TestApp::start().await;
    let http2 = Client::builder().http2_prior_knowledge().build().unwrap();
    let get = |client: &Client, path: String| client.get(format!("http://{}{path}", app.address()));
    for client in [Client::new(), http2] {
        let url = get(&client, format!("/view-loan/1?{}", "a".repeat(8 << 10)));
        let large = get(&client, "/view-loan/1".to_owned()).header("X-Large", "a".repeat(17 << 10));
        let many =
            (0..80).fold(get(&client, "/view-loan/1".to_owned()), |request, n| request.header(format!("X-{n}"), "v"));
        let cases = [
            (url, 414, "url-too-long", "URL"),
            (large, 431, "headers-too-large", "headers"),
            (many, 431, "headers-too-large", "headers"),
        ];
        for (request, status, kind, field) in cases {
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{kind}");
            assert_eq!(header(answer.headers(), "content-type"), "application/problem+json", "{kind}");
            let request_id = header(answer.headers(), "x-request-id").to_owned();
            let body: Value = answer.json().await.expect("a document");
            assert_eq!(body["type"], format!("urn:credit-approval:problem:{kind}"));
            assert_eq!((&body["status"], &body["errors"][0]["field"]), (&status.into(), &field.into()), "{body}");
            assert_eq!(body["request_id"], request_id, "{body}");
        }
    }
    let longest = format!("/view-loan/1?{}", "a".repeat((8 << 10) - "/view-loan/1?".len()));
    assert_eq!(app.client.get(&longest).await.status, 404, "what is allowed reaches its handler");
    app.stop().await;
}
