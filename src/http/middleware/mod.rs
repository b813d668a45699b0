//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod envelope;
mod rate_limit;

pub(super) use envelope::envelope;
pub(super) use rate_limit::{is_unlimited, rate_limit};
