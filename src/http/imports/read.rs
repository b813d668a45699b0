//! `GET /v1/imports`, and `GET` and `DELETE /v1/imports/{import_id}`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::document::{Import, ImportList};
use super::import_id;
use crate::http::Api;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::PathText;
use crate::import::jobs::Cancelled;

/// List the imports
///
/// The newest first. Imports that ended are kept for 90 days, unless the service is told otherwise, and the last
/// thousand of them at most.
#[utoipa::path(get, path = "/v1/imports", tag = "imports", operation_id = "list_imports",
    responses((status = 200, description = "A page of them.", body = ImportList)))]
pub(super) async fn list(State(api): State<Api>, mut parameters: Parameters) -> Result<Json<ImportList>, Problem> {
    let page = parameters.page()?;
    parameters.finish()?;
    let found = api.imports.list(Some(page.after).filter(|before| *before > 0), page.limit).await?;
    let next_cursor = found.items.last().filter(|_| found.more).map(|last| page.cursor(last.id));
    Ok(Json(ImportList { items: found.items.into_iter().map(Import::from).collect(), next_cursor }))
}

/// Look at an import
#[utoipa::path(get, path = "/v1/imports/{import_id}", tag = "imports", operation_id = "get_import",
    params(("import_id" = i64, Path, description = "The import.", example = 12)),
    responses(
        (status = 200, description = "How it stands.", body = Import),
        (status = 404, description = "There is no such import.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn find(
    State(api): State<Api>,
    id: PathText,
    parameters: Parameters,
) -> Result<Json<Import>, Problem> {
    parameters.finish()?;
    let id = import_id(&id)?;
    let found = api.imports.find(id).await?;
    found.map(|import| Json(import.into())).ok_or_else(|| Problem::not_found("import_id", id))
}

/// Stop an import
///
/// One that waits is cancelled at once, one that runs after the rows it is at. What was imported until then stays.
#[utoipa::path(delete, path = "/v1/imports/{import_id}", tag = "imports", operation_id = "cancel_import",
    params(("import_id" = i64, Path, description = "The import.", example = 12)),
    responses(
        (status = 202, description = "It stops, or has stopped: its state says which.", body = Import),
        (status = 404, description = "There is no such import.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "It has ended already.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn cancel(
    State(api): State<Api>,
    id: PathText,
    parameters: Parameters,
) -> Result<(StatusCode, Json<Import>), Problem> {
    parameters.finish()?;
    let id = import_id(&id)?;
    match api.imports.cancel(id).await? {
        Cancelled::Asked(import) => Ok((StatusCode::ACCEPTED, Json((*import).into()))),
        Cancelled::Ended(import) => Err(Problem::import_ended(import.id, import.state.name())),
        Cancelled::Unknown => Err(Problem::not_found("import_id", id)),
    }
}
