//! `/openapi.json`, and `/docs`: the description for programs and for people. All of it is inside the binary, and the
//! page's own policy lets the browser ask nobody else for anything.

use std::io::{Cursor, Read};
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

use crate::http::Api;
use crate::http::access::public;
use crate::http::problem::{Problem, ProblemDocument};

const PAGE: &str = include_str!("docs.html");
const START: &str = include_str!("docs.js");
/// Nothing from elsewhere. The page sets styles on its elements, and its icons are data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const CACHED: &str = "public, max-age=3600";
const CONTENT_SECURITY_POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;

/// The page's files: names, types, and what they hold.
static ASSETS: OnceLock<Vec<Asset>> = OnceLock::new();
static DOCUMENT: OnceLock<Bytes> = OnceLock::new();

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: Bytes,
}

/// Files of Swagger UI that the page needs.
const SWAGGER_UI: [(&str, &str); 3] = [
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

/// The description's own routes.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    let routes = [routes!(openapi), routes!(docs), routes!(asset)].map(public);
    routes.into_iter().fold(OpenApiRouter::default(), OpenApiRouter::routes)
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "service", operation_id = "openapi", responses(
    (status = 200, description = "The description, OpenAPI 3.1.", body = Object, content_type = "application/json",
     example = json!({"openapi": "3.1.0", "info": {"title": "credit-approval"}, "paths": {}})),
))]
async fn openapi() -> Response {
    let bytes = DOCUMENT.get_or_init(|| Bytes::from(crate::http::description()));
    ([(header::CONTENT_TYPE, "application/json")], bytes.clone()).into_response()
}

/// This description, for people
#[utoipa::path(get, path = "/docs", tag = "service", operation_id = "docs", responses(
    (status = 200, description = "A page that shows the description and sends requests.", body = String,
     content_type = "text/html", example = json!("<!doctype html>")),
))]
async fn docs() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE).into_response()
}

/// A file of the page
#[utoipa::path(get, path = "/docs/{file}", tag = "service", operation_id = "docs_file",
    params(("file" = String, Path, description = "Its name.", example = "docs.js")),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/css", example = json!("body { margin: 0 }")),
            (String = "text/javascript", example = json!("\"use strict\";")),
            (String = "image/png", example = json!("")),
        )),
        (status = 404, description = "There is no such file.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    // Unpacking takes a tenth of a second, once.
    let assets = tokio::task::spawn_blocking(|| ASSETS.get_or_init(unpacked)).await;
    let assets = assets.map_err(|_| Problem::unavailable())?;
    let asset = assets.iter().find(|asset| asset.name == file);
    let Asset { media_type, bytes, .. } = asset.ok_or_else(|| Problem::not_found("file", file))?;
    let headers = [(header::CONTENT_TYPE, *media_type), (header::CACHE_CONTROL, CACHED)];
    Ok((StatusCode::OK, headers, bytes.clone()).into_response())
}

/// The files, out of the archive that Swagger UI comes in. One that it does not hold is missing: a test looks.
fn unpacked() -> Vec<Asset> {
    let start = Asset { name: "docs.js", media_type: "text/javascript; charset=utf-8", bytes: START.into() };
    let Ok(mut archive) = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)) else { return vec![start] };
    let entries: Vec<_> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let found = SWAGGER_UI.into_iter().filter_map(|(name, media_type)| {
        let path = format!("/dist/{name}");
        let entry = entries.iter().find(|entry| entry.matches('/').count() == 2 && entry.ends_with(&path))?;
        let mut bytes = Vec::new();
        archive.by_name(entry).ok()?.read_to_end(&mut bytes).ok()?;
        Some(Asset { name, media_type, bytes: bytes.into() })
    });
    let mut assets: Vec<_> = found.collect();
    assets.push(start);
    assets
}
