//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod authorise;
mod envelope;
mod identify;

pub(super) use authorise::authorise;
pub(super) use envelope::envelope;
pub(super) use identify::{Guard, identify};
