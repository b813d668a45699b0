//! `GET /v1/policies` and `GET /v1/policies/{id}`: the rules that decide, and those that could.

use aggregates::policy;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::explained::version;
use crate::http::Api;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::queries::PathText;
use crate::policies::{KnownPolicy, Policies};

/// A scoring policy.
#[derive(Serialize, ToSchema)]
#[schema(as = Policy, examples(json!({
    "id": "standard-1", "version": 1, "digest": "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce",
    "shipped": true, "in_force": true,
    "rules": {
        "weights": {"on_time": 40, "track_record": 20, "current_year_activity": 20, "approved_volume": 20},
        "score": {"without_loans": 50, "nothing_due_percent": 50, "full_track_record_loans": 5,
                  "loss_per_loan_this_year_percent": 25},
        "caps": {"instalments_percent_of_income": 50, "count_requested_loan": true},
        "floors": [{"score_above": 50, "minimum_interest_rate": 0}, {"score_above": 30, "minimum_interest_rate": 12},
                   {"score_above": 10, "minimum_interest_rate": 16}],
    },
})))]
pub(super) struct PolicyDocument {
    id: String,
    /// The number that its id ends with; null where it ends with none.
    #[schema(required)]
    version: Option<u32>,
    /// SHA-256 of the policy's text.
    digest: String,
    /// Whether it comes with the product.
    shipped: bool,
    /// Whether decisions are taken under it.
    in_force: bool,
    rules: Rules,
}

/// The policies that this service has.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "id": "standard-1", "version": 1, "digest": "b86d3bf056d2e03ca3bbf9dd2e2a7772fc20552c0f034e4209cde0b38a4e07ce",
    "shipped": true, "in_force": true,
    "rules": {
        "weights": {"on_time": 40, "track_record": 20, "current_year_activity": 20, "approved_volume": 20},
        "score": {"without_loans": 50, "nothing_due_percent": 50, "full_track_record_loans": 5,
                  "loss_per_loan_this_year_percent": 25},
        "caps": {"instalments_percent_of_income": 50, "count_requested_loan": true},
        "floors": [{"score_above": 10, "minimum_interest_rate": 16}],
    },
}], "next_cursor": null})))]
pub(super) struct PolicyList {
    items: Vec<PolicyDocument>,
    /// Continues the list; null on its last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What a policy goes by.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyRules)]
pub(super) struct Rules {
    weights: Weights,
    score: ScoreRules,
    caps: Caps,
    /// From the best score down: what a score borrows at. Below the last, not at all.
    floors: Vec<Floor>,
}

/// Points of each component when it is met in full; they sum to 100.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyWeights)]
struct Weights {
    on_time: u8,
    track_record: u8,
    current_year_activity: u8,
    approved_volume: u8,
}

/// How the components are measured.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyScoreRules)]
struct ScoreRules {
    /// The score of a customer who never had a loan.
    without_loans: u8,
    /// Percent of the on-time points while no instalment has fallen due.
    nothing_due_percent: u8,
    /// So many loans give all track-record points.
    full_track_record_loans: u8,
    /// Percent of the activity points that each loan of the calendar year takes.
    loss_per_loan_this_year_percent: u8,
}

/// What a customer may carry.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyCaps)]
struct Caps {
    /// Percent of the monthly income that instalments may reach.
    instalments_percent_of_income: u8,
    /// Whether the loan that is asked for counts towards both caps.
    count_requested_loan: bool,
}

/// The lowest rate for scores above a bound.
#[derive(Serialize, ToSchema)]
#[schema(as = PolicyFloor)]
struct Floor {
    /// Scores above this one.
    score_above: u8,
    /// Percent a year.
    minimum_interest_rate: Number,
}

impl From<&policy::Rules> for Rules {
    fn from(rules: &policy::Rules) -> Self {
        let policy::Weights { on_time, track_record, current_year_activity, approved_volume } = rules.weights;
        let policy::ScoreRules {
            without_loans,
            nothing_due_percent,
            full_track_record_loans,
            loss_per_loan_this_year_percent,
        } = rules.score;
        let policy::Caps { instalments_percent_of_income, count_requested_loan } = rules.caps;
        let floors = rules.floors.iter().map(|floor| Floor {
            score_above: floor.score_above,
            minimum_interest_rate: Number(floor.minimum_rate.percent()),
        });
        Self {
            weights: Weights { on_time, track_record, current_year_activity, approved_volume },
            score: ScoreRules {
                without_loans,
                nothing_due_percent,
                full_track_record_loans,
                loss_per_loan_this_year_percent,
            },
            caps: Caps { instalments_percent_of_income, count_requested_loan },
            floors: floors.collect(),
        }
    }
}

fn document(policies: &Policies, KnownPolicy { policy, shipped }: &KnownPolicy) -> PolicyDocument {
    let reference = policy.reference();
    PolicyDocument {
        id: reference.id.clone(),
        version: version(&reference.id),
        digest: reference.digest.clone(),
        shipped: *shipped,
        in_force: reference == policies.in_force().reference(),
        rules: policy.rules().into(),
    }
}

/// List the policies
///
/// Those that come with the product, then those of the service's own directory.
#[utoipa::path(get, path = "/v1/policies", tag = "policies", operation_id = "list_policies",
    responses((status = 200, description = "A page of them.", body = PolicyList)))]
pub(super) async fn list(State(api): State<Api>, mut parameters: Parameters) -> Result<Json<PolicyList>, Problem> {
    let paging = parameters.page()?;
    parameters.finish()?;
    let mut behind = (1..).zip(api.policies.all()).filter(|(number, _)| *number > paging.after).peekable();
    let fitting = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let page: Vec<(i64, &KnownPolicy)> = behind.by_ref().take(fitting).collect();
    let there_are_more = behind.peek().is_some();
    let next_cursor = page.last().filter(|_| there_are_more).map(|(number, _)| paging.cursor(*number));
    let items = page.into_iter().map(|(_, known)| document(&api.policies, known)).collect();
    Ok(Json(PolicyList { items, next_cursor }))
}

/// See a policy
#[utoipa::path(get, path = "/v1/policies/{policy_id}", tag = "policies", operation_id = "get_policy",
    params(("policy_id" = String, Path, description = "The policy.", example = "standard-1")),
    responses(
        (status = 200, description = "The policy.", body = PolicyDocument),
        (status = 404, description = "There is no such policy.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn find(
    State(api): State<Api>,
    PathText(id): PathText,
    parameters: Parameters,
) -> Result<Json<PolicyDocument>, Problem> {
    parameters.finish()?;
    let known = api.policies.find(&id).ok_or_else(|| Problem::not_found("policy_id", id))?;
    Ok(Json(document(&api.policies, known)))
}
