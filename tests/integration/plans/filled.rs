//! Read models of a large lender: 300,000 customers, a million loans and as many decisions, made up by PostgreSQL itself.

use aggregates::profile::CreditProfile;
use sqlx::PgPool;

use crate::support::sql::execute;

/// A customer of whom everything is asked: it has far more loans than others.
pub(super) const CUSTOMER: i64 = 4_242;
/// Its loans: the first ones.
pub(super) const LOANS_OF_CUSTOMER: i64 = 2_000;
pub(super) const CUSTOMERS: i64 = 300_000;
pub(super) const LOANS: i64 = 1_000_000;

/// Fills the read models. Their secondary indexes are made afterwards, as whoever loads much does it.
pub(super) async fn fill(pool: &PgPool) {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select indexname::text, indexdef from pg_indexes
         where schemaname = 'read_models' and tablename in ('customers', 'loans', 'decisions') and indexname !~ '_pkey$'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let dropped: String = indexes.iter().map(|(name, _)| format!("drop index read_models.{name};")).collect();
    let made: Vec<_> = indexes.into_iter().map(|(_, definition)| definition).collect();
    execute(pool, &dropped).await;
    let (loans, others) = (loans(), customers() + ";" + &decisions());
    tokio::join!(execute(pool, &loans), execute(pool, &others));
    // Two at a time: the machine that runs this has two cores.
    let (one, other) = made.split_at(made.len() / 2);
    let (one, other) = (make(one), make(other));
    tokio::join!(execute(pool, &one), execute(pool, &other));
    execute(
        pool,
        "analyze read_models.customers, read_models.loans, read_models.credit_profiles, read_models.decisions",
    )
    .await;
    let profile = serde_json::to_string(&profile()).unwrap();
    sqlx::query("update read_models.credit_profiles set profile = $1::json where customer_id = $2")
        .bind(profile)
        .bind(CUSTOMER)
        .execute(pool)
        .await
        .unwrap();
    settle_counters(pool).await;
}

fn make(definitions: &[String]) -> String {
    format!("set maintenance_work_mem = '128MB'; {}; select pg_stat_force_next_flush()", definitions.join(";"))
}

fn profile() -> CreditProfile {
    serde_json::from_value(serde_json::json!({
        "monthly_income": "50000", "approved_limit": "1800000", "loans": [],
    }))
    .unwrap()
}

fn customers() -> String {
    format!(
        "insert into read_models.customers
             (customer_id, first_name, last_name, age, phone_number, monthly_income, approved_limit, registered_at)
         select id, 'Asha', 'Rao', 18 + id % 60, (6000000000 + id)::text, income, round(income * 36, -5),
                timestamptz '2020-01-01 00:00Z' + id * interval '10 minutes'
         from generate_series(1::bigint, {CUSTOMERS}) as id, lateral (select 10000 + (id * 7919) % 490001 as income) earned;
         insert into read_models.credit_profiles select id, '{{}}' from generate_series(1::bigint, {CUSTOMERS}) as id;
         select pg_stat_force_next_flush()"
    )
}

/// A third is settled, one in fifty overdue, one in a thousand written off.
fn loans() -> String {
    format!(
        "insert into read_models.loans
             (loan_id, customer_id, decision_id, principal, interest_rate, tenure, instalment, instalments_paid,
              started_on, ends_on, opened_at, settled_on, revision, next_due_on, written_off_on)
         select id,
                case when id <= {LOANS_OF_CUSTOMER} then {CUSTOMER} else 1 + (id * 7907) % {CUSTOMERS} end,
                id, 1000 + (id * 104729) % 2000000, 12, tenure, 5000, 3,
                started_on, (started_on + tenure * interval '1 month')::date,
                timestamptz '2020-01-01 00:00Z' + id * interval '3 minutes',
                case when next_due_on is null then started_on + 60 end, 4, next_due_on,
                case when id % 1000 = 7 and next_due_on is not null then current_date - (id % 300)::integer end
         from generate_series(1::bigint, {LOANS}) as id,
              lateral (select date '2016-01-01' + ((id * 31) % 3900)::integer as started_on,
                              (12 + id % 5 * 12)::smallint as tenure,
                              case when id % 3 = 0 then null
                                   when id % 50 = 1 then current_date - (id % 400 + 1)::integer
                                   else current_date + (id % 30)::integer end as next_due_on) terms;
         select pg_stat_force_next_flush()"
    )
}

/// As many as loans; one in two hundred is a decline.
fn decisions() -> String {
    format!(
        "insert into read_models.decisions
             (decision_id, customer_id, loan_id, outcome, decided_at, as_of, policy_id, policy_digest, credit_score,
              loan_amount, assessment)
         select id, case when id <= {LOANS_OF_CUSTOMER} then {CUSTOMER} else 1 + (id * 7907) % {CUSTOMERS} end,
                case when id % 200 > 0 then id end, case when id % 200 > 0 then 'approved' else 'declined' end,
                timestamptz '2020-01-01 00:00Z' + id * interval '3 minutes', date '2020-01-01' + (id / 480)::integer,
                'standard-1', repeat('0', 64), 50 + id % 50, 1000 + (id * 104729) % 2000000,
                '{{\"reasons\": [{{\"code\": \"within_policy\"}}]}}'
         from generate_series(1::bigint, {LOANS}) as id;
         select pg_stat_force_next_flush()"
    )
}

/// Waits until the counters hold all of this: a connection tells them when it next ends a transaction.
async fn settle_counters(pool: &PgPool) {
    for _ in 0..pool.size() {
        sqlx::query("select pg_stat_force_next_flush()").execute(pool).await.unwrap();
    }
}
