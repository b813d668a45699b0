//! Decimal numbers in JSON, exact both ways: no binary float in between.

use aggregates::Invalid;
use rust_decimal::Decimal;
use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The longest number that is looked at, in characters.
const MAX_NUMBER_CHARS: usize = 64;

/// A decimal that is written as a JSON number, without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub Decimal);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.normalize().to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl PartialSchema for Number {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number).description(Some("An exact decimal number."));
        number.into()
    }
}

impl ToSchema for Number {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Number")
    }
}

/// Parses the text of a JSON number exactly; nothing is rounded.
pub(super) fn parse_decimal(text: &str) -> Result<Decimal, Invalid> {
    let refused = |message: &str| Err(Invalid(message.to_owned()));
    if text.len() > MAX_NUMBER_CHARS {
        return refused("has too many digits");
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let shape = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+'));
    if !shape(mantissa) || !shape(exponent) {
        return refused("must be a number");
    }
    let Ok(exponent) = exponent.parse::<i32>() else { return refused("must be a number") };
    let Ok(mantissa) = Decimal::from_str_exact(mantissa) else {
        let numeric = mantissa.bytes().any(|byte| byte.is_ascii_digit()) && mantissa.matches('.').count() <= 1;
        return refused(if numeric { "has too many digits" } else { "must be a number" });
    };
    shift(mantissa, exponent).map_or_else(|| refused("is too large or has too many decimals"), Ok)
}

/// `mantissa * 10^exponent`, `None` where that cannot be held exactly.
fn shift(mantissa: Decimal, exponent: i32) -> Option<Decimal> {
    if exponent == 0 || mantissa.is_zero() {
        return Some(mantissa);
    }
    let mantissa = mantissa.normalize();
    let scale = i64::from(mantissa.scale()) - i64::from(exponent);
    if scale >= 0 {
        let mut shifted = mantissa;
        shifted.set_scale(u32::try_from(scale).ok()?).ok()?;
        return Some(shifted);
    }
    let mut shifted = mantissa;
    shifted.set_scale(0).ok()?;
    for _ in 0..scale.unsigned_abs().min(u64::from(Decimal::MAX_SCALE) + 1) {
        shifted = shifted.checked_mul(Decimal::TEN)?;
    }
    Some(shifted)
}
