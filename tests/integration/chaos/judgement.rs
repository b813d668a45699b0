//! The end of the run, judged by the log and not by what the service says of itself: everything that was acknowledged
//! is there once, nothing is there that nobody asked for, no customer ever stood over a bound, the read models are the
//! fold, and every rebuild has come to its end.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use aggregates::customer::{CustomerEvent, fold};
use aggregates::profile::CreditProfile;
use chrono::{FixedOffset, NaiveDate};
use credit_approval::commands::BusinessCalendar;
use futures::TryStreamExt;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::types::Json;

use super::cluster::Cluster;
use super::ledger::{Account, Fact};
use super::rebuilds::{Rebuilds, until_ended};
use super::writes::Effect;

const SETTLE_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const VERIFY_WITHIN: Duration = Duration::from_secs(300);
/// The service's own, as nothing else is configured.
const BUSINESS_UTC_OFFSET: &str = "+05:30";

/// What is wrong, each in a line; nothing when all is well. Also what became of the rebuilds. All faults have ended,
/// and so have all clients.
pub(super) async fn judge(cluster: &Cluster, account: &Account) -> (Vec<String>, Rebuilds) {
    let mut findings = account.violations.clone();
    until_ended(cluster).await;
    findings.extend(not_settled(cluster).await);
    let pool = PgPool::connect(&cluster.database_url).await.expect("PostgreSQL answers");
    let rebuilds = Rebuilds::read(&pool).await;
    findings.extend(rebuilds.findings());
    let log = Log::read(&pool).await;
    findings.extend(acknowledged_and_not_there_once(account, &log));
    findings.extend(more_than_was_asked_for(account, &log));
    findings.extend(loans_without_their_decision(&log));
    findings.extend(over_a_bound(&pool).await);
    findings.extend(not_verified(cluster).await);
    findings.extend(nothing_tried(account));
    (findings, rebuilds)
}

