//! What surrounds every route, from the outside in: [`super::router`] names the layers in their order.

mod authorise;
mod bodies;
mod envelope;
mod exchange;
mod head;
mod identify;
mod load;
mod part;
mod rate_limit;
mod received;
mod requests;
mod security;

pub(super) use authorise::authorise;
pub(super) use bodies::{Bodies, receive};
pub(super) use envelope::envelope;
pub(super) use exchange::{compression, cross_origin};
pub(super) use head::limit_head;
pub(super) use identify::{Guard, identify};
pub(super) use load::load;
pub(super) use part::part;
pub(super) use rate_limit::{is_unlimited, rate_limit};
pub(super) use requests::Requests;
pub(super) use security::{OverTls, secure};
