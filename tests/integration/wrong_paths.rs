//! Requests that go astray: wrong ids in paths, unknown routes and methods, tokens that are none (G10).

use reqwest::Method;

use crate::support::TestApp;
use crate::support::problem::faults;

#[tokio::test]
async fn a_wrong_path_is_refused() {
    let app = TestApp::start().await;
    for (path, field) in [("/view-loan", "loan_id"), ("/view-loans", "customer_id")] {
        for id in ["abc", "1abc", "0x10", "1.0", "1.5", "1e3", "+1", "--1", "-", "1_000", "%20", "%00", "null", "1%20"]
        {
            let answer = app.client.get(&format!("{path}/{id}")).await;
            assert_eq!(faults(&answer, 400, &[field]), Vec::<String>::new(), "{path}/{id}: {}", answer.body);
        }
        for id in ["0", "-1", "1", "999999", "9007199254740992", "9223372036854775808", &"9".repeat(1000)] {
            let answer = app.client.get(&format!("{path}/{id}")).await;
            assert_eq!(faults(&answer, 404, &[field]), Vec::<String>::new(), "{path}/{id}: {}", answer.body);
        }
        let answer = app.client.get(&format!("{path}/%ff")).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/problem+json"), "{path}/%ff");
        assert_eq!(answer.wrong_fields(), ["path"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn an_unknown_route_or_method_is_refused() {
    let app = TestApp::start().await;
    for path in ["/", "/nothing", "/register/1", "/view-loan", "/view-loans/1/2", "/v2/loans", "/Register", "/%00"] {
        let answer = app.client.get(path).await;
        assert_eq!((answer.status, &answer.body["status"]), (404, &404.into()), "{path}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:credit-approval:problem:no-such-route", "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let wrong = [
        (Method::GET, "/register", "POST"),
        (Method::DELETE, "/register/", "POST"),
        (Method::PUT, "/create-loan", "POST"),
        (Method::GET, "/check-eligibility", "POST"),
        (Method::POST, "/view-loan/1", "GET,HEAD"),
        (Method::PATCH, "/view-loans/1", "GET,HEAD"),
        (Method::POST, "/health/live", "GET,HEAD"),
    ];
    for (method, path, allowed) in wrong {
        let answer = app.client.send(app.client.request(method.clone(), path)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["type"], "urn:credit-approval:problem:no-such-method", "{method} {path}");
        assert_eq!(answer.body["request_id"], answer.header("x-request-id"), "{method} {path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let path = format!("/view-loans/{customer_id}");
    let tokens = [
        "",
        "c1",
        "c1.0",
        "c1.0.",
        "c1..1",
        "c2.0.1",
        "c1.8.1",
        "c1.256.1",
        "c1.-1.1",
        "c1.0.-1",
        "c1.0.1.1",
        "c1.0.x",
        "c1.0.9223372036854775808",
        "1",
        "latest",
        "c1 0 1",
    ];
    for token in tokens {
        let request = app.client.request(Method::GET, &path).header("Consistency-Token", token);
        let answer = app.client.send(request).await;
        assert_eq!(faults(&answer, 400, &["Consistency-Token"]), Vec::<String>::new(), "{token:?}: {}", answer.body);
    }
    app.stop().await;
}
