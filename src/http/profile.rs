//! A customer's credit profile for whoever asks what it is good for: today's from memory where that is as fresh as the
//! request asks for, else from the read model; a past day's from the log.

use std::sync::Arc;

use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use chrono::NaiveDate;
use projections::{Projection, credit_profiles};

use super::Api;
use super::consistency::Promised;
use super::problem::Problem;
use crate::history::{Known, profile_as_of};

impl Api {
    /// The profile of a customer as it is now.
    pub(super) async fn profile(
        &self,
        customer: CustomerId,
        promised: Promised,
    ) -> Result<Arc<CreditProfile>, Problem> {
        let kept = self.profiles.as_ref().and_then(|profiles| profiles.get(customer, promised.place()));
        if let Some(profile) = kept {
            return Ok(profile);
        }
        let fresh = promised.kept(self).await?;
        let era = self.profiles.as_ref().map(|profiles| (profiles, profiles.era()));
        let found = credit_profiles::find(&self.read_models, customer).await?;
        fresh.confirm(self)?;
        let found = found.ok_or_else(|| Problem::not_found("customer_id", customer))?;
        Ok(match era {
            Some((profiles, era)) => profiles.keep(customer, era, found),
            None => Arc::new(found.profile),
        })
    }

    /// What was known of a customer on a past day.
    pub(super) async fn past_profile(
        &self,
        customer: CustomerId,
        day: NaiveDate,
        promised: Promised,
    ) -> Result<Arc<CreditProfile>, Problem> {
        let fresh = promised.kept(self).await?;
        let known = profile_as_of(&self.log, customer, day, self.calendar).await?;
        fresh.confirm(self)?;
        match known {
            Known::Profile(profile) => Ok(Arc::new(profile)),
            Known::Later(since) => Err(Problem::not_yet_a_customer(customer, day, since)),
            Known::Nothing => Err(Problem::not_found("customer_id", customer)),
        }
    }

    /// Rows of a read model were replaced by other means than events, and this process is about to say so.
    pub(super) fn replaced(&self, projection: Projection) {
        if let Some(profiles) = self.profiles.as_ref().filter(|_| projection == Projection::CreditProfiles) {
            profiles.forget();
        }
    }
}
