//! `backtest`: the recorded decisions under another policy, with a progress bar. Ctrl-C stops it.

use std::path::Path;
use std::sync::Arc;

use aggregates::policy::Policy;
use projections::decisions::Span;

use super::progress::{bar, show};
use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::backtest::report::{ByMonth, ByReason, Example, RateChange, RateChanges, Report, Tally};
use crate::backtest::{Backtest, Moment};
use crate::commands::BusinessCalendar;
use crate::config::{self, DEFAULT_POLICY};
use crate::databases::Databases;
use crate::http::number::Number;
use crate::policies::{Policies, PoliciesError, read_file};

/// Takes the recorded decisions again under another policy, and says what would have fallen otherwise.
///
/// # Errors
/// [`OpsError`], when the policy is none or the decisions cannot be read.
pub async fn backtest(config: &config::Backtest) -> Result<(), OpsError> {
    let policy = wanted(config)?;
    let report = with_databases(&config.store, Schema::AsItIs, async |databases| {
        tokio::select! {
            report = run(databases, config, Arc::clone(&policy)) => report,
            () = asked_to_stop() => Err(OpsError::Interrupted),
        }
    })
    .await?;
    if config.json {
        say(serde_json::to_string(&report)?)
    } else {
        say(InWords(&report))
    }
    Ok(())
}

/// The policy of that id, or of that file: an id has neither a slash nor a dot in it.
fn wanted(config: &config::Backtest) -> Result<Arc<Policy>, PoliciesError> {
    let policies = Policies::load(config.policies.policies_dir.as_deref(), DEFAULT_POLICY)?;
    let is_a_file = config.policy.contains(['/', '.']);
    if is_a_file { Ok(Arc::new(read_file(Path::new(&config.policy))?)) } else { policies.get(&config.policy).cloned() }
}

async fn run(databases: &Databases, config: &config::Backtest, policy: Arc<Policy>) -> Result<Report, OpsError> {
    let calendar = BusinessCalendar(config.store.business_utc_offset);
    let at = |moment: Option<Moment>| moment.map(|moment| moment.at(calendar));
    let span = Span { from: at(config.decided_after), until: at(config.decided_before), customer: config.customer };
    let mut backtest = Backtest::begin(databases.read_models.clone(), policy, span, config.examples).await?;
    let bar = bar("backtest", "decisions");
    while backtest.step().await? {
        let (done, total) = backtest.progress();
        show(&bar, done, total);
    }
    bar.finish_and_clear();
    Ok(backtest.report())
}

/// What became of the rates of those that stay approved.
fn rates(rates: &RateChanges) -> String {
    let of = |RateChange { decisions, average_change }: &RateChange, what: &str| match decisions {
        0 => format!("0 {what}"),
        some => format!("{some} {what} by {} on average", Number(average_change.0.abs())),
    };
    format!("{} the same, {}, {}", rates.same, of(&rates.raised, "raised"), of(&rates.lowered, "lowered"))
}

/// A report for people.
struct InWords<'a>(&'a Report);

impl std::fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = self.0;
        let tally = |name: &str, tally: &Tally| {
            format!("{name:<17}{:>9} decisions, {:>20}", tally.decisions, tally.loan_amount.to_string())
        };
        writeln!(f, "{:<17}{} ({})", "policy", report.policy.id, report.policy.digest)?;
        let all = Tally { decisions: report.decisions, loan_amount: report.loan_amount };
        writeln!(f, "{}", tally("taken again", &all))?;
        writeln!(f, "{}", tally("still approved", &report.ways.still_approved))?;
        writeln!(f, "{}", tally("still declined", &report.ways.still_declined))?;
        writeln!(f, "{}", tally("newly approved", &report.ways.newly_approved))?;
        writeln!(f, "{}", tally("newly declined", &report.ways.newly_declined))?;
        writeln!(f, "{:<17}{}", "their rates", rates(&report.rates))?;
        self.reasons(f)?;
        self.months(f)?;
        self.examples(f, "newly approved", &report.examples.newly_approved)?;
        self.examples(f, "newly declined", &report.examples.newly_declined)?;
        write!(f, "{}", report.note)
    }
}

impl InWords<'_> {
    fn reasons(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "by reason")?;
        for ByReason { recorded_reason, reason, decisions, loan_amount } in &self.0.by_reason {
            let amount = loan_amount.to_string();
            writeln!(f, "  {recorded_reason:<30} -> {reason:<30} {decisions:>9} {amount:>20}")?;
        }
        Ok(())
    }

    fn months(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "by month")?;
        for ByMonth { month, decisions, ways } in &self.0.by_month {
            let (approved, declined) = (ways.newly_approved.decisions, ways.newly_declined.decisions);
            writeln!(f, "  {month} {decisions:>9} decisions, {approved} newly approved, {declined} newly declined")?;
        }
        Ok(())
    }

    fn examples(&self, f: &mut std::fmt::Formatter<'_>, name: &str, examples: &[Example]) -> std::fmt::Result {
        if !examples.is_empty() {
            writeln!(f, "{name}, some of them")?;
        }
        for example in examples {
            let Example { decision_id, customer_id, as_of, loan_amount, recorded_reason, message, .. } = example;
            writeln!(
                f,
                "  decision {decision_id} of {as_of}, customer {customer_id}, {loan_amount}: was {recorded_reason}; \
                 {message}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    #[test]
    fn it_is_said_which_rates_rise_and_which_fall() {
        let change =
            |decisions, hundredths| RateChange { decisions, average_change: Number(Decimal::new(hundredths, 2)) };
        let said = |raised, lowered| rates(&RateChanges { same: 1, raised, lowered });
        assert_eq!(said(change(2, 150), change(0, 0)), "1 the same, 2 raised by 1.5 on average, 0 lowered");
        assert_eq!(said(change(0, 0), change(3, -25)), "1 the same, 0 raised, 3 lowered by 0.25 on average");
    }
}
