//! `POST /v1/policies/backtest`: the recorded decisions under another policy, as one answer or with lines of progress
//! before it. It stops when the client goes away: the handler or the body's stream is dropped, and with it the work.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::Invalid;
use aggregates::ids::CustomerId;
use aggregates::policy::Policy;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt;
use futures::stream::unfold;
use projections::decisions::Span;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::backtest::{Backtest, DEFAULT_EXAMPLES, MAX_EXAMPLES, Moment, Report};
use crate::commands::Origin;
use crate::http::Api;
use crate::http::body::{Field, Fields, JsonBody, integer, string};
use crate::http::openapi::inputs::DayOrMoment;
use crate::http::parameters::Parameters;
use crate::http::problem::{Document, Problem, ProblemDocument};

const NDJSON: &str = "application/x-ndjson";
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Which decisions, under which policy: one of `policy` and `policy_toml`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"policy": "literal-1", "decided_after": "2026-01-01", "decided_before": "2027-01-01"})))]
pub(super) struct BacktestRequest<'a> {
    /// The id of a policy that the service has.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    policy: Field<'a>,
    /// The text of a policy, TOML as in the files that the service reads.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    policy_toml: Field<'a>,
    /// Decisions since this day, it included, or since this instant.
    #[serde(borrow)]
    #[schema(value_type = Option<DayOrMoment>, inline)]
    decided_after: Field<'a>,
    /// Decisions before this day, it excluded, or before this instant.
    #[serde(borrow)]
    #[schema(value_type = Option<DayOrMoment>, inline)]
    decided_before: Field<'a>,
    /// Decisions over this customer's applications alone.
    #[serde(borrow)]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    customer_id: Field<'a>,
    /// How many decisions that would fall otherwise are listed each way.
    #[serde(borrow)]
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 100, default = 10)]
    examples: Field<'a>,
}

/// A line of a backtest's answer: progress, and at last the result or what went wrong.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BacktestLine, examples(json!({"progress": {"decisions": 1500, "total": 20000}})))]
enum Line<'a> {
    /// How far it is.
    Progress(Progress),
    /// The report.
    Result(Box<Report>),
    /// Why there is none.
    Error(Document<'a>),
}

/// How far a backtest is.
#[derive(Serialize, ToSchema)]
#[schema(as = BacktestProgress)]
struct Progress {
    /// Decisions taken again.
    decisions: i64,
    /// Decisions to take again.
    total: i64,
}

/// What was asked for.
struct Asked {
    policy: Arc<Policy>,
    span: Span,
    examples: u8,
}

/// Take the recorded decisions again under another policy
///
/// Each from the standing that was recorded with it. Answers with the report; with `Accept: application/x-ndjson`, with
/// lines of progress of which the last holds it. One runs at a time in a process, and it stops when the client goes away.
#[utoipa::path(post, path = "/v1/policies/backtest", tag = "policies", operation_id = "backtest_policy",
    request_body = BacktestRequest<'static>,
    responses(
        (status = 200, description = "How many would fall otherwise, which way, and why.", content(
            (Report = "application/json"),
            (Line<'static> = "application/x-ndjson"),
        )),
        (status = 404, description = "There is no such policy.", body = ProblemDocument,
         content_type = "application/problem+json"),
        (status = 409, description = "Another backtest runs in this process.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn backtest(
    State(api): State<Api>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let Asked { policy, span, examples } = asked(&api, &body)?;
    let turn = api.backtests.begin().ok_or_else(Problem::backtest_under_way)?;
    let backtest = Backtest::begin(api.replay.read_models.clone(), policy, span, examples).await?;
    if !wants_lines(&headers) {
        let report = backtest.finish().await?;
        drop(turn);
        return Ok(Json(report).into_response());
    }
    let lines = Lines { backtest, _turn: turn, request_id: origin.request_id.unwrap_or_default() };
    // Whoever compresses asks once more after the end.
    let body = Body::from_stream(unfold(Some(lines), next_line).fuse());
    Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response())
}

fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(NDJSON)
    })
}

fn asked(api: &Api, body: &JsonBody) -> Result<Asked, Problem> {
    let request: BacktestRequest<'_> = body.fields()?;
    let mut fields = Fields::default();
    let moment = |value: &RawValue| string(value)?.parse::<Moment>().map(|moment| Some(moment.at(api.calendar)));
    let id = fields.optional("policy", request.policy, None, |value| string(value).map(Some));
    let text = fields.optional("policy_toml", request.policy_toml, None, |value| parsed(value).map(Some));
    let from = fields.optional("decided_after", request.decided_after, None, moment);
    let until = fields.optional("decided_before", request.decided_before, None, moment);
    let customer =
        fields.optional("customer_id", request.customer_id, None, |id| integer::<i64, CustomerId>(id).map(Some));
    let examples = fields.optional("examples", request.examples, Examples(DEFAULT_EXAMPLES), integer::<i64, Examples>);
    let (Some(id), Some(text), Some(from), Some(until), Some(customer), Some(Examples(examples))) =
        (id, text, from, until, customer, examples)
    else {
        return Err(fields.into_problem());
    };
    let policy = match (id, text) {
        (Some(id), None) => Arc::clone(api.policies.get(&id).map_err(|_| Problem::not_found("policy", id))?),
        (None, Some(policy)) => Arc::new(policy),
        (None, None) => return Err(Problem::invalid_field("policy", "is missing, and so is policy_toml")),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid_field("policy_toml", "cannot be given together with policy"));
        }
    };
    Ok(Asked { policy, span: Span { from, until, customer }, examples })
}

/// The policy of a text.
fn parsed(value: &RawValue) -> Result<Policy, Invalid> {
    Policy::parse(&string(value)?).map_err(|error| Invalid(format!("is not a valid policy: {}", error.in_one_line())))
}

/// How many examples, each way.
struct Examples(u8);

impl TryFrom<i64> for Examples {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        let number = u8::try_from(number).ok().filter(|number| *number <= MAX_EXAMPLES);
        number.map(Self).ok_or_else(|| Invalid(format!("must be an integer from 0 to {MAX_EXAMPLES}")))
    }
}

/// A backtest that is answered line by line.
struct Lines {
    backtest: Backtest,
    _turn: OwnedSemaphorePermit,
    request_id: String,
}

/// The next line, and what is left to do after it.
async fn next_line(lines: Option<Lines>) -> Option<(Result<Vec<u8>, Infallible>, Option<Lines>)> {
    let mut lines = lines?;
    let started = Instant::now();
    loop {
        match lines.backtest.step().await {
            Ok(true) if started.elapsed() < PROGRESS_EVERY => {}
            Ok(true) => {
                let (decisions, total) = lines.backtest.progress();
                return Some((Ok(line(&Line::Progress(Progress { decisions, total }))), Some(lines)));
            }
            Ok(false) => return Some((Ok(line(&Line::Result(Box::new(lines.backtest.report())))), None)),
            Err(error) => {
                let problem = Problem::from(error);
                return Some((Ok(line(&Line::Error(problem.document(&lines.request_id)))), None));
            }
        }
    }
}

fn line(line: &Line<'_>) -> Vec<u8> {
    // It holds strings and numbers under keys that are strings: nothing that JSON could not.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
