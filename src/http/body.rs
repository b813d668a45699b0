//! Request bodies: JSON objects whose fields are parsed once, into types that cannot be wrong, collecting every
//! field that is wrong on the way.
//!
//! Numbers are read from their own text, never through a binary float.

use aggregates::Invalid;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::MAX_BODY_BYTES;
use super::number::parse_decimal;
use super::pace::is_too_slow;
use super::problem::{FieldError, Problem};

/// How the decoder begins to speak of a field that a request does not have.
const UNKNOWN_FIELD: &str = "unknown field ";

/// A field as it stands in the body; `None` when it is missing or null.
pub(super) type Field<'a> = Option<&'a RawValue>;

/// A null is not the same as nothing: who sends one means something by it, and is told that it cannot be.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Field<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The bytes of a JSON body.
pub(super) struct JsonBody(Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::unsupported_media_type());
        }
        // Before it has come: a body that says so itself and comes slowly holds nobody up.
        if declared_bytes(request.headers()).is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ if is_too_slow(&rejection) => Problem::too_slow(),
            status => Problem::unreadable_body(status, rejection.body_text()),
        })?;
        Ok(Self(bytes))
    }
}

/// How long a body is, where its headers say so.
pub(super) fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Problem {
    Problem::unreadable_body(StatusCode::PAYLOAD_TOO_LARGE, format!("must be at most {MAX_BODY_BYTES} bytes"))
}

/// Whether the body claims to be JSON; without a claim it is taken for JSON.
fn is_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

impl JsonBody {
    /// As they were sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The body's fields.
    ///
    /// # Errors
    /// A problem that names the place where the JSON is malformed.
    pub(super) fn fields<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        let text = std::str::from_utf8(&self.0)
            .map_err(|error| Problem::invalid_field("body", format!("is not UTF-8: {error}")))?;
        if !text.trim_start().starts_with('{') {
            return Err(Problem::invalid_field("body", "must be a JSON object"));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            // Where the JSON breaks outside of a field, the path is a placeholder.
            let path = Some(error.path().to_string()).filter(|path| path != "." && path != "?");
            let field = path.unwrap_or_else(|| "body".to_owned());
            let message = error.inner().to_string();
            if message.starts_with(UNKNOWN_FIELD) {
                return Problem::invalid_field(field, "is not a field of this request");
            }
            Problem::invalid_field(field, format!("is not valid JSON: {message}"))
        })?;
        json.end().map_err(|error| Problem::invalid_field("body", format!("is not valid JSON: {error}")))?;
        Ok(fields)
    }
}

impl JsonBody {
    /// The body's fields, where it may also be missing.
    ///
    /// # Errors
    /// As [`JsonBody::fields`].
    pub(super) fn fields_or_none<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        if self.0.is_empty() {
            return serde_json::from_str("{}").map_err(|_| Problem::invalid_field("body", "is missing"));
        }
        self.fields()
    }
}

/// Collects what is wrong with the fields of one body.
#[derive(Default)]
pub(super) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// A field that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        field: Field<'_>,
        parse: impl FnOnce(&RawValue) -> Result<T, Invalid>,
    ) -> Option<T> {
        match field {
            Some(value) => self.parsed(name, parse(value)),
            None => self.parsed(name, Err(Invalid("is missing".to_owned()))),
        }
    }

    /// A field with a default.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        field: Field<'_>,
        default: T,
        parse: impl FnOnce(&RawValue) -> Result<T, Invalid>,
    ) -> Option<T> {
        match field {
            Some(value) => self.parsed(name, parse(value)),
            None => Some(default),
        }
    }

    fn parsed<T>(&mut self, name: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|Invalid(message)| self.errors.push(FieldError { field: name.to_owned(), message })).ok()
    }

    /// Everything that was wrong.
    pub(super) fn into_problem(self) -> Problem {
        Problem::invalid(self.errors)
    }
}

/// A string.
pub(super) fn text<T: for<'t> TryFrom<&'t str, Error = Invalid>>(value: &RawValue) -> Result<T, Invalid> {
    T::try_from(&string(value)?)
}

/// Digits, as a string or as a plain integer.
pub(super) fn digits<T: for<'t> TryFrom<&'t str, Error = Invalid>>(value: &RawValue) -> Result<T, Invalid> {
    let literal = value.get();
    if literal.bytes().all(|byte| byte.is_ascii_digit()) { T::try_from(literal) } else { text(value) }
}

/// A number, or a string that holds one.
pub(super) fn number<T: TryFrom<Decimal, Error = Invalid>>(value: &RawValue) -> Result<T, Invalid> {
    T::try_from(decimal(value)?)
}

/// A whole number, or a string that holds one.
pub(super) fn integer<N: TryFrom<Decimal>, T: TryFrom<N, Error = Invalid>>(value: &RawValue) -> Result<T, Invalid> {
    let decimal = decimal(value)?;
    if !decimal.fract().is_zero() {
        return Err(Invalid("must be an integer".to_owned()));
    }
    let integer = N::try_from(decimal).map_err(|_| Invalid("is out of range".to_owned()))?;
    T::try_from(integer)
}

/// True or false.
pub(super) fn boolean(value: &RawValue) -> Result<bool, Invalid> {
    serde_json::from_str(value.get()).map_err(|_| Invalid("must be true or false".to_owned()))
}

/// Plain text.
pub(super) fn string(value: &RawValue) -> Result<String, Invalid> {
    serde_json::from_str(value.get()).map_err(|_| Invalid("must be a string".to_owned()))
}

fn decimal(value: &RawValue) -> Result<Decimal, Invalid> {
    let literal = value.get();
    match literal.as_bytes().first() {
        Some(b'"') => parse_decimal(string(value)?.trim()),
        Some(b'-' | b'0'..=b'9') => parse_decimal(literal),
        _ => Err(Invalid("must be a number".to_owned())),
    }
}
