//! Redriving races with what comes in for the same customer: nothing is lost, nothing is applied twice.

use futures::future::{join, join_all};
use serde_json::json;

use super::{RAISE, accept, parked, redrive, refuse, the_one_parked};
use crate::support::TestApp;
use crate::support::sql::{count, number};
use crate::support::traffic::{borrow, repay};
use crate::support::verified::assert_verified;
use crate::support::wait::eventually;

const ROUNDS: usize = 5;
const REPAYMENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_while_a_customer_is_redriven_is_neither_lost_nor_doubled() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let customer = app.client.register(80_000).await;
    let loan = borrow(&app.client, customer).await;
    for round in 0..ROUNDS {
        refuse(&pool, customer, RAISE).await;
        repay(&app.client, loan, 10).await;
        the_one_parked(&app.client, "loans", customer).await;
        accept(&pool).await;
        let repayments = join_all((0..REPAYMENTS).map(|number| {
            let client = if number % 2 == 0 { &app.client } else { &other.client };
            repay(client, loan, 10)
        }));
        let everybody = json!({});
        let redriving = join(redrive(&app.client, "loans", &everybody), redrive(&other.client, "loans", &everybody));
        let (_, (one, another)) = join(repayments, redriving).await;
        for outcome in [one, another] {
            assert_eq!(outcome["parked"], json!([]), "nothing is in its way any more: round {round}");
        }
        eventually("it goes on", async || parked(&app.client, "loans").await.is_empty()).await;
        let counted = number(&pool, "select sum(parked) from read_models.checkpoints where projection = 'loans'").await;
        assert_eq!(counted, 0, "round {round}");
        assert_verified(&pool).await;
    }
    let repaid = count(&pool, "events where event_type = 'RepaymentReceived'").await;
    assert_eq!(usize::try_from(repaid).unwrap(), ROUNDS * (1 + REPAYMENTS));
    let right = count(
        &pool,
        "read_models.loans where outstanding =
             (select (payload #>> '{RepaymentReceived,outstanding}')::numeric from events
              where event_type = 'RepaymentReceived' order by position desc limit 1)",
    )
    .await;
    assert_eq!(right, 1, "the last repayment is the last that was applied");
    other.stop().await;
    app.stop().await;
}
