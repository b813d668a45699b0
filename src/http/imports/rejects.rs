//! `GET /v1/imports/{import_id}/rejects`: page by page as JSON, or whole as CSV.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::accept::prefers_csv;
use super::document::{Reject, RejectList};
use super::import_id;
use crate::http::Api;
use crate::http::parameters::{Page, Parameters};
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::PathText;
use crate::import::jobs::Imports;
use crate::import::report::{NoticeKind, TITLES, record, writer};

/// Rows of CSV that are read and sent at a time.
const CSV_ROWS: i64 = 1000;
const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8");

/// List the rows that were not taken, and those that are odd
///
/// With `Accept: text/csv` all of them at once, in the columns kind, workbook, sheet, row, column and reason, each
/// cell in quotes; those that a spreadsheet would take for a formula begin with an apostrophe. The list of an import
/// that was taken up again after an interruption is made anew once it has come as far as before; a file that is being
/// sent then breaks off.
#[utoipa::path(get, path = "/v1/imports/{import_id}/rejects", tag = "imports", operation_id = "list_rejects",
    params(
        ("import_id" = i64, Path, description = "The import.", example = 12),
        ("kind" = Option<String>, Query, description = "`reject` or `warning`; both unless told.", example = "reject",
         pattern = "^(reject|warning)$"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before; not with CSV."),
        ("limit" = Option<u8>, Query, description = "Items at most; not with CSV.", minimum = 1, maximum = 100,
         example = 20),
    ),
    responses(
        (status = 200, description = "A page of them as JSON, or all of them as CSV.", content(
            (RejectList = "application/json"),
            (String = "text/csv", example = json!("\"kind\",\"workbook\",\"sheet\",\"row\",\"column\",\"reason\"\n\
                \"reject\",\"loan_data.xlsx\",\"Sheet1\",\"17\",\"Loan Amount\",\"must not be negative (found '-5')\"\n")),
        )),
        (status = 404, description = "There is no such import.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn rejects(
    State(api): State<Api>,
    id: PathText,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let id = import_id(&id)?;
    let kind = match parameters.take("kind") {
        None => None,
        Some(name) => Some(
            NoticeKind::from_name(&name).ok_or_else(|| Problem::invalid_field("kind", "must be reject or warning"))?,
        ),
    };
    let as_csv = prefers_csv(&headers);
    let page = if as_csv { None } else { Some(parameters.page()?) };
    parameters.finish()?;
    let Some(import) = api.imports.find(id).await? else { return Err(Problem::not_found("import_id", id)) };
    let mut response = match page {
        Some(page) => json(&api.imports, id, kind, page).await?,
        None => csv(api.imports.clone(), (id, import.notices_attempt), kind).await?,
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

async fn json(imports: &Imports, id: i64, kind: Option<NoticeKind>, page: Page) -> Result<Response, Problem> {
    let found = imports.notices(id, None, kind, page.after, page.limit).await?;
    let found = found.ok_or_else(|| Problem::not_found("import_id", id))?;
    let next_cursor = found.items.last().filter(|_| found.more).map(|(number, _)| page.cursor(*number));
    let items = found.items.into_iter().map(|(_, notice)| Reject::from(notice)).collect();
    Ok(Json(RejectList { items, next_cursor }).into_response())
}

/// Some rows of CSV, and behind which number there are more.
struct Rows {
    csv: Bytes,
    more_after: Option<i64>,
}

/// Why a file of rejects breaks off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Csv(#[from] csv::Error),
    #[error("the import was taken up again, and its rejects are others now")]
    TakenUp,
}

async fn rows(
    imports: &Imports,
    (id, attempt): (i64, i32),
    kind: Option<NoticeKind>,
    after: i64,
) -> Result<Rows, Broken> {
    let found = imports.notices(id, Some(attempt), kind, after, CSV_ROWS).await?.ok_or(Broken::TakenUp)?;
    let more_after = found.items.last().filter(|_| found.more).map(|(number, _)| *number);
    let mut csv = writer(Vec::new());
    if after == 0 {
        csv.write_record(TITLES)?;
    }
    for (_, notice) in &found.items {
        csv.write_record(record(notice))?;
    }
    let csv = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(Rows { csv: csv.into(), more_after })
}

/// The first rows are read before the answer begins, so that a database that does not answer is still a problem and not
/// half a file.
async fn csv(imports: Imports, of: (i64, i32), kind: Option<NoticeKind>) -> Result<Response, Problem> {
    let (id, _) = of;
    let Rows { csv: first, more_after } = rows(&imports, of, kind, 0).await.map_err(|error| match error {
        Broken::Store(error) => error.into(),
        Broken::Csv(error) => sqlx::Error::Encode(Box::new(error)).into(),
        Broken::TakenUp => Problem::unavailable(),
    })?;
    let others = stream::try_unfold((imports, more_after), move |(imports, after)| async move {
        let Some(after) = after else { return Ok(None) };
        let Rows { csv, more_after } = rows(&imports, of, kind, after).await?;
        Ok::<_, Broken>(Some((csv, (imports, more_after))))
    });
    let whole = stream::once(std::future::ready(Ok(first))).chain(others);
    let mut response = Body::from_stream(whole).into_response();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"import-{id}-rejects.csv\""));
    response.headers_mut().insert(header::CONTENT_TYPE, CSV);
    if let Ok(name) = name {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
