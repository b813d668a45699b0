//! What many operations share: headers, and the problems that any of them can end in.

use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Components, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Header, Object, Ref, RefOr, Required, Response};
use utoipa::{PartialSchema, ToSchema};

use crate::http::access::BEARER;
use crate::http::problem::ProblemDocument;

const PROBLEM_JSON: &str = "application/problem+json";

const X_REQUEST_ID: &str = "X-Request-Id";
const TRACEPARENT: &str = "traceparent";
const CONSISTENCY_TOKEN: &str = "Consistency-Token";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const IDEMPOTENCY_REPLAYED: &str = "Idempotency-Replayed";
const PREFER: &str = "Prefer";
pub(super) const RETRY_AFTER: &str = "Retry-After";
const LIMIT: &str = "limit";
const CURSOR: &str = "cursor";
const ETAG: &str = "ETag";
const WWW_AUTHENTICATE: &str = "WWW-Authenticate";
const IF_MATCH: &str = "If-Match";
/// `*`, or entity tags with commas between them.
const TAGS: &str = "^(\\*|(W/)?\"[!#-~]*\"( ?, ?(W/)?\"[!#-~]*\")*)$";

const STILL_RUNNING: &str = "A request with the same `Idempotency-Key` is still running.";

/// Of a command: its idempotency, its own wait, and the token of what it wrote.
pub(super) fn add_command(operation: &mut Operation) {
    for name in [PREFER, TRACEPARENT] {
        add_parameter(operation, name);
    }
    for response in successes(operation) {
        response.headers.entry(CONSISTENCY_TOKEN.to_owned()).or_insert_with(|| header_ref(CONSISTENCY_TOKEN));
    }
    add_keyed(operation);
}

/// Of what takes effect once for a key.
pub(super) fn add_keyed(operation: &mut Operation) {
    add_parameter(operation, IDEMPOTENCY_KEY);
    for response in successes(operation) {
        response.headers.entry(IDEMPOTENCY_REPLAYED.to_owned()).or_insert_with(|| header_ref(IDEMPOTENCY_REPLAYED));
    }
    // A command may have reasons of its own for a conflict.
    if let Some(RefOr::T(conflict)) = operation.responses.responses.get_mut("409") {
        conflict.description = format!("{} Or: {STILL_RUNNING}", conflict.description.trim_end());
        conflict.headers.insert(RETRY_AFTER.to_owned(), header_ref(RETRY_AFTER));
    } else {
        add_response(operation, "409", "StillRunning");
    }
    add_response(operation, "422", "KeyReused");
}

/// Of an answer about a revision of something.
pub(super) fn add_etag(operation: &mut Operation) {
    for response in successes(operation) {
        response.headers.insert(ETAG.to_owned(), header_ref(ETAG));
    }
}

/// Of a change: the revision that the client has seen.
pub(super) fn add_if_match(operation: &mut Operation, required: Required) {
    let if_match = ParameterBuilder::new()
        .name(IF_MATCH)
        .parameter_in(ParameterIn::Header)
        .required(required.clone())
        .description(Some(
            "The `ETag` that was read, or several: what is to be changed must be at one of these revisions. `*`: at any.",
        ))
        .schema(Some(text().pattern(Some(TAGS))))
        .example(Some(json!("\"3\"")));
    operation.parameters.get_or_insert_default().push(RefOr::T(if_match.build()));
    add_response(operation, "412", "Stale");
    if required == Required::True {
        add_response(operation, "428", "PreconditionRequired");
    }
}

/// Of a query: the wait for what a command wrote.
pub(super) fn add_query(operation: &mut Operation) {
    add_parameter(operation, CONSISTENCY_TOKEN);
}

/// Of a list: which page of it.
pub(super) fn add_paging(operation: &mut Operation) {
    for name in [LIMIT, CURSOR] {
        add_parameter(operation, name);
    }
}

/// Of what asks who the caller is.
pub(in crate::http) fn add_access(operation: &mut Operation) {
    add_response(operation, "401", "Unauthenticated");
    add_response(operation, "403", "Forbidden");
    // A key is looked up.
    add_database(operation);
}

/// Of all that needs a database.
pub(super) fn add_database(operation: &mut Operation) {
    add_response(operation, "503", "Unavailable");
}

