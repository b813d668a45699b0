//! What the service tells Prometheus, read as strictly as Prometheus reads it.

use std::collections::BTreeMap;

use credit_approval::metrics::CONTENT_TYPE;
use reqwest::Method;

use super::Client;

/// What the service tells Prometheus.
pub(crate) async fn metrics(client: &Client) -> String {
    let response = client.request(Method::GET, "/metrics").send().await.expect("the service answers");
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
    response.text().await.expect("text")
}

/// A sample's name with its labels: `name` or `name{label="value",...}`.
fn is_series(text: &str) -> bool {
    let (name, labels) = text.split_once('{').map_or((text, None), |(name, labels)| (name, Some(labels)));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_value = |value: &str| value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    let is_label = |label: &str| label.split_once('=').is_some_and(|(name, value)| is_name(name) && is_value(value));
    is_name(name)
        && labels.is_none_or(|labels| labels.strip_suffix('}').is_some_and(|labels| labels.split(',').all(is_label)))
}

/// The samples in a text; every line must be one, or a comment.
pub(crate) fn samples_in(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let sample = line.rsplit_once(' ').filter(|(series, _)| is_series(series));
        let sample = sample.and_then(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
        let (series, value) = sample.unwrap_or_else(|| panic!("this is no sample: {line}"));
        assert!(samples.insert(series, value).is_none(), "this comes twice: {line}");
    }
    samples
}

/// What the service tells Prometheus, by name and labels.
pub(crate) async fn samples(client: &Client) -> BTreeMap<String, f64> {
    samples_in(&metrics(client).await)
}
