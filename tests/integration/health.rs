//! Health: what a process says of itself before it has started, while it serves, and once it is asked to stop.

mod ready;
mod starting;
mod stopping;

use reqwest::Method;

use crate::support::{Answer, Client};

/// What a process says of itself; `None` where nobody answers.
async fn asked(client: &Client, what: &str) -> Option<Answer> {
    client.try_send(client.request(Method::GET, &format!("/health/{what}"))).await.ok()
}

/// The checks that an answer says do not hold; `None` where it says that all do.
fn failing(answer: &Answer) -> Option<Vec<&str>> {
    if answer.status == 200 {
        return None;
    }
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body["type"], "urn:credit-approval:problem:not-ready", "{}", answer.body);
    assert_eq!(answer.header("retry-after"), "1");
    Some(answer.wrong_fields())
}
