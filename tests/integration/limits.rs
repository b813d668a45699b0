//! Rate limits: over several processes, across restarts, while PostgreSQL is away, and as clients see them.

mod faults;
#[cfg(target_os = "linux")]
mod memory;
mod shared;

use credit_approval::config::{ForwardedHeader, RateLimits, Serve, WithoutWindows};
use credit_approval::http::description;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::support::client::registration;
use crate::support::sql::count;
use crate::support::{Answer, TestApp};

const ANYTHING: &str = "/v1/loans/1";

/// Limits for a test, with everything else as it is by default.
fn limits(anonymous: u32, authenticated: u32) -> RateLimits {
    RateLimits {
        rate_limit_anonymous: anonymous,
        rate_limit_authenticated: authenticated,
        rate_limit_failure: WithoutWindows::Open,
        trusted_proxies: Vec::new(),
        forwarded_header: ForwardedHeader::XForwardedFor,
    }
}

async fn config(rate_limits: RateLimits) -> Serve {
    Serve { rate_limits, nats_url: None, ..TestApp::config(&[]).await }
}

/// A request of somebody who does not say who it is.
fn anonymous(app: &TestApp, method: Method, path: &str) -> RequestBuilder {
    app.client.anonymous().request(method, path)
}

async fn ask(app: &TestApp) -> Answer {
    app.client.send(anonymous(app, Method::GET, ANYTHING)).await
}

/// `r` and `t` of `RateLimit`.
fn standing(answer: &Answer) -> (u32, u64) {
    let value = answer.header("ratelimit").strip_prefix("\"hour\";r=").expect("a RateLimit");
    let (remaining, seconds) = value.split_once(";t=").expect("both");
    (remaining.parse().expect("a number"), seconds.parse().expect("a number"))
}

#[tokio::test]
async fn every_answer_says_how_the_caller_stands_until_it_is_refused() {
    const LIMIT: u32 = 60;
    let app = TestApp::start_with(config(limits(LIMIT, LIMIT)).await).await;
    for left in (0..LIMIT).rev() {
        let answer = ask(&app).await;
        assert_ne!(answer.status, 429, "{left} were left");
        assert_eq!(answer.header("ratelimit-policy"), "\"hour\";q=60;w=3600");
        let (remaining, seconds) = standing(&answer);
        assert_eq!(remaining, left);
        assert!((3500..=3600).contains(&seconds), "{seconds}");
    }

    let register = anonymous(&app, Method::POST, "/register").json(&registration(50_000));
    let refused = app.client.send(register).await;
    assert_eq!(refused.status, 429, "{:?}", refused.body);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.body["type"], "urn:credit-approval:problem:rate-limited");
    assert_eq!(refused.header("ratelimit-policy"), "\"hour\";q=60;w=3600");
    let (remaining, seconds) = standing(&refused);
    assert_eq!((remaining, refused.header("retry-after")), (0, seconds.to_string().as_str()));
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert_eq!(count(&app.pool().await, "events").await, 0, "a request that is refused has no effect");

    // Whoever watches the process is not kept from it, and uses nothing up.
    for path in ["/health/live", "/health/ready", "/health/ready/"] {
        let answer = app.client.send(anonymous(&app, Method::GET, path)).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""), "{path}");
    }
    let scrape = app.client.get("/metrics").await;
    assert_eq!((scrape.status, scrape.header("ratelimit")), (200, ""));
    let guess = app.client.send(anonymous(&app, Method::GET, "/metrics")).await;
    assert_eq!(guess.status, 429, "who shows no key is counted");
    app.stop().await;
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_and_nothing_is_kept() {
    let app = TestApp::start_with(config(limits(0, 0)).await).await;
    for _ in 0..5 {
        let answer = ask(&app).await;
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), ("", ""));
    }
    assert_eq!(count(&app.pool().await, "rate_limit_windows").await, 0);
    app.stop().await;
}

async fn forwarded(app: &TestApp, name: &str, value: &str) -> u16 {
    app.client.send(anonymous(app, Method::GET, ANYTHING).header(name, value)).await.status
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_and_cannot_lie() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    let app = TestApp::start_with(config(RateLimits { trusted_proxies, ..limits(2, 2) }).await).await;
    let asks = async |value: &str| forwarded(&app, "x-forwarded-for", value).await == 429;
    for _ in 0..2 {
        assert!(!asks("198.51.100.1").await);
    }
    assert!(asks("198.51.100.1").await, "it has used its two");
    assert!(asks("203.0.113.7, 198.51.100.1").await, "what a client writes before that changes nothing");
    assert!(asks("10.0.0.9, 198.51.100.1, 10.0.0.1").await, "nor that it passed for a proxy");
    assert!(!asks("198.51.100.2").await, "another has its own");
    for address in ["2001:db8:0:1::1", "[2001:db8:0:1::2]:4711"] {
        assert!(!asks(address).await);
    }
    assert!(asks("2001:db8:0:1:ffff::3").await, "a network of one subscriber has one");
    // Of the proxy itself.
    assert!(forwarded(&app, "forwarded", "for=192.0.2.77").await != 429);
    assert!(!asks("unknown").await);
    assert!(forwarded(&app, "forwarded", "for=192.0.2.78").await == 429, "this header is not the one that is believed");
    app.stop().await;
}

#[tokio::test]
async fn nobody_is_believed_who_is_not_trusted() {
    let app = TestApp::start_with(config(limits(2, 2)).await).await;
    for (address, refused) in [("198.51.100.1", false), ("198.51.100.2", false), ("198.51.100.3", true)] {
        assert_eq!(forwarded(&app, "x-forwarded-for", address).await == 429, refused, "{address}");
    }
    app.stop().await;
}

#[test]
fn every_limited_operation_says_so() {
    let document: Value = serde_json::from_str(&description()).expect("the description is JSON");
    let mut limited = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let responses = operation["responses"].as_object().expect("responses");
            assert_eq!(responses.contains_key("429"), !path.starts_with("/health/"), "{method} {path}");
            if !responses.contains_key("429") {
                continue;
            }
            limited += 1;
            for (status, response) in responses {
                let referred = response["$ref"].as_str().and_then(|place| document.pointer(&place[1..]));
                let headers = &referred.unwrap_or(response)["headers"];
                for name in ["RateLimit", "RateLimit-Policy"] {
                    assert!(headers.get(name).is_some(), "{method} {path}: {status} has no {name}");
                }
            }
        }
    }
    assert!(limited > 25, "{limited}");
    assert!(document.pointer("/components/responses/TooManyRequests/headers/Retry-After").is_some());
}
