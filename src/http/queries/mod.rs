//! Endpoints that read. They are answered from the read models, never from the event store.

mod check_eligibility;
mod customers;
mod loan;
mod loans;
mod repayments;
mod schedule;
mod states;
mod view_loan;

use aggregates::Invalid;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use projections::{Projection, checkpoint};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::access::{only, original};
use super::openapi::{paged, query};
use super::problem::Problem;
use crate::access::Role::{self, Auditor, Channel, Officer};

/// Who reads about customers and their loans.
const READERS: &[Role] = &[Channel, Officer, Auditor];

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(original(READERS, query(routes!(check_eligibility::check_eligibility))))
        .routes(original(READERS, query(routes!(view_loan::view_loan))))
        .routes(original(READERS, query(routes!(view_loan::view_loans))))
        .routes(only(READERS, paged(query(routes!(customers::list_customers)))))
        .routes(only(READERS, query(routes!(customers::show_customer))))
        .routes(only(READERS, paged(query(routes!(loans::list_loans)))))
        .routes(only(READERS, query(routes!(loan::show_loan))))
        .routes(only(READERS, query(routes!(schedule::show_schedule))))
        .routes(only(READERS, paged(query(routes!(repayments::list_repayments)))))
}

/// The one parameter of a path, as text.
pub(super) struct PathText(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid_field("path", "must be UTF-8 text"))?;
        Ok(Self(text))
    }
}

/// The parameters of a path with so many of them, in their order.
pub(super) struct PathTexts<const COUNT: usize>(pub(super) [PathText; COUNT]);

impl<S: Send + Sync, const COUNT: usize> FromRequestParts<S> for PathTexts<COUNT> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed = || Problem::invalid_field("path", "must be UTF-8 text");
        let named: Result<Path<Vec<(String, String)>>, _> = Path::from_request_parts(parts, state).await;
        let Path(named) = named.map_err(|_| malformed())?;
        let texts: Vec<_> = named.into_iter().map(|(_, text)| PathText(text)).collect();
        texts.try_into().map(Self).map_err(|_| malformed())
    }
}

/// An id in a path. What is no integer is a bad request; an integer that can be no id names nothing.
pub(super) fn path_id<T: TryFrom<i64, Error = Invalid>>(
    field: &'static str,
    PathText(text): &PathText,
) -> Result<T, Problem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::invalid_field(field, "must be an integer"));
    }
    let id = text.parse::<i64>().ok().and_then(|id| T::try_from(id).ok());
    id.ok_or_else(|| Problem::not_found(field, text))
}

/// The read model must hold all that is read from it, or the answer would be made from half of it: after an update it does
/// not until a rebuild is swapped in.
pub(super) async fn must_be_filled(api: &Api, projection: Projection) -> Result<(), Problem> {
    if checkpoint::is_filled(&api.read_models, projection).await? { Ok(()) } else { Err(Problem::not_filled_yet()) }
}
