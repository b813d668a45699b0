//! Reading one's own writes: a command waits for the read models, and hands out a token with which any other client
//! can wait for the same.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use projections::Partition;

use super::Api;
use super::problem::Problem;
use crate::commands::LogPlace;

const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TOKEN_VERSION: &str = "c1";

/// The token of a place in the log: `c1.PARTITION.POSITION`, opaque to clients.
pub(super) fn token(place: LogPlace) -> (HeaderName, String) {
    (CONSISTENCY_TOKEN, format!("{TOKEN_VERSION}.{}.{}", place.partition, place.position))
}

fn parse(token: &HeaderValue) -> Option<LogPlace> {
    let mut parts = token.to_str().ok()?.split('.');
    let (Some(TOKEN_VERSION), Some(partition), Some(position), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let partition = Partition::from_number(partition.parse().ok()?)?;
    let position = position.parse().ok().filter(|position| *position >= 0)?;
    Some(LogPlace { partition, position })
}

/// A query's place in time: extracting it waits until the read models have what the request's token stands for.
#[must_use = "`confirm` says whether what was read since is as fresh"]
pub(super) struct Fresh {
    /// In which life of the database that was so; `None` without a token.
    life: Option<u64>,
}

impl Fresh {
    /// What was read since is as fresh as was asked for, unless the database has crashed between.
    pub(super) fn confirm(&self, api: &Api) -> Result<(), Problem> {
        match self.life {
            Some(life) if api.progress.life() != life => Err(Problem::not_yet_visible()),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a request's token promises, read and not waited for yet: who can answer without the read models need not wait.
pub(super) struct Promised(Option<LogPlace>);

impl Promised {
    /// What has to be in the answer.
    pub(super) const fn place(&self) -> Option<LogPlace> {
        self.0
    }

    /// Waits until the read models have it.
    pub(super) async fn kept(self, api: &Api) -> Result<Fresh, Problem> {
        let Some(place) = self.0 else { return Ok(Fresh { life: None }) };
        if api.read_models.is_away() {
            return Err(Problem::unavailable());
        }
        let life = Some(api.progress.life());
        if api.progress.reached(place.partition, place.position, api.visibility_timeout).await {
            Ok(Fresh { life })
        } else {
            Err(Problem::not_yet_visible())
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Promised {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(token) = parts.headers.get(CONSISTENCY_TOKEN) else { return Ok(Self(None)) };
        let place = parse(token).ok_or_else(|| {
            Problem::invalid_field("Consistency-Token", "must be a token that a command answered with")
        })?;
        Ok(Self(Some(place)))
    }
}

impl FromRequestParts<Api> for Fresh {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Promised::from_request_parts(parts, api).await?.kept(api).await
    }
}

/// Whether the client would rather not wait: `Prefer: respond-async`.
pub(super) struct RespondAsync;

impl OptionalFromRequestParts<Api> for RespondAsync {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Option<Self>, std::convert::Infallible> {
        Ok(prefers_async(&parts.headers).then_some(Self))
    }
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    preferences.flat_map(|value| value.split([',', ';'])).any(|part| part.trim().eq_ignore_ascii_case("respond-async"))
}

impl Api {
    /// Waits, bounded, until a command's events are in every read model that somebody keeps, unless the client prefers
    /// not to. What was committed is committed either way: past the bound the answer goes out, and its token lets the
    /// client wait on.
    pub(super) async fn make_visible(&self, place: LogPlace, respond_async: Option<RespondAsync>) {
        if let Some(profiles) = &self.profiles {
            profiles.answered(place);
        }
        if respond_async.is_some() {
            return;
        }
        // Of a database that is away nothing becomes visible.
        if self.read_models.is_away()
            || !self.progress.reached_where_kept(place.partition, place.position, self.visibility_timeout).await
        {
            tracing::warn!(position = place.position, "a command was answered before the read models had it");
        }
    }
}
