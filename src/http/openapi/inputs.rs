//! Schemas of what requests hold: as exact as a schema can be, so that clients, forms and fuzzers know what is taken.
//!
//! For `#[schema(schema_with = …)]` on the fields of a request.

use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Text without control characters that is not only space; space around it, in which some are, does not count.
const NAME: &str = "^[\\t-\\r\\u0085]*[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f]\
                    [^\\u0000-\\u001f\\u007f-\\u009f]*[\\t-\\r\\u0085]*$";
/// Visible characters and plain spaces.
const VISIBLE: &str = "^ *[^\\s\\u0000-\\u001f\\u007f-\\u009f]([^\\s\\u0000-\\u001f\\u007f-\\u009f]| )*$";

fn number_or_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Number, Type::String]))
}

/// Rupees over 0 with at most two decimals, up to a power of ten.
pub(in crate::http) fn amount(description: &str, maximum: u64) -> Object {
    let digits = maximum.checked_ilog10().unwrap_or_default().saturating_sub(1);
    let text = format!("^(0\\.(0[1-9]|[1-9][0-9]?)|[1-9][0-9]{{0,{digits}}}(\\.[0-9]{{1,2}})?)$");
    let amount = number_or_text().exclusive_minimum(Some(0)).maximum(Some(maximum)).pattern(Some(text));
    amount.description(Some(description)).build()
}

/// A rate of interest.
pub(in crate::http) fn rate() -> Object {
    let rate = number_or_text().minimum(Some(0)).maximum(Some(100)).pattern(Some("^[0-9]{1,2}(\\.[0-9]{1,4})?$"));
    rate.description(Some("Percent a year, at most four decimals.")).build()
}

/// A person's first or last name.
pub(in crate::http) fn name() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(100));
    name.pattern(Some(NAME)).description(Some("In any script; space around it is dropped.")).build()
}

/// A phone number.
pub(in crate::http) fn phone_number() -> Object {
    let phone_number = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Integer]))
        .pattern(Some("^[0-9]{5,15}$"))
        .minimum(Some(10_000))
        .maximum(Some(999_999_999_999_999_u64));
    phone_number.description(Some("Digits, as text or as a plain integer. No two customers share one.")).build()
}

/// Text in one line that somebody gives to a thing, up to so many characters.
pub(in crate::http) fn line(description: &str, max_chars: usize) -> ObjectBuilder {
    let line = ObjectBuilder::new().min_length(Some(1)).max_length(Some(max_chars)).pattern(Some(VISIBLE));
    line.schema_type(Type::String).description(Some(description))
}

/// Rupees that a filter compares with, for the description.
pub(in crate::http) enum AmountBound {}

impl PartialSchema for AmountBound {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0))
            .maximum(Some(1_000_000_000_000_000_000_u64))
            .into()
    }
}

impl ToSchema for AmountBound {}

/// A moment, or a day, which stands for its beginning, for the description.
pub(in crate::http) enum DayOrMoment {}

impl PartialSchema for DayOrMoment {
    fn schema() -> RefOr<Schema> {
        let text =
            |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
        AnyOfBuilder::new().item(text(KnownFormat::Date)).item(text(KnownFormat::DateTime)).into()
    }
}

impl ToSchema for DayOrMoment {}
