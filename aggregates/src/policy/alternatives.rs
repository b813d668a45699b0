//! What would have passed: for a decline, the nearest single change of each kind.
//!
//! Each is found by bisection over the decision itself, never by a second formula that could disagree with it.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};

use crate::money::OutOfRange;
use crate::policy::decision::{Application, Bounds};
use crate::terms::{Principal, Rate, Tenure};

/// A single change to the application that would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// The largest amount in whole rupees that passes.
    SmallerAmount(Principal),
    /// The shortest tenure that passes.
    LongerTenure(Tenure),
    /// The corrected rate, accepted.
    AcceptRate(Rate),
}

impl Bounds<'_> {
    pub(super) fn alternatives(&self, application: &Application) -> Result<Vec<Alternative>, OutOfRange> {
        let mut found = Vec::new();
        if let Some(principal) = self.largest_amount(application)? {
            found.push(Alternative::SmallerAmount(principal));
        }
        if let Some(tenure) = self.shortest_tenure(application)? {
            found.push(Alternative::LongerTenure(tenure));
        }
        let accepting = Application { accept_corrected_rate: true, ..application.clone() };
        if self.declines(&accepting)?.is_empty() {
            found.push(Alternative::AcceptRate(self.corrected_rate(application)));
        }
        Ok(found)
    }

    fn largest_amount(&self, application: &Application) -> Result<Option<Principal>, OutOfRange> {
        let asked = application.principal.money().amount();
        let below = asked.ceil().to_i64().ok_or(OutOfRange)?;
        let with = |rupees: i64| {
            let principal = Principal::try_from(Decimal::from(rupees)).map_err(|_| OutOfRange)?;
            Ok(Application { principal, ..application.clone() })
        };
        // Passing falls from true to false as the amount grows: `passes` is the last known to pass, 0 for none.
        let (mut passes, mut fails) = (0, below);
        while fails - passes > 1 {
            let middle = passes + (fails - passes) / 2;
            if self.declines(&with(middle)?)?.is_empty() {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        if passes == 0 { Ok(None) } else { Ok(Some(with(passes)?.principal)) }
    }

    fn shortest_tenure(&self, application: &Application) -> Result<Option<Tenure>, OutOfRange> {
        let with = |tenure| Application { tenure, ..application.clone() };
        if application.tenure == Tenure::MAX || !self.declines(&with(Tenure::MAX))?.is_empty() {
            return Ok(None);
        }
        let (mut fails, mut passes) = (application.tenure, Tenure::MAX);
        while let Some(middle) = between(fails, passes) {
            if self.declines(&with(middle))?.is_empty() {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        Ok(Some(passes))
    }
}

fn between(low: Tenure, high: Tenure) -> Option<Tenure> {
    let middle = low.months().midpoint(high.months());
    (middle > low.months()).then(|| Tenure::try_from(middle).ok()).flatten()
}
