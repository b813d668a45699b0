//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod envelope;

pub(super) use envelope::envelope;
