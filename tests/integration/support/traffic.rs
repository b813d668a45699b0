//! What clients do while servers and processes end, and read models are rebuilt, parked or verified under them: they
//! write, and at once read what they wrote. None of it may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::application;
use super::wait::eventually;
use super::{Answer, Client};

const WRITERS: usize = 4;
const THINK: Duration = Duration::from_millis(20);
/// So many rounds more show that writing goes on.
const ROUNDS: usize = 24;

/// Clients that go round after round until they are stopped.
pub(crate) struct Traffic {
    stop: CancellationToken,
    clients: JoinSet<()>,
    rounds: Arc<AtomicUsize>,
}

impl Traffic {
    /// A few clients that write and look for it, with a pause after each round.
    pub(crate) fn of_writers(client: &Client) -> Self {
        Self::start(client, WRITERS, |client| async move {
            write_and_look(&client).await;
            tokio::time::sleep(THINK).await;
        })
    }

    /// So many clients that ask for everything, without a pause.
    pub(crate) fn of_everything(client: &Client, clients: usize) -> Self {
        Self::start(client, clients, |client| async move { assert_serving(&client).await })
    }

    fn start<Round>(
        client: &Client,
        clients: usize,
        round: impl Fn(Client) -> Round + Copy + Send + Sync + 'static,
    ) -> Self
    where
        Round: Future<Output = ()> + Send + 'static,
    {
        let (stop, rounds) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let mut started = JoinSet::new();
        for _ in 0..clients {
            let (client, stop, rounds) = (client.clone(), stop.clone(), Arc::clone(&rounds));
            started.spawn(async move {
                while !stop.is_cancelled() {
                    round(client.clone()).await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { stop, clients: started, rounds }
    }

    /// Until it has gone on for a while.
    pub(crate) async fn goes_on(&mut self) {
        let enough = self.rounds.load(Ordering::Relaxed) + ROUNDS;
        eventually("writing goes on", async || {
            assert!(self.clients.try_join_next().is_none(), "a client was not answered as it should be");
            self.rounds.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Lets them finish; answers how many rounds they went.
    pub(crate) async fn stop(mut self) -> usize {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("every request is answered as it should be");
        }
        self.rounds.load(Ordering::Relaxed)
    }
}

/// So many customers with a loan each; every write is visible when it was answered, or this fails.
pub(crate) async fn traffic(client: &Client, customers: usize) {
    for _ in 0..customers {
        write_and_look(client).await;
    }
}

/// A customer and its loan, there as soon as they were answered.
pub(crate) async fn write_and_look(client: &Client) {
    let customer = client.register(80_000).await;
    let loan = borrow(client, customer).await;
    assert_eq!(loans_of(client, customer).await, [loan]);
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