/// Waits until every read model has applied the whole log; says what keeps one from it.
async fn not_settled(cluster: &Cluster) -> Option<String> {
    let until = Instant::now() + SETTLE_WITHIN;
    loop {
        let behind = match projections(cluster).await {
            Ok(items) => items.iter().find_map(behind),
            Err(silence) => Some(silence),
        };
        let behind = behind?;
        if Instant::now() >= until {
            return Some(format!("not settled within {SETTLE_WITHIN:?}: {behind}"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What the service says of its read models, once all of it is ready.
async fn projections(cluster: &Cluster) -> Result<Vec<Value>, String> {
    if !cluster.is_ready().await {
        return Err("an API is not ready".to_owned());
    }
    let api = &cluster.apis[0];
    let asked = api.request(Method::GET, "/v1/projections").timeout(ANSWER_WITHIN);
    let answer = api.try_send(asked).await.map_err(|error| format!("/v1/projections: {error}"))?;
    let items = answer.body["items"].as_array().filter(|items| !items.is_empty()).cloned();
    items.ok_or_else(|| format!("/v1/projections was answered {}: {}", answer.status, answer.body))
}

fn behind(item: &Value) -> Option<String> {
    let zero = |field: &str| item[field].as_i64() == Some(0);
    if zero("lag_events") && zero("parked") { None } else { Some(format!("read model behind its log: {item}")) }
}

/// What of the log can be told apart.
struct Log {
    /// Customer and phone number.
    registrations: Vec<(i64, String)>,
    decisions: Vec<Decision>,
    /// Loan and the decision that opened it.
    opened: Vec<(i64, i64)>,
    /// Loan, repayment and amount.
    repayments: Vec<(i64, i64, Decimal)>,
    /// Loan and repayment.
    reversals: Vec<(i64, i64)>,
    /// Customer and income.
    incomes: Vec<(i64, Decimal)>,
}

#[derive(Debug, sqlx::FromRow)]
struct Decision {
    decision: i64,
    customer: i64,
    principal: Decimal,
    loan: Option<i64>,
}

impl Log {
    async fn read(pool: &PgPool) -> Self {
        let registrations = sqlx::query_as(
            "select (payload #>> '{CustomerRegistered,customer_id}')::bigint,
                    payload #>> '{CustomerRegistered,personal,phone_number}'
             from events where event_type = 'CustomerRegistered'",
        );
        let decisions = sqlx::query_as(
            "select (payload #>> array[event_type, 'decision_id'])::bigint as decision,
                    customer_id as customer,
                    (payload #>> array[event_type, 'assessment', 'application', 'principal'])::numeric as principal,
                    (payload #>> array[event_type, 'loan', 'loan_id'])::bigint as loan
             from events where event_type in ('LoanApproved', 'LoanDeclined')",
        );
        let opened = sqlx::query_as(
            "select aggregate_id::bigint, (payload #>> '{LoanOpened,decision_id}')::bigint
             from events where event_type = 'LoanOpened'",
        );
        let repayments = sqlx::query_as(
            "select aggregate_id::bigint,
                    (payload #>> '{RepaymentReceived,repayment_id}')::bigint,
                    (payload #>> '{RepaymentReceived,amount}')::numeric
             from events where event_type = 'RepaymentReceived'",
        );
        let reversals = sqlx::query_as(
            "select aggregate_id::bigint, (payload #>> '{RepaymentReversed,repayment_id}')::bigint
             from events where event_type = 'RepaymentReversed'",
        );
        let incomes = sqlx::query_as(
            "select customer_id, (payload #>> '{MonthlyIncomeChanged,monthly_income}')::numeric
             from events where event_type = 'MonthlyIncomeChanged'",
        );
        Self {
            registrations: registrations.fetch_all(pool).await.expect("registrations are read"),
            decisions: decisions.fetch_all(pool).await.expect("decisions are read"),
            opened: opened.fetch_all(pool).await.expect("opened loans are read"),
            repayments: repayments.fetch_all(pool).await.expect("repayments are read"),
            reversals: reversals.fetch_all(pool).await.expect("reversals are read"),
            incomes: incomes.fetch_all(pool).await.expect("incomes are read"),
        }
    }

    /// How often each effect took place.
    fn effects(&self) -> BTreeMap<Effect, usize> {
        let registered = self.registrations.iter().map(|(_, phone_number)| Effect::Registered(phone_number.clone()));
        let decided = self.decisions.iter().map(|one| Effect::Decided(one.customer, one.principal));
        let repaid = self.repayments.iter().map(|(loan, _, amount)| Effect::Repaid(*loan, *amount));
        let reversed = self.reversals.iter().map(|(loan, repayment)| Effect::Reversed(*loan, *repayment));
        let changed = self.incomes.iter().map(|(customer, income)| Effect::IncomeChanged(*customer, *income));
        let mut effects = BTreeMap::new();
        for effect in registered.chain(decided).chain(repaid).chain(reversed).chain(changed) {
            *effects.entry(effect).or_default() += 1;
        }
        effects
    }
}

/// What belongs to each id, to be found in one look.
fn by_id<K: Ord, T: Copy>(all: impl Iterator<Item = (K, T)>) -> BTreeMap<K, Vec<T>> {
    let mut by_id: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for (id, one) in all {
        by_id.entry(id).or_default().push(one);
    }
    by_id
}

/// Says so unless an id stands for exactly what is expected of it.
fn unless_once<K: Ord, T: PartialEq + Debug>(all: &BTreeMap<K, Vec<T>>, id: &K, expected: &T) -> Option<String> {
    let found = all.get(id).map_or(&[][..], Vec::as_slice);
    if matches!(found, [one] if one == expected) {
        None
    } else {
        Some(format!("the log holds {found:?} where {expected:?} belongs"))
    }
}

fn acknowledged_and_not_there_once(account: &Account, log: &Log) -> Vec<String> {
    let registrations = by_id(log.registrations.iter().map(|(customer, phone)| (*customer, phone.as_str())));
    let decisions = by_id(log.decisions.iter().map(|one| (one.decision, (one.customer, one.loan))));
    let opened = by_id(log.opened.iter().copied());
    let repayments = by_id(log.repayments.iter().map(|(loan, repayment, _)| (*repayment, *loan)));
    let reversals = by_id(log.reversals.iter().map(|(loan, repayment)| (*repayment, *loan)));
    let incomes = by_id(log.incomes.iter().map(|(customer, income)| ((*customer, *income), ())));
    let mut findings = Vec::new();
    for (key, fact) in &account.acknowledged {
        let wrong = match fact {
            Fact::Registered { customer, phone_number } => {
                unless_once(&registrations, customer, &phone_number.as_str())
            }
            Fact::Decided { decision, customer, loan } => unless_once(&decisions, decision, &(*customer, *loan))
                .or_else(|| loan.and_then(|loan| unless_once(&opened, &loan, decision))),
            Fact::Repaid { repayment, loan } => unless_once(&repayments, repayment, loan),
            Fact::Reversed { repayment, loan } => unless_once(&reversals, repayment, loan),
            Fact::IncomeChanged { customer, monthly_income } => {
                unless_once(&incomes, &(*customer, *monthly_income), &())
            }
        };
        findings.extend(wrong.map(|wrong| format!("{key} was acknowledged as {fact:?}, but {wrong}")));
    }
    findings
}

/// Effects that took place more often than keys asked for them.
fn more_than_was_asked_for(account: &Account, log: &Log) -> Vec<String> {
    let asked = |effect: &Effect| account.sent.get(effect).copied().unwrap_or(0);
    let effects = log.effects().into_iter();
    let too_often = effects.filter(|(effect, times)| *times > asked(effect));
    too_often.map(|(effect, times)| format!("{effect:?}: {times} times, asked for {}", asked(&effect))).collect()
}

/// An approval and the loan that it opens are one transaction.
fn loans_without_their_decision(log: &Log) -> Vec<String> {
    let mut approved: Vec<_> = log.decisions.iter().filter_map(|one| Some((one.loan?, one.decision))).collect();
    let mut opened = log.opened.clone();
    approved.sort_unstable();
    opened.sort_unstable();
    let missing = approved.iter().filter(|loan| opened.binary_search(loan).is_err());
    let extra = opened.iter().filter(|loan| approved.binary_search(loan).is_err());
    let missing = missing.map(|(loan, decision)| format!("loan {loan} of decision {decision} was not opened"));
    let extra = extra.map(|(loan, decision)| format!("loan {loan} was opened, and decision {decision} is none of it"));
    missing.chain(extra).collect()
}

/// Customers who were lent more than was approved, or so that they owed more than half of their income a month. Nobody
/// lends by a reversal or a lower income, so it is judged where a loan was approved.
async fn over_a_bound(pool: &PgPool) -> Vec<String> {
    let offset: FixedOffset = BUSINESS_UTC_OFFSET.parse().expect("it is an offset");
    let today = BusinessCalendar(offset).today();
    let mut events = sqlx::query_as::<_, (i64, Json<CustomerEvent>)>(
        "select customer_id, payload from events where aggregate_type = 'customer' order by customer_id, sequence",
    )
    .fetch(pool);
    let mut findings = BTreeMap::new();
    let mut last = None;
    let mut profile = None;
    while let Some((customer, Json(event))) = events.try_next().await.expect("the customers' events are read") {
        if last.replace(customer) != Some(customer) {
            profile = None;
        }
        fold(&mut profile, &event);
        let lent = matches!(event, CustomerEvent::LoanApproved(_));
        match profile.as_ref().map(|profile| over(profile, today).filter(|_| lent)) {
            Some(None) => {}
            Some(Some(bound)) => {
                findings.entry(customer).or_insert_with(|| format!("customer {customer}: {bound}"));
            }
            None => {
                findings.entry(customer).or_insert_with(|| format!("customer {customer}: no registration comes first"));
            }
        }
    }
    findings.into_values().collect()
}

fn over(profile: &CreditProfile, today: NaiveDate) -> Option<String> {
    let standing = profile.standing(today).expect("sums of a few loans");
    let (principal, limit) = (standing.current_principal, standing.approved_limit);
    let (instalments, income) = (standing.current_instalments, standing.monthly_income.money());
    if principal > limit {
        return Some(format!("loans of {principal} are over the limit of {limit}"));
    }
    let too_much = instalments.amount() > income.amount() / Decimal::TWO;
    too_much.then(|| format!("instalments of {instalments} are over half of the income of {income}"))
}

/// What the service's own comparison of log and read models says, where it is not content.
async fn not_verified(cluster: &Cluster) -> Option<String> {
    let verified = cluster.run_to_end(&["verify"], VERIFY_WITHIN).await;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (status, output, errors) = (verified.status, said(&verified.stdout), said(&verified.stderr));
    (!status.success()).then(|| format!("verify: {status}\n{output}\n{errors}"))
}

/// A run in which nothing happened shows nothing.
fn nothing_tried(account: &Account) -> Option<String> {
    let counts = &account.counts;
    let lending = [counts.registrations, counts.approvals, counts.declines, counts.repayments];
    let correcting = [counts.reversals, counts.incomes];
    let tried = [&lending[..], &correcting].concat();
    tried.contains(&0).then(|| "a kind of write was never acknowledged, so this run shows nothing".to_owned())
}
