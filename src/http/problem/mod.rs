//! Problem documents (RFC 9457): the one shape in which an error leaves.
//!
//! A handler's error becomes a [`Problem`] here and nowhere else. The document is written by
//! [`super::middleware`], which knows the request's id.

mod document;
mod of_access;
mod of_command;
mod of_import;
mod of_limits;
mod of_load;
mod of_replay;
mod of_size;

use std::any::Any;

use aggregates::loan::LoanRefusal;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::databases::connections::is_away;
use crate::health::Failure;

pub(super) use document::{Document, ProblemDocument};

/// A field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name in the request.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// What went wrong, for programs (`kind`) and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The last part of the problem's type URI; stable.
    pub kind: &'static str,
    /// The kind in words; the same for every occurrence.
    pub title: &'static str,
    /// This occurrence in words.
    pub detail: String,
    /// The fields that are wrong.
    pub errors: Vec<FieldError>,
    /// After how many seconds to try again.
    pub retry_after: Option<u16>,
    /// The present entity tag of what was not changed.
    pub etag: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), errors: Vec::new(), retry_after: None, etag: None }
    }

    /// Fields that are wrong: 400.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let detail = format!("{}.", named.join("; "));
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid", detail) }
    }

    /// One field that is wrong: 400.
    #[must_use]
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// A body of another type than JSON: 415.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::media_type_must_be("application/json")
    }

    /// A body of another type than it must be: 415.
    #[must_use]
    pub fn media_type_must_be(media_type: &str) -> Self {
        let message = format!("must be {media_type}");
        let (kind, title) = ("unsupported-media-type", "The body's type is not supported");
        let detail = format!("Content-Type {message}.");
        let errors = vec![FieldError { field: "Content-Type".to_owned(), message }];
        Self { errors, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, kind, title, detail) }
    }

    /// A body that is too large or could not be received.
    #[must_use]
    pub fn unreadable_body(status: StatusCode, message: String) -> Self {
        let title = "The body could not be taken";
        let errors = vec![FieldError { field: "body".to_owned(), message: message.clone() }];
        Self { errors, ..Self::new(status, "unreadable-body", title, format!("The body {message}.")) }
    }

    /// No such customer or loan: 404.
    #[must_use]
    pub fn not_found(field: &'static str, id: impl std::fmt::Display) -> Self {
        let what = field.trim_end_matches("_id");
        let detail = format!("There is no {what} {id}.");
        let errors = vec![FieldError { field: field.to_owned(), message: format!("names no {what}") }];
        Self { errors, ..Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail) }
    }

    /// The read models have not come as far as the request asks: 503.
    #[must_use]
    pub fn not_yet_visible() -> Self {
        let detail = "The read models have not yet applied what the Consistency-Token stands for.";
        let title = "Not visible yet";
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-yet-visible", title, detail) }
    }

    /// The database does not answer: 503.
    #[must_use]
    pub fn unavailable() -> Self {
        let detail = "The database does not answer.";
        let title = "The service is not available";
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail) }
    }

    /// The process has not started, cannot serve, or is about to stop: 503, with the checks that say so.
    #[must_use]
    pub fn not_ready(failures: Vec<Failure>) -> Self {
        let field = |Failure { check, message }| FieldError { field: check.to_owned(), message };
        let errors: Vec<_> = failures.into_iter().map(field).collect();
        let named: Vec<_> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        let (title, detail) = ("The process is not ready", format!("{}.", named.join("; ")));
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", title, detail);
        Self { errors, retry_after: Some(1), ..problem }
    }

    /// A stream holds an event that only a newer version can read: 503, since that version is about to take over.
    fn of_a_newer_version() -> Self {
        let detail = "A newer version of the service has written to what this is about, and takes over from this \
                      process. Nothing was changed.";
        let title = "A newer version takes over";
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "newer-version", title, detail) }
    }

    /// The connection broke while the events were being stored: 503, and no hint to try again, which without a key
    /// could do it twice.
    fn outcome_unknown() -> Self {
        let detail = "The database's answer was lost, so it is not known whether the command took effect. Sending it \
                      again with the same Idempotency-Key is safe; without one, look before sending it again.";
        let title = "The outcome is not known";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", title, detail)
    }

    /// What is asked for does not go together with how things are: 409.
    fn conflict(kind: &'static str, title: &'static str, field: &str, message: &str) -> Self {
        let errors = vec![FieldError { field: field.to_owned(), message: message.to_owned() }];
        Self { errors, ..Self::new(StatusCode::CONFLICT, kind, title, format!("{field} {message}.")) }
    }

    /// A read model is new, and its first rebuild not done: 503.
    #[must_use]
    pub fn not_filled_yet() -> Self {
        let detail = "This read model is being filled in for the first time; GET /v1/projections shows how far it is.";
        let title = "Not filled in yet";
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-filled-yet", title, detail) }
    }

    /// Another backtest runs in this process: 409.
    #[must_use]
    pub fn backtest_under_way() -> Self {
        let detail = "One backtest runs at a time in a process. Try again when it has ended.";
        let title = "A backtest is under way";
        Self { retry_after: Some(5), ..Self::new(StatusCode::CONFLICT, "backtest-under-way", title, detail) }
    }

    /// A rebuild is under way: 409.
    #[must_use]
    pub fn rebuild_under_way() -> Self {
        let title = "A rebuild is under way";
        let detail = "One rebuild works at a time; GET /v1/projections shows it. Try again when it has ended.";
        Self::new(StatusCode::CONFLICT, "rebuild-under-way", title, detail)
    }

    /// The thing was changed since the client read it, and has this entity tag now: 412.
    #[must_use]
    pub fn precondition_failed(current: String) -> Self {
        let message = format!("names another revision than the present one, {current}");
        let detail = format!("If-Match {message}. Read it again and decide anew.");
        let errors = vec![FieldError { field: "If-Match".to_owned(), message }];
        let title = "It was changed meanwhile";
        let problem = Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title, detail);
        Self { errors, etag: Some(current), ..problem }
    }

    /// A change without saying of which revision: 428.
    #[must_use]
    pub fn precondition_required() -> Self {
        let message = "is missing; it takes the ETag that was read";
        let errors = vec![FieldError { field: "If-Match".to_owned(), message: message.to_owned() }];
        let title = "If-Match is required";
        let detail = format!("If-Match {message}.");
        Self { errors, ..Self::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", title, detail) }
    }

    /// There is no rebuild to be stopped: 404.
    #[must_use]
    pub fn no_rebuild(projection: impl std::fmt::Display) -> Self {
        let detail = format!("No rebuild of {projection} is under way.");
        Self::new(StatusCode::NOT_FOUND, "no-rebuild", "There is no rebuild", detail)
    }

    /// Somebody who was no customer on the day asked about: 404.
    #[must_use]
    pub fn not_yet_a_customer(id: impl std::fmt::Display, day: NaiveDate, since: NaiveDate) -> Self {
        let message = format!("names a customer since {since}");
        let errors = vec![FieldError { field: "customer_id".to_owned(), message }];
        let detail = format!("Customer {id} is one since {since} and was none on {day}.");
        Self { errors, ..Self::new(StatusCode::NOT_FOUND, "not-yet-a-customer", "Not a customer then", detail) }
    }

    /// A request with the same key has not ended: 409.
    pub(in crate::http) fn still_running() -> Self {
        let message = "belongs to a request that is still running";
        let conflict = Self::conflict("still-running", "The request is still running", "Idempotency-Key", message);
        Self { retry_after: Some(1), ..conflict }
    }

    /// The key belongs to another request: 422.
    pub(in crate::http) fn key_reused() -> Self {
        let (field, message) = ("Idempotency-Key", "was used with another request");
        let detail = format!("{field} {message}.");
        let title = "The idempotency key was used before";
        let errors = vec![FieldError { field: field.to_owned(), message: message.to_owned() }];
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title, detail) }
    }

    /// A repayment that does not fit its loan as it stands: 409.
    fn unfitting_repayment(field: &str, refusal: &LoanRefusal) -> Self {
        let message = refusal.to_string();
        let errors = vec![FieldError { field: field.to_owned(), message: message.clone() }];
        let title = "The repayment does not fit the loan";
        Self { errors, ..Self::new(StatusCode::CONFLICT, "repayment-refused", title, format!("{message}.")) }
    }

    fn internal() -> Self {
        let detail = "Something went wrong here. It has been logged under the request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "An internal error", detail)
    }
}

/// The problem travels as an extension; [`super::middleware`] writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(etag) = self.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok()) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response.extensions_mut().insert(self);
        response
    }
}

fn log(error: &(dyn std::error::Error + 'static)) {
    // That the database is away was told once, when it went.
    if is_away(error) {
        tracing::debug!(error, "a request was not tried");
    } else {
        tracing::error!(error, "a request failed");
    }
}

/// What axum answers on its own (a timeout, a body limit) as a problem.
pub(super) fn of_status(status: StatusCode) -> Problem {
    let title = status.canonical_reason().unwrap_or("The request failed");
    Problem::new(status, "http", title, format!("{title}."))
}

pub(super) async fn no_such_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", "No such route", format!("There is no {}.", uri.path()))
}

pub(super) fn no_such_method(method: &Method, uri: &Uri) -> Problem {
    let detail = format!("{} does not take {method}.", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "The method is not allowed", detail)
}

pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a handler panicked");
    Problem::internal().into_response()
}
