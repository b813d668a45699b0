//! The API's description of itself (OpenAPI 3.1), gathered from the handlers that serve it.
//!
//! A handler says what is its own, in `#[utoipa::path(…)]`; what many share is said once, in [`shared`], and added here
//! by what a route does: [`command`], [`query`] and the like. Who may is said beside it ([`super::access`]).

pub(super) mod inputs;
mod pages;
mod rate_limits;
pub(super) mod shared;

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Required, ServerBuilder, Tag};
use utoipa_axum::router::UtoipaMethodRouter;

use super::Api;
use super::middleware::is_unlimited;
pub(super) use pages::routes;

/// A tag's name and what stands under it.
const TAGS: [(&str, &str); 9] = [
    (
        "originals",
        "The five endpoints of the system that this one replaces. A trailing slash works too, and unknown \
                   request fields are ignored.",
    ),
    ("customers", "Who borrows: personal data, limits, credit scores, histories."),
    ("loans", "What was lent, its schedule, and what is paid back."),
    ("decisions", "Why an application was approved or declined, and what another one would be answered."),
    ("policies", "The rules that decide, and how others would have decided."),
    ("imports", "Workbooks of customers and loans, taken in the background."),
    ("events", "The log itself, for auditors and downstream systems."),
    ("projections", "How the read models stand; making them anew; events that could not be applied."),
    ("service", "Health, metrics, and this description."),
];

const DESCRIPTION: &str = "\
Decides who gets credit and records why: an event-sourced backend for lenders.

**Amounts** are rupees with at most two decimals, **rates** percent a year with at most four, **tenures** months. They \
are JSON numbers and exact: nothing passes through a binary float here, and a client should not let it either. A \
number is also taken as a string that holds one.

**Writing.** Every command takes an `Idempotency-Key`: the same key with the same request answers as the first time and \
takes effect once. Every command answers with a `Consistency-Token`.

**Reading your own writes.** A command waits until the read models have what it wrote (`Prefer: respond-async` skips \
that). A query that is sent the `Consistency-Token` of a command waits for it too, on any process.

**Limits.** Every caller may send so many requests an hour. `RateLimit` says in the answers to what is \
counted how many are left; beyond them requests are refused (429).

**Lists** give at most `limit` items (20 unless told, at most 100) and a `next_cursor`, null on the last page.

**Errors** are problem documents (RFC 9457, `application/problem+json`) that name the field that is wrong. Everything \
under `/v1` refuses unknown parameters and unknown fields.

**Access.** `Authorization: Bearer` takes a key of this API or a token of the issuer that the service trusts. Each \
operation lists the roles of which a caller needs one: `channel`, `officer`, `operator`, `auditor`. The five originals \
need none where the service is so configured; by itself it is so only on a loopback address.

A **trailing slash** makes no difference to any path.";

/// The description without its operations.
pub(super) fn base() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("credit-approval")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    let server = ServerBuilder::new().url("/").description(Some("The service that this was asked of"));
    let tags = TAGS.map(|(name, description)| {
        let mut tag = Tag::new(name);
        tag.description = Some(description.to_owned());
        tag
    });
    OpenApiBuilder::new().info(info).servers(Some([server.build()])).tags(Some(tags)).build()
}

/// Operations that append to the log: idempotency, and a token of what they wrote.
pub(super) fn command(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_command)
}

/// Operations whose answer has a revision, beside what else they are.
pub(super) fn revised(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_etag)
}

/// Operations that change what is there, at the revision that the client names if it wants to.
pub(super) fn change(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(revised(command(routes)), |operation| shared::add_if_match(operation, Required::False))
}

/// The same, at the revision that the client has to name.
pub(super) fn change_of_seen(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(revised(command(routes)), |operation| shared::add_if_match(operation, Required::True))
}

/// Operations that take effect once for a key, in the background and not in the log at once.
pub(super) fn keyed(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_keyed)
}

/// Operations that are answered from the read models and can wait for them.
pub(super) fn query(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_query)
}

/// Operations that answer with a page of a list, beside what else they are.
pub(super) fn paged(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_paging)
}

/// Operations that need a database, and no key, which would need one besides.
pub(super) fn operation(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, shared::add_database)
}

pub(super) fn each(
    (schemas, mut paths, router): UtoipaMethodRouter<Api>,
    add: impl Fn(&mut Operation),
) -> UtoipaMethodRouter<Api> {
    paths.paths.values_mut().flat_map(operations).for_each(add);
    (schemas, paths, router)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Adds what every operation shares, and the components that are referred to.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let limited = document.paths.paths.iter_mut().filter(|(path, _)| !is_unlimited(path));
    limited.flat_map(|(_, item)| operations(item)).for_each(rate_limits::add);
    document.paths.paths.values_mut().flat_map(operations).for_each(shared::add_common);
    let components = document.components.get_or_insert_default();
    shared::add_components(components);
    rate_limits::add_components(components);
    document
}
