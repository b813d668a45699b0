//! Problem documents.

use serde_json::Value;

use super::Answer;

/// The type of the problem that says so of an earlier request under the same key.
pub(crate) const STILL_RUNNING: &str = "urn:credit-approval:problem:still-running";

/// What of an answer is not the problem document that it must be.
pub(crate) fn faults(answer: &Answer, status: u16, fields: &[&str]) -> Vec<String> {
    let kind = match status {
        400 => "invalid-request",
        404 => "not-found",
        413 => "unreadable-body",
        415 => "unsupported-media-type",
        other => panic!("no case expects a {other}"),
    };
    let mut faults = Vec::new();
    let mut expect = |what: &str, found: Value, expected: Value| {
        if found != expected {
            faults.push(format!("{what} is {found}, not {expected}"));
        }
    };
    let body = &answer.body;
    expect("the status", answer.status.into(), status.into());
    expect("Content-Type", answer.header("content-type").into(), "application/problem+json".into());
    expect("type", body["type"].clone(), format!("urn:credit-approval:problem:{kind}").into());
    expect("status", body["status"].clone(), status.into());
    expect("request_id", body["request_id"].clone(), answer.header("x-request-id").into());
    expect("errors[].field", answer.wrong_fields().into(), fields.into());
    for text in ["/title", "/detail", "/request_id", "/errors/0/message"] {
        let found = body.pointer(text).and_then(Value::as_str).unwrap_or_default();
        expect(&format!("whether {text} says something"), (!found.is_empty()).into(), true.into());
    }
    faults
}