/// Of every operation.
pub(super) fn add_common(operation: &mut Operation) {
    let takes_body = operation.request_body.is_some();
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(deny_null);
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        never_null(parameter);
    }
    if takes_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
        add_response(operation, "400", "BadRequest");
    }
    if takes_body {
        add_response(operation, "408", "TooSlow");
        add_response(operation, "413", "TooLarge");
        add_response(operation, "415", "UnsupportedMediaType");
    }
    add_response(operation, "414", "UrlTooLong");
    add_response(operation, "431", "HeadersTooLarge");
    add_response(operation, "500", "Internal");
    add_parameter(operation, X_REQUEST_ID);
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert(X_REQUEST_ID.to_owned(), header_ref(X_REQUEST_ID));
        }
    }
}

/// What [`add_command`] and its like refer to.
pub(super) fn add_components(components: &mut Components) {
    components.schemas.insert(ProblemDocument::name().into_owned(), ProblemDocument::schema());
    let mut referred = Vec::new();
    ProblemDocument::schemas(&mut referred);
    components.schemas.extend(referred);
    for (name, parameter) in request_headers().into_iter().chain(paging()) {
        components.parameters.insert(name.to_owned(), RefOr::T(parameter));
    }
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description =
        Some("A key of this API (`ca_…`), or a token (JWT) of the issuer that the service trusts.".to_owned());
    components.security_schemes.insert(BEARER.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    for (name, header) in headers() {
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
    for (name, response) in responses() {
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
}

/// A parameter that may be missing is described as one that may be null, which in a URL is not to be said.
fn never_null(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(Parameter { schema: Some(described), .. }) = parameter else { return };
    match described {
        RefOr::T(Schema::Object(schema)) => {
            if let SchemaType::Array(types) = &mut schema.schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [only] = &types[..] {
                    schema.schema_type = SchemaType::Type(only.clone());
                }
            }
        }
        RefOr::T(Schema::OneOf(choice)) => {
            if let Some(some) = choice.items.iter().find(|item| !is_null(item)).cloned() {
                *described = some;
            }
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

/// A body that may be missing is described as one that may be null, and null is none that is taken.
fn deny_null(content: &mut RefOr<Content>) {
    let RefOr::T(Content { schema: Some(described), .. }) = content else { return };
    let RefOr::T(Schema::OneOf(choice)) = described else { return };
    if let Some(some) = choice.items.iter().find(|item| !is_null(item)).cloned() {
        *described = some;
    }
}

fn add_parameter(operation: &mut Operation, name: &str) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::Ref(Ref::new(format!("#/components/parameters/{name}"))));
}

/// Adds a response, unless the operation says more of it itself.
pub(super) fn add_response(operation: &mut Operation, status: &str, name: &str) {
    let response = || RefOr::Ref(Ref::from_response_name(name));
    operation.responses.responses.entry(status.to_owned()).or_insert_with(response);
}

pub(super) fn header_ref(name: &str) -> RefOr<Header> {
    RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))
}

fn successes(operation: &mut Operation) -> impl Iterator<Item = &mut Response> {
    operation.responses.responses.iter_mut().filter_map(|(status, response)| match response {
        RefOr::T(response) if status.starts_with('2') => Some(response),
        RefOr::T(_) | RefOr::Ref(_) => None,
    })
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Parameters of a list's URL.
fn paging() -> [(&'static str, Parameter); 2] {
    let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(100));
    [
        (LIMIT, "Items, at most.", limit.default(Some(json!(20)))),
        (CURSOR, "The `next_cursor` of the page before, under the same filters.", text()),
    ]
    .map(|(name, description, schema)| (name, parameter(name, ParameterIn::Query, description, schema).build()))
}

fn parameter(name: &str, place: ParameterIn, description: &str, schema: ObjectBuilder) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
    parameter.description(Some(description)).schema(Some(schema))
}

fn request_headers() -> [(&'static str, Parameter); 5] {
    [
        (
            X_REQUEST_ID,
            "Names the request in the answer, in the service's log and in the events it writes. What is longer or not \
             visible is replaced by one that the service makes up.",
            text(),
            "checkout-7f3a",
        ),
        (
            TRACEPARENT,
            "The trace that the request belongs to (W3C Trace Context), carried into the events.",
            text(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        (
            IDEMPOTENCY_KEY,
            "Lets the request take effect once: the same key with the same body answers as the first time, for at \
             least 24 hours; with another body it is refused (422).",
            text().min_length(Some(1)).max_length(Some(255)).pattern(Some("^[!-~]+$")),
            "order-2026-00017",
        ),
        (PREFER, "`respond-async`: answer at once, without waiting for the read models.", text(), "respond-async"),
        (
            CONSISTENCY_TOKEN,
            "What a command answered with: the query waits, bounded, until its read model has that.",
            text(),
            "c1.3.0",
        ),
    ]
    .map(|(name, description, schema, example)| {
        let header = parameter(name, ParameterIn::Header, description, schema);
        (name, header.example(Some(json!(example))).build())
    })
}

/// Response headers.
fn headers() -> [(&'static str, Header); 6] {
    [
        (
            WWW_AUTHENTICATE,
            "How to say who one is (RFC 6750).",
            text().build(),
            json!("Bearer realm=\"credit-approval\""),
        ),
        (
            ETAG,
            "The revision of the customer or the loan, in quotes: for `If-Match`. Where an earlier answer is sent again it \
             is that answer's.",
            text().pattern(Some("^\"[1-9][0-9]*\"$")).build(),
            json!("\"3\""),
        ),
        (
            X_REQUEST_ID,
            "The request's id: the client's own, or one that was made up.",
            text().build(),
            json!("checkout-7f3a"),
        ),
        (
            CONSISTENCY_TOKEN,
            "Stands for what was written. A query that is sent it waits until it sees that.",
            text().build(),
            json!("c1.3.1042"),
        ),
        (
            IDEMPOTENCY_REPLAYED,
            "`true` where the answer is that of an earlier request with the same `Idempotency-Key`.",
            text().enum_values(Some(["true"])).build(),
            json!("true"),
        ),
        (
            RETRY_AFTER,
            "After how many seconds to try again; absent where that is not safe without an `Idempotency-Key`.",
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build(),
            json!(1),
        ),
    ]
    .map(|(name, description, schema, example): (_, _, Object, _)| {
        let header = HeaderBuilder::new().description(Some(description)).schema(Some(schema)).example(Some(example));
        (name, header.build())
    })
}

/// Problems that many operations can end in.
fn responses() -> [(&'static str, Response); 14] {
    [
        ("Unauthenticated", "`Authorization` is missing, or holds no key or token that is good.", false),
        ("Forbidden", "The caller has none of the roles that may.", false),
        ("Stale", "It was changed since it was read; `ETag` says the present revision.", false),
        ("PreconditionRequired", "`If-Match` is missing.", false),
        ("BadRequest", "The request is not valid; `errors` names each field, parameter or header.", false),
        ("StillRunning", STILL_RUNNING, true),
        ("TooSlow", "The body did not come in time; nothing was done.", false),
        ("TooLarge", "The body is too large.", false),
        ("UrlTooLong", "The URL is longer than 8 KiB.", false),
        ("HeadersTooLarge", "The headers are more than 64, or have more than 16 KiB together.", false),
        ("UnsupportedMediaType", "The body is of a type that is not taken.", false),
        ("KeyReused", "The `Idempotency-Key` was used with another request.", false),
        ("Internal", "Something went wrong in the service. It has been logged under the request's id.", false),
        (
            "Unavailable",
            "A database does not answer, or the read models do not have yet what is asked for, or more is asked for than \
             can be answered in time. Where `Retry-After` is \
             missing the outcome of a command is not known: sending it again is safe with an `Idempotency-Key` only.",
            true,
        ),
    ]
    .map(|(name, description, later)| {
        let mut response = problem(description);
        if ["Unauthenticated", "Forbidden"].contains(&name) {
            response.headers.insert(WWW_AUTHENTICATE.to_owned(), header_ref(WWW_AUTHENTICATE));
        }
        if name == "Stale" {
            response.headers.insert(ETAG.to_owned(), header_ref(ETAG));
        }
        if later {
            response.headers.insert(RETRY_AFTER.to_owned(), header_ref(RETRY_AFTER));
        }
        (name, response)
    })
}

/// A response that is a problem document.
pub(super) fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name())));
    let mut response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content.build()).build();
    response.headers.insert(X_REQUEST_ID.to_owned(), header_ref(X_REQUEST_ID));
    response
}
