//! The only writer of `read_models.credit_profiles`: folds a batch onto the stored profiles with the aggregate's own
//! fold, then writes each touched profile once.

use std::collections::BTreeMap;

use aggregates::customer::fold;
use aggregates::event::LendingEvent;
use aggregates::ids::CustomerId;
use aggregates::profile::CreditProfile;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::{ApplyError, RecordedEvent};

/// Writes what a batch means for the credit profiles.
pub(crate) async fn write(transaction: &mut PgConnection, batch: &[RecordedEvent]) -> Result<(), ApplyError> {
    let touched = batch.iter().filter_map(|recorded| match &recorded.event {
        LendingEvent::Customer(event) => Some((recorded.customer_id, event)),
        LendingEvent::Loan(_) => None,
    });
    let mut profiles: BTreeMap<CustomerId, Option<CreditProfile>> =
        touched.clone().map(|(customer, _)| (customer, None)).collect();
    if profiles.is_empty() {
        return Ok(());
    }
    for (customer, profile) in stored(transaction, profiles.keys()).await? {
        profiles.insert(customer, Some(profile));
    }
    for (customer, event) in touched {
        fold(profiles.entry(customer).or_default(), event);
    }
    let mut ids = Vec::with_capacity(profiles.len());
    let mut folded = Vec::with_capacity(profiles.len());
    for (customer, profile) in profiles {
        ids.push(customer.get());
        let profile = profile.ok_or(ApplyError::UnknownCustomer(customer))?;
        folded.push(serde_json::to_string(&profile).map_err(|error| sqlx::Error::Encode(Box::new(error)))?);
    }
    sqlx::query(
        "insert into read_models.credit_profiles (customer_id, profile)
         select customer_id, profile::json from unnest($1::bigint[], $2::text[]) as folded (customer_id, profile)
         on conflict (customer_id) do update set profile = excluded.profile",
    )
    .bind(ids)
    .bind(folded)
    .execute(transaction)
    .await?;
    Ok(())
}

async fn stored(
    transaction: &mut PgConnection,
    customers: impl Iterator<Item = &CustomerId>,
) -> Result<Vec<(CustomerId, CreditProfile)>, ApplyError> {
    let ids: Vec<i64> = customers.map(|customer| customer.get()).collect();
    let rows: Vec<(i64, Json<CreditProfile>)> =
        sqlx::query_as("select customer_id, profile from read_models.credit_profiles where customer_id = any($1)")
            .bind(ids)
            .fetch_all(transaction)
            .await?;
    let known = rows.into_iter().map(|(id, profile)| {
        let customer = CustomerId::try_from(id).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((customer, profile.0))
    });
    known.collect()
}
