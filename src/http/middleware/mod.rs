//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod envelope;
mod part;

pub(super) use envelope::envelope;
pub(super) use part::part;
