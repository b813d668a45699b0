//! `POST /v1/imports`.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::document::Import;
use super::form::{Form, receive};
use super::pieces::Pieces;
use crate::access::Caller;
use crate::commands::{KeyedRequest, Origin};
use crate::http::Api;
use crate::http::idempotency::{IDEMPOTENCY_REPLAYED, key};
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::import::jobs::upload::{Order, UploadError};
use crate::store::idempotency::Remembered;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Workbooks to be imported: customers, loans, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes a form that is received field by field")]
struct ImportUpload {
    /// An .xlsx workbook of customers.
    #[schema(value_type = String, required = false, format = Binary,
             content_media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")]
    customers: Option<Vec<u8>>,
    /// An .xlsx workbook of loans.
    #[schema(value_type = String, required = false, format = Binary,
             content_media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")]
    loans: Option<Vec<u8>>,
    /// Check everything and write nothing; false unless told.
    #[schema(value_type = bool, required = false)]
    dry_run: Option<bool>,
}

/// Import workbooks
///
/// They are taken in and imported in the background. A row is imported, was imported before, or is rejected with its
/// reason: the same workbooks twice change nothing the second time. An `Idempotency-Key` stands for the workbooks and
/// `dry_run`, however they are put into a form.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", operation_id = "create_import",
    request_body(content = ImportUpload, content_type = "multipart/form-data",
                 description = "At least one workbook; together at most 64 MiB, unless the service is told otherwise."),
    responses(
        (status = 202, description = "They are taken in, and wait for an importer.", body = Import,
         headers(("Location" = String, description = "Where the import is to be seen."))),
        (status = 408, description = "The form came too slowly.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn create(
    State(api): State<Api>,
    Extension(origin): Extension<Origin>,
    Extension(caller): Extension<Caller>,
    parameters: Parameters,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let pieces = Pieces::new(body);
    let refused = match receive_and_take(&api, origin, parameters, &caller, &parts.headers, &pieces).await {
        Ok(response) => return Ok(response),
        Err(problem) => problem,
    };
    // A client reads its answer once it has sent its form. Who waits to be told to go on has sent nothing and is not
    // told to, and who is too slow has had its time.
    let waits = parts.headers.contains_key(header::EXPECT) && !pieces.is_begun();
    if !waits && refused.status != StatusCode::REQUEST_TIMEOUT {
        pieces.discard(2 * api.imports.max_bytes()).await;
    }
    Err(refused)
}

async fn receive_and_take(
    api: &Api,
    origin: Origin,
    parameters: Parameters,
    caller: &Caller,
    headers: &HeaderMap,
    pieces: &Pieces,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let Some(key) = key(caller, headers)? else {
        let _permit = api.imports.receive()?;
        api.imports.admit().await?;
        let form = receive(&api.imports, true, headers, pieces).await?;
        return take(api, form, origin, None).await;
    };
    let Some(_running) = api.commands.claim(&key) else { return Err(Problem::still_running()) };
    let known = api.imports.recall(&key).await?;
    let _permit = api.imports.receive()?;
    if known.is_none() {
        api.imports.admit().await?;
    }
    let form = receive(&api.imports, known.is_none(), headers, pieces).await?;
    let keyed = KeyedRequest { key: key.clone(), digest: form.digest };
    match known {
        Some(known) => replay(&known, &keyed),
        None => take(api, form, origin, Some(&keyed)).await,
    }
}

async fn take(api: &Api, form: Form, origin: Origin, keyed: Option<&KeyedRequest>) -> Result<Response, Problem> {
    let Some(upload) = form.upload else { return Err(UploadError::Expired.into()) };
    let order = Order { origin, ..form.order };
    let status = StatusCode::ACCEPTED.as_u16();
    let render = |import: &crate::import::jobs::Import| serde_json::to_string(&Import::from(import.clone()));
    let taken = match (upload.complete(&order, keyed, status, render).await, keyed) {
        (Ok(taken), _) => taken,
        // The same request through another process was faster; then its answer is this one's.
        (Err(UploadError::KeyTaken), Some(keyed)) => {
            let known = api.imports.recall(&keyed.key).await?;
            return known.map_or_else(|| Err(Problem::still_running()), |known| replay(&known, keyed));
        }
        (Err(error), _) => return Err(error.into()),
    };
    Ok(answer(taken.import.id, taken.answer))
}

fn answer(id: i64, document: String) -> Response {
    let location = format!("/v1/imports/{id}");
    let mut response = (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, JSON)], document).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

#[derive(Deserialize)]
struct Answered {
    id: i64,
}

/// What the same request was answered.
fn replay(known: &Remembered, keyed: &KeyedRequest) -> Result<Response, Problem> {
    if known.request_digest != keyed.digest {
        return Err(Problem::key_reused());
    }
    let Answered { id } = serde_json::from_str(&known.body).map_err(UploadError::Render)?;
    let mut response = answer(id, known.body.clone());
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
