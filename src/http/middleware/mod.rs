//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod envelope;
mod load;
mod received;

pub(super) use envelope::envelope;
pub(super) use load::load;
