//! Receiving the form with the workbooks, as it comes: each piece goes to the database, none of it is kept here.

use std::error::Error;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};

use super::pieces::{Pieces, PiecesError};
use crate::commands::DIGEST_BYTES;
use crate::http::body::declared_bytes;
use crate::http::pace::is_too_slow;
use crate::http::problem::Problem;
use crate::import::jobs::upload::{Order, UPLOAD_WITHIN, Upload, Uploaded};
use crate::import::jobs::{FileKind, Imports};
use crate::import::workbook::{SIGHT_BYTES, refused_at_sight};

const MULTIPART: &str = "multipart/form-data";
/// What stands in a form beside the workbooks.
const BESIDE_BYTES: u64 = 1 << 20;
const MAX_FLAG_BYTES: usize = 5;
const MAX_NAME_CHARS: usize = 100;

/// A form that was received as a whole.
pub(super) struct Form {
    /// What it asks for.
    pub(super) order: Order,
    /// What tells it from another one under the same idempotency key: what it says, not how its parts were put
    /// together.
    pub(super) digest: [u8; DIGEST_BYTES],
    /// What was stored; `None` where nothing was to be.
    pub(super) upload: Option<Upload>,
}

/// Receives a form; without `store` only to know what it says.
pub(super) async fn receive(
    imports: &Imports,
    store: bool,
    headers: &HeaderMap,
    pieces: &Pieces,
) -> Result<Form, Problem> {
    let mut multipart = open(headers, pieces, imports.max_bytes()).await?;
    let mut reception = Reception {
        imports,
        store,
        upload: None,
        order: Order::default(),
        dry_run: None,
        digests: Vec::new(),
        bytes: 0,
        pieces,
    };
    let taken = tokio::time::timeout(UPLOAD_WITHIN, reception.take_all(&mut multipart)).await;
    taken.map_err(|_| Problem::too_slow())??;
    Ok(reception.form())
}

fn too_large(max_bytes: u64) -> Problem {
    let message = format!("must have at most {max_bytes} bytes of workbooks");
    Problem::unreadable_body(StatusCode::PAYLOAD_TOO_LARGE, message)
}

async fn open(headers: &HeaderMap, pieces: &Pieces, max_bytes: u64) -> Result<Multipart, Problem> {
    if !is_multipart(headers) {
        return Err(Problem::media_type_must_be(MULTIPART));
    }
    let length = declared_bytes(headers);
    if length.is_some_and(|length| length > max_bytes + BESIDE_BYTES) {
        return Err(too_large(max_bytes));
    }
    let mut request = Request::new(Body::from_stream(pieces.clone()));
    *request.headers_mut() = headers.clone();
    DefaultBodyLimit::disable().apply(&mut request);
    let multipart = Multipart::from_request(request, &()).await;
    multipart.map_err(|_| Problem::invalid_field("Content-Type", "has no boundary"))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MULTIPART)
}

/// A form on its way in.
struct Reception<'a> {
    imports: &'a Imports,
    store: bool,
    upload: Option<Upload>,
    order: Order,
    dry_run: Option<bool>,
    /// Of the workbooks, in the order in which they came.
    digests: Vec<(FileKind, [u8; DIGEST_BYTES])>,
    /// Of all workbooks so far.
    bytes: u64,
    pieces: &'a Pieces,
}

