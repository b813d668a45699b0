//! What the requests that change something have in common: who asks, at which revision, under which key.

use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request};

use crate::commands::{ChangeRequest, Expected, KeyedRequest, Origin};
use crate::http::Api;
use crate::http::body::JsonBody;
use crate::http::consistency::RespondAsync;
use crate::http::idempotency::Submission;
use crate::http::parameters::Parameters;
use crate::http::problem::Problem;

/// A change that is asked for; `Precondition` says whether the client has to name the revision that it has seen.
pub(super) struct Change<Precondition> {
    origin: Origin,
    expected: Precondition,
    keyed: Option<KeyedRequest>,
    /// What it says.
    pub(super) body: JsonBody,
    /// Whether the client would rather not wait.
    pub(super) respond_async: Option<RespondAsync>,
}

impl<Precondition> FromRequest<Api> for Change<Precondition>
where
    Precondition: FromRequestParts<Api, Rejection = Problem> + Send,
{
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        let (mut parts, body) = request.into_parts();
        let Ok(respond_async) =
            <RespondAsync as OptionalFromRequestParts<Api>>::from_request_parts(&mut parts, api).await;
        let expected = Precondition::from_request_parts(&mut parts, api).await?;
        let parameters = Parameters::from_request_parts(&mut parts, api).await?;
        let Submission { keyed, body } = Submission::from_request(Request::from_parts(parts, body), api).await?;
        parameters.finish()?;
        Ok(Self { origin, expected, keyed, body, respond_async })
    }
}

impl<Precondition: AsRef<Expected>> Change<Precondition> {
    /// As the executor takes it.
    pub(super) fn request(&self) -> ChangeRequest<'_> {
        ChangeRequest { origin: &self.origin, keyed: self.keyed.as_ref(), expected: self.expected.as_ref() }
    }
}
