//! What the service says of its read models.

use serde_json::Value;

use super::Client;
use super::wait::eventually;

/// What the service says of one read model.
pub(crate) async fn status_of(client: &Client, name: &str) -> Value {
    let answer = client.get("/v1/projections").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut items = answer.body["items"].as_array().expect("items").iter();
    items.find(|item| item["name"] == name).cloned().unwrap_or_else(|| panic!("no {name} in {}", answer.body))
}

/// Waits until a read model is in that state; answers what the service says of it then.
pub(crate) async fn until_state(client: &Client, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), async || {
        let item = status_of(client, name).await;
        (item["state"] == state).then_some(item)
    })
    .await
}
