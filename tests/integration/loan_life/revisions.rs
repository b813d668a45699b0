//! A loan's changes at a revision, and once for a key: at the same time, in two processes, and across a restart.

use futures::future::{join, join_all};

use super::{a_loan, done, repayment, reversal, settlement, write_off};
use crate::support::changes::{Change, assert_problem};
use crate::support::problem::STILL_RUNNING;
use crate::support::sql::count;
use crate::support::verified::assert_verified;
use crate::support::{Answer, Client, TestApp};

const ROUNDS: u32 = 10;
const CONCURRENT: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_repayments_of_one_revision_one_is_taken() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let (_, loan) = a_loan(&app.client).await;
    for round in 1..=ROUNDS {
        let tag = format!("\"{round}\"");
        let client = if round % 2 == 0 { &app.client } else { &other.client };
        let repaying = repayment(loan, 100).at(&tag);
        let (one, another) = join(repaying.send(&app.client), repaying.send(client)).await;
        let (taken, stale) = if one.status == 201 { (one, another) } else { (another, one) };
        let next = format!("\"{}\"", round + 1);
        assert_eq!((taken.status, taken.header("etag")), (201, next.as_str()), "{}", taken.body);
        assert_problem(&stale, 412, "precondition-failed", "If-Match");
        assert_eq!(stale.header("etag"), next);
    }
    assert_eq!(count(&app.pool().await, "events where event_type = 'RepaymentReceived'").await, i64::from(ROUNDS));
    other.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn every_change_of_a_loan_heeds_its_revision() {
    let app = TestApp::start().await;
    let (_, loan) = a_loan(&app.client).await;
    let repaid = done(&app.client, repayment(loan, 5_000).at("\"1\""), 201).await;
    let reversing = reversal(loan, &repaid.body["repayment_id"]);
    for change in [repayment(loan, 1), settlement(loan, 95_000), reversing.clone(), write_off(loan)] {
        for stale in ["\"1\"", "\"3\"", "W/\"2\""] {
            let answer = change.clone().at(stale).send(&app.client).await;
            assert_problem(&answer, 412, "precondition-failed", "If-Match");
            assert_eq!(answer.header("etag"), "\"2\"");
        }
        let malformed = change.at("2").send(&app.client).await;
        assert_problem(&malformed, 400, "invalid-request", "If-Match");
    }
    assert_eq!(done(&app.client, reversing.at("\"2\""), 201).await.header("etag"), "\"3\"");
    assert_eq!(done(&app.client, write_off(loan).at("\"3\", \"4\""), 200).await.header("etag"), "\"4\"");
    assert_eq!(done(&app.client, settlement(loan, 100_000).at("*"), 201).await.header("etag"), "\"5\"");
    app.stop().await;
}

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for header in ["etag", "consistency-token", "content-type"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
}

/// Sends a change from many clients at once; asserts that it is made once, and answers the first answer.
async fn sent_at_once(clients: [&Client; 2], change: &Change) -> Answer {
    let answers = join_all((0..CONCURRENT).map(|number| change.send(clients[number % 2]))).await;
    let (running, answered): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 409);
    assert!(running.iter().all(|answer| answer.body["type"] == STILL_RUNNING), "{answers:?}");
    let firsts: Vec<_> = answered.iter().filter(|answer| !is_replay(answer)).collect();
    assert_eq!(firsts.len(), 1, "{answers:?}");
    answered.iter().for_each(|answer| same(firsts[0], answer));
    (**firsts[0]).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_done_once_and_answered_as_the_first_time() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let (_, loan) = a_loan(&app.client).await;
    let before = count(&pool, "events").await;
    let clients = [&app.client, &other.client];
    let mut sent = Vec::new();

    let repaying = repayment(loan, 5_000).at("\"1\"").once("repay");
    let repaid = sent_at_once(clients, &repaying).await;
    let reversing = reversal(loan, &repaid.body["repayment_id"]).at("\"2\"").once("reverse");
    sent.push((repaying, repaid));
    let reversed = sent_at_once(clients, &reversing).await;
    sent.push((reversing, reversed));
    let writing_off = write_off(loan).at("\"3\"").once("write-off");
    let written_off = sent_at_once(clients, &writing_off).await;
    sent.push((writing_off, written_off));
    let settling = settlement(loan, 100_000).at("\"4\"").once("settle");
    let settled = sent_at_once(clients, &settling).await;
    sent.push((settling, settled));
    assert_eq!(count(&pool, "events").await - before, 8, "two for each: the loan's and the customer's");

    other.stop().await;
    let config = app.config.clone();
    app.stop().await;
    let again = TestApp::start_with(config).await;
    for (change, first) in &sent {
        let replayed = change.send(&again.client).await;
        assert!(is_replay(&replayed), "{}", replayed.body);
        same(first, &replayed);
    }
    let reused = write_off(loan).once("repay").send(&again.client).await;
    assert_problem(&reused, 422, "idempotency-key-reused", "Idempotency-Key");
    assert_eq!(count(&pool, "events").await - before, 8);
    assert_verified(&pool).await;
    again.stop().await;
}