impl Reception<'_> {
    async fn take_all(&mut self, multipart: &mut Multipart) -> Result<(), Problem> {
        loop {
            let next = multipart.next_field().await;
            let Some(field) = next.map_err(|error| Self::unreadable(&error))? else { break };
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "customers" => self.workbook(FileKind::Customers, field).await?,
                "loans" => self.workbook(FileKind::Loans, field).await?,
                "dry_run" => self.flag(field).await?,
                "" => return Err(Problem::invalid_field("body", "has a part without a name")),
                _ => return Err(Problem::invalid_field(short(&name), "is not a field of this request")),
            }
        }
        self.order.dry_run = self.dry_run.unwrap_or(false);
        if self.order.customers.is_none() && self.order.loans.is_none() {
            return Err(Problem::invalid_field("customers", "is missing, and so is loans; at least one is needed"));
        }
        Ok(())
    }

    /// What comes next of a field; `None` at its end.
    async fn chunk(&self, field: &mut Field<'_>) -> Result<Option<bytes::Bytes>, Problem> {
        let chunk = field.chunk().await.map_err(|error| Self::unreadable(&error))?;
        self.pieces.hand_out(chunk.as_ref().map_or(0, bytes::Bytes::len));
        Ok(chunk)
    }

    async fn flag(&mut self, mut field: Field<'_>) -> Result<(), Problem> {
        if self.dry_run.is_some() {
            return Err(Problem::invalid_field("dry_run", "is given more than once"));
        }
        let mut value = Vec::new();
        while let Some(bytes) = self.chunk(&mut field).await? {
            // One byte more than the longest value tells a longer one from it.
            value.extend_from_slice(&bytes[..bytes.len().min(MAX_FLAG_BYTES + 1 - value.len())]);
        }
        self.dry_run = Some(match value.as_slice() {
            b"true" => true,
            b"false" => false,
            _ => return Err(Problem::invalid_field("dry_run", "must be true or false")),
        });
        Ok(())
    }

    async fn workbook(&mut self, kind: FileKind, mut field: Field<'_>) -> Result<(), Problem> {
        if self.digests.iter().any(|(taken, _)| *taken == kind) {
            return Err(Problem::invalid_field(kind.name(), "is given more than once"));
        }
        let name = file_name(kind, field.file_name());
        let before = self.bytes;
        let mut digest = Sha256::new();
        let mut beginning = Vec::with_capacity(SIGHT_BYTES);
        while let Some(bytes) = self.chunk(&mut field).await? {
            self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if self.bytes > self.imports.max_bytes() {
                return Err(too_large(self.imports.max_bytes()));
            }
            digest.update(&bytes);
            if beginning.len() == SIGHT_BYTES {
                self.store(kind, &bytes).await?;
                continue;
            }
            // Nothing is stored before it has been looked at.
            let missing = bytes.len().min(SIGHT_BYTES - beginning.len());
            beginning.extend_from_slice(&bytes[..missing]);
            if beginning.len() == SIGHT_BYTES {
                if let Some(reason) = refused_at_sight(&beginning) {
                    return Err(Problem::invalid_field(kind.name(), reason));
                }
                self.store(kind, &beginning).await?;
                self.store(kind, &bytes[missing..]).await?;
            }
        }
        if beginning.is_empty() {
            return Err(Problem::invalid_field(kind.name(), "is empty"));
        }
        if beginning.len() < SIGHT_BYTES {
            return Err(Problem::invalid_field(kind.name(), "is not an .xlsx workbook"));
        }
        if let Some(upload) = &mut self.upload {
            upload.finish().await?;
        }
        self.digests.push((kind, digest.finalize().into()));
        let uploaded = Some(Uploaded { name, bytes: self.bytes - before });
        match kind {
            FileKind::Customers => self.order.customers = uploaded,
            FileKind::Loans => self.order.loans = uploaded,
        }
        Ok(())
    }

    async fn store(&mut self, kind: FileKind, bytes: &[u8]) -> Result<(), Problem> {
        if !self.store {
            return Ok(());
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.imports.begin().await?),
        };
        Ok(upload.add(kind, bytes).await?)
    }

    /// What is wrong with a form that cannot be read on.
    fn unreadable(error: &MultipartError) -> Problem {
        if is_too_slow(error) {
            return Problem::too_slow();
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<PiecesError>() {
                return Problem::unreadable_body(StatusCode::BAD_REQUEST, error.to_string());
            }
            cause = error.source();
        }
        Problem::invalid_field("body", format!("is not a form: {}", error.body_text().to_lowercase()))
    }

    fn form(self) -> Form {
        let Self { order, digests, upload, .. } = self;
        let mut digest = Sha256::new().chain_update("POST\n/v1/imports\n");
        digest.update([u8::from(order.dry_run)]);
        for (kind, file) in [(FileKind::Customers, &order.customers), (FileKind::Loans, &order.loans)] {
            let Some(file) = file else { continue };
            digest.update(format!("{} {} {} {}\n", kind.name(), file.bytes, file.name.len(), file.name));
            for (_, of_content) in digests.iter().filter(|(of, _)| *of == kind) {
                digest.update(of_content);
            }
        }
        Form { order, digest: digest.finalize().into(), upload }
    }
}

/// A file's name for messages: without a path, and without what is not to be seen.
fn file_name(kind: FileKind, given: Option<&str>) -> String {
    let name = given.and_then(|given| given.rsplit(['/', '\\']).next()).map(short).unwrap_or_default();
    if name.is_empty() { format!("{}.xlsx", kind.name()) } else { name }
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}
