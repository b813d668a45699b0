//! What clients do while read models are rebuilt, parked or verified under them: they write, and at once read what they
//! wrote. None of it may fail.

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::application;
use crate::support::{Answer, Client};

/// Clients at work.
pub(crate) struct Traffic {
    stop: CancellationToken,
    clients: JoinSet<usize>,
}

impl Traffic {
    /// So many clients, until stopped.
    pub(crate) fn start(client: &Client, clients: usize) -> Self {
        let stop = CancellationToken::new();
        let mut started = JoinSet::new();
        for _ in 0..clients {
            let (client, stop) = (client.clone(), stop.clone());
            started.spawn(async move {
                let mut rounds = 0;
                while !stop.is_cancelled() {
                    assert_serving(&client).await;
                    rounds += 1;
                }
                rounds
            });
        }
        Self { stop, clients: started }
    }

    /// Lets them finish; answers how many rounds they went.
    pub(crate) async fn stop(mut self) -> usize {
        self.stop.cancel();
        let mut rounds = 0;
        while let Some(ended) = self.clients.join_next().await {
            rounds += ended.expect("every request is answered as it should be");
        }
        rounds
    }
}

/// A new customer borrows, repays, and reads what came of it: five events.
pub(crate) async fn assert_serving(client: &Client) {
    let customer = client.register(80_000).await;
    let loan = borrow(client, customer).await;
    repay(client, loan, 5_000).await;
    assert_eq!(loans_of(client, customer).await, [loan]);
    let shown = client.get(&format!("/view-loan/{loan}")).await;
    assert_eq!((shown.status, &shown.body["customer"]["id"]), (200, &json!(customer)), "{}", shown.body);
    let eligible = client.post("/check-eligibility", &application(customer, 1_000, 14, 12)).await;
    assert_eq!((eligible.status, &eligible.body["approval"]), (200, &json!(true)), "{}", eligible.body);
    let scored = client.get(&format!("/v1/customers/{customer}/credit-score")).await;
    assert_eq!((scored.status, &scored.body["current_loans_amount"]), (200, &json!(100_000)), "{}", scored.body);
}

/// Borrows a lakh; answers the loan.
pub(crate) async fn borrow(client: &Client, customer: i64) -> i64 {
    let lent = client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    lent.body["loan_id"].as_i64().expect("a loan")
}

/// Repays some of a loan.
pub(crate) async fn repay(client: &Client, loan: i64, amount: u64) -> Answer {
    let repaid = client.post(&format!("/v1/loans/{loan}/repayments"), &json!({ "amount": amount })).await;
    assert_eq!(repaid.status, 201, "{}", repaid.body);
    repaid
}

/// A customer's loans as the read model has them.
pub(crate) async fn loans_of(client: &Client, customer: i64) -> Vec<i64> {
    let listed = client.get(&format!("/view-loans/{customer}")).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    let listed = listed.body.as_array().expect("a list");
    listed.iter().map(|loan| loan["loan_id"].as_i64().expect("a loan")).collect()
}
