//! The API's description as a document: whole, consistent, and the one that is committed.

mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use credit_approval::http::description;
use serde_json::Value;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
const PROBLEM: &str = "#/components/schemas/Problem";
/// Routes that ask no database.
const WITHOUT_DATABASE: [&str; 6] = ["live", "openapi", "docs", "docs_file", "list_policies", "get_policy"];

fn document() -> Value {
    serde_json::from_str(&description()).expect("the description is JSON")
}

/// An operation with the path and the method that lead to it.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    value: &'a Value,
}

impl Operation<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }

    fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap_or_default()
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, value) in item.as_object().expect("a path's operations") {
            assert!(METHODS.contains(&method.as_str()), "{path} has {method}");
            operations.push(Operation { path, method, value });
        }
    }
    operations
}

/// Follows a reference, if it is one.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let place = reference.strip_prefix('#').expect("references stay within the document");
            document.pointer(place).unwrap_or_else(|| panic!("{reference} names nothing"))
        }
        None => value,
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The examples of a body: its own, or its schema's, or those of what it is a list of.
fn examples<'a>(document: &'a Value, media: &'a Value) -> Vec<&'a Value> {
    if let Some(example) = media.get("example") {
        return vec![example];
    }
    if let Some(examples) = media["examples"].as_object() {
        return examples.values().map(|example| &example["value"]).collect();
    }
    let schema = resolved(document, &media["schema"]);
    schema["examples"].as_array().map(|examples| examples.iter().collect()).unwrap_or_default()
}

#[test]
fn every_reference_resolves_and_every_component_is_referred_to() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in &found {
        let place = reference.strip_prefix('#').expect("references stay within the document");
        assert!(document.pointer(place).is_some(), "{reference} names nothing");
    }
    for (kind, components) in document["components"].as_object().expect("components") {
        for name in components.as_object().expect("named components").keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(found.contains(&reference) || kind == "securitySchemes", "nothing refers to {reference}");
        }
    }
}

#[test]
fn every_operation_says_what_it_is() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: Vec<_> = document["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeMap::new();
    for operation in operations(&document) {
        let name = operation.name();
        if let Some(other) = ids.insert(operation.id().to_owned(), name.clone()) {
            panic!("{other} and {name} are both '{}'", operation.id());
        }
        assert!(!operation.id().is_empty(), "{name} has no operationId");
        assert!(operation.value["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        let tag = operation.value["tags"][0].as_str();
        assert!(tags.contains(&tag), "{name} stands under {tag:?}, which is described nowhere");
    }
}

#[test]
fn every_path_parameter_is_described() {
    let document = document();
    for operation in operations(&document) {
        let name = operation.name();
        let parameters = operation.value["parameters"].as_array().expect("there is one at least");
        let parameters: Vec<_> = parameters.iter().map(|parameter| resolved(&document, parameter)).collect();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<_> = in_path.filter_map(|parameter| parameter["name"].as_str()).collect();
        let parts = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(described, parts.collect(), "{name}");
        for parameter in parameters {
            let what = format!("{name}: {}", parameter["name"]);
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{what} is not described");
        }
    }
}

#[test]
fn every_operation_says_how_it_ends() {
    let document = document();
    for operation in operations(&document) {
        let name = operation.name();
        let responses = operation.value["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name} cannot end well");
        let asks_a_database = !WITHOUT_DATABASE.contains(&operation.id());
        for (status, needed) in [("500", true), ("503", asks_a_database)] {
            assert!(!needed || responses.contains_key(status), "{name} does not say {status}");
        }
        if operation.value.get("requestBody").is_some() {
            for status in ["400", "413", "415"] {
                assert!(responses.contains_key(status), "{name} takes a body and does not say {status}");
            }
        }
        for (status, response) in responses {
            let response = resolved(&document, response);
            let what = format!("{name}: {status}");
            assert!(response["headers"].get("X-Request-Id").is_some(), "{what} has no X-Request-Id");
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{what} is not described");
            let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem == PROBLEM, status.as_str() >= "400", "{what} is not a problem document");
        }
    }
}

#[test]
fn every_body_has_an_example() {
    let document = document();
    let mut without = Vec::new();
    for operation in operations(&document) {
        let mut bodies = vec![("request".to_owned(), &operation.value["requestBody"])];
        for (status, response) in operation.value["responses"].as_object().expect("responses") {
            bodies.push((status.clone(), resolved(&document, response)));
        }
        for (which, body) in bodies {
            for (media_type, media) in body["content"].as_object().into_iter().flatten() {
                // What a form holds is a file, and an example of one is none.
                if media_type != "multipart/form-data" && examples(&document, media).is_empty() {
                    without.push(format!("{}: {which} ({media_type})", operation.name()));
                }
            }
        }
    }
    assert!(without.is_empty(), "without an example:\n{}", without.join("\n"));
}

#[test]
fn the_committed_description_is_the_services() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let line = committed.lines().zip(description().lines().map(str::to_owned)).position(|(old, new)| old != new);
    assert!(
        committed == description(),
        "docs/openapi.json is not what the service says (from line {}); look at the difference and commit it: \
         make openapi",
        line.map_or(committed.lines().count(), |line| line) + 1,
    );
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names that types of a source file have in the description.
fn schema_names(text: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut names = Vec::new();
    for (start, _) in text.match_indices("#[derive(") {
        let rest = &text[start..];
        if !rest.split(']').next().is_some_and(|derive| derive.contains("ToSchema")) {
            continue;
        }
        let declared = ["struct ", "enum "].iter().filter_map(|kind| Some((rest.find(kind)?, kind.len()))).min();
        let Some((place, length)) = declared else { continue };
        let renamed = rest[..place].find("#[schema(as = ").map(|at| word(&rest[at + "#[schema(as = ".len()..]));
        names.push(renamed.unwrap_or_else(|| word(&rest[place + length..])));
    }
    names
}

/// The router keeps one schema of a name, and says nothing when another has it.
#[test]
fn no_two_schemas_share_a_name() {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        for name in schema_names(&fs::read_to_string(&file).expect("a source file")) {
            if let Some(other) = owners.insert(name.clone(), file.clone()) {
                panic!("{name} is in {} and in {}: `#[schema(as = …)]`", other.display(), file.display());
            }
        }
    }
    let document = document();
    for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
        let written_by_hand = ["Number", "Seconds"].contains(&name.as_str());
        assert!(owners.contains_key(name) || written_by_hand, "the search for names does not find {name}");
    }
}
