//! The description as it is served: the document, the page that works without a network, and examples that hold.

use credit_approval::http::description;
use reqwest::Method;
use serde_json::Value;

use super::{Operation, document, examples, operations, resolved};
use crate::support::TestApp;
use crate::support::servers::scratch_dir;

#[tokio::test]
async fn the_description_and_its_page_are_served_without_a_network() {
    let app = TestApp::start().await;
    let text = async |path: &str| {
        let response = app.client.request(Method::GET, path).send().await.expect("the service answers");
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, media_type, policy) =
            (response.status().as_u16(), header("content-type"), header("content-security-policy"));
        (status, media_type, policy, response.text().await.expect("text"))
    };
    let (status, media_type, _, served) = text("/openapi.json").await;
    assert_eq!((status, media_type.as_str()), (200, "application/json"));
    assert!(served == description(), "the service and the command line say the same, to the byte");

    for path in ["/docs", "/docs/"] {
        let (status, media_type, policy, page) = text(path).await;
        assert_eq!((status, media_type.as_str()), (200, "text/html; charset=utf-8"), "{path}");
        assert!(policy.starts_with("default-src 'self';"), "the browser may ask others: {policy}");
        assert!(!page.contains("://") && !page.contains("src=\"//"), "the page names others: {page}");
        let files = page.split('"').filter(|part| part.starts_with("/docs/"));
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), 4, "{files:?}");
        for file in files {
            let (status, media_type, _, content) = text(file).await;
            assert_eq!(status, 200, "{file}");
            let expected = match file.rsplit('.').next() {
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                _ => "image/png",
            };
            assert_eq!(media_type, expected, "{file}");
            assert!(!content.is_empty(), "{file}");
            let loads = ["url(http", "url(//", "@import", "sourceMappingURL=http"];
            assert!(media_type == expected && !loads.iter().any(|load| content.contains(load)), "{file} loads others");
        }
    }
    let (_, _, _, start) = text("/docs/docs.js").await;
    assert!(start.contains("url: \"/openapi.json\"") && start.contains("validatorUrl: null"), "{start}");
    assert_eq!(text("/docs/index.html").await.0, 404);
    app.stop().await;
}

/// An operation's path and query, filled in with the examples of its parameters.
fn target(document: &Value, operation: &Operation<'_>) -> String {
    let mut path = operation.path.to_owned();
    let mut query = Vec::new();
    for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
        let parameter = resolved(document, parameter);
        let name = parameter["name"].as_str().expect("a name");
        let example = parameter.get("example").map(|example| match example.as_str() {
            Some(text) => text.to_owned(),
            None => example.to_string(),
        });
        match parameter["in"].as_str() {
            Some("path") => {
                let example = example.unwrap_or_else(|| panic!("{}: {name} has no example", operation.name()));
                path = path.replace(&format!("{{{name}}}"), &example);
            }
            Some("query") => query.extend(example.map(|example| format!("{name}={example}"))),
            _ => {}
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// The headers that an operation cannot do without.
fn required_headers<'a>(document: &'a Value, operation: &'a Operation<'_>) -> Vec<(&'a str, &'a str)> {
    let parameters = operation.value["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| resolved(document, parameter));
    let required = parameters.filter(|parameter| parameter["in"] == "header" && parameter["required"] == true);
    required.filter_map(|header| Some((header["name"].as_str()?, header["example"].as_str()?))).collect()
}

/// Sent as the description's examples say, on sample data, nothing is called a bad request.
#[tokio::test]
async fn the_examples_of_requests_are_taken() {
    let data = scratch_dir("openapi");
    let directory = data.to_str().expect("a path in UTF-8").to_owned();
    let app = TestApp::start_with(TestApp::config(&["--sample-data", "--data-dir", &directory]).await).await;
    let document = document();
    let mut refused = Vec::new();
    for operation in operations(&document) {
        let bodies = match operation.value.get("requestBody") {
            None => vec![None],
            // No example can be written of a form that holds files.
            Some(body) => match body["content"].get("application/json") {
                Some(json) => examples(&document, json).into_iter().map(Some).collect(),
                None => Vec::new(),
            },
        };
        for body in bodies {
            let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).expect("a method");
            let mut request = app.client.request(method, &target(&document, &operation));
            for (name, value) in required_headers(&document, &operation) {
                request = request.header(name, value);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = app.client.send(request).await;
            let status = answer.status.to_string();
            let is_described = operation.value["responses"].get(&status).is_some();
            if !is_described || [400, 415, 422].contains(&answer.status) || answer.status >= 500 {
                refused.push(format!("{} with {body:?}: {status} {}", operation.name(), answer.body));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    app.stop().await;
    std::fs::remove_dir_all(data).expect("the scratch directory goes");
}
