//! The clients: each writes and reads as fast as a person with a short temper, sends again what was not answered, and
//! looks whether what was acknowledged is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use reqwest::{Method, RequestBuilder};
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::ledger::{Ledger, Seen};
use super::writes::{Verdict, Write, application};
use crate::support::{Answer, Client};

const CLIENTS: u64 = 12;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a write is sent again before it is put off until the faults have ended.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// How long, after the faults have ended, everything that was put off may take.
const FINISH_WITHIN: Duration = Duration::from_secs(60);
const THINK_MILLISECONDS: std::ops::RangeInclusive<u64> = 20..=150;
const RETRY_MILLISECONDS: std::ops::RangeInclusive<u64> = 20..=300;
/// In a hundred acknowledged writes: sent again later, as by a client that missed the answer.
const REPEATED_PERCENT: u32 = 10;
/// In a hundred applications: of a customer whom others lend to at the same time.
const HOT_PERCENT: u32 = 50;
/// In a hundred repayments of a loan that something is known to be left of: of all of it.
const SETTLING_PERCENT: u32 = 50;

/// Amounts are whole steps of ten thousand rupees, and paise below a step that hardly any two writes share.
const STEP_PAISE: i64 = 1_000_000;
const LOAN_STEPS: std::ops::RangeInclusive<i64> = 3..=40;
const REPAYMENT_STEPS: std::ops::RangeInclusive<i64> = 0..=2;
const INCOMES: std::ops::RangeInclusive<u64> = 20..=120;
/// Another income is in the same range, and in amounts as above.
const INCOME_STEPS: std::ops::RangeInclusive<i64> = 2..=11;
const RATES: std::ops::RangeInclusive<u64> = 8..=18;
/// Short ones are bounded by the income, long ones by the limit.
const TENURES: [u64; 6] = [6, 12, 24, 60, 120, 240];

/// Starts all clients; each ends after `stop`, once it knows what became of everything it sent.
pub(super) fn start(
    settings: Settings,
    apis: &[Client],
    ledger: &Arc<Ledger>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let person = Person {
            number,
            apis: apis.to_vec(),
            ledger: Arc::clone(ledger),
            random: settings.random(&format!("client-{number}")),
            drawn: 0,
            put_off: Vec::new(),
            to_repeat: Vec::new(),
        };
        clients.spawn(person.run(stop.clone()));
    }
    clients
}

/// An acknowledged write that is to be sent again.
struct ToRepeat {
    key: String,
    write: Write,
    answer: Answer,
}

/// One client.
struct Person {
    number: u64,
    apis: Vec<Client>,
    ledger: Arc<Ledger>,
    random: ChaCha8Rng,
    /// How many numbers were drawn that no other write has.
    drawn: u64,
    /// Writes whose outcome nobody would say for long, with their keys.
    put_off: Vec<(String, Write)>,
    to_repeat: Vec<ToRepeat>,
}

fn percent(random: &mut ChaCha8Rng, percent: u32) -> bool {
    random.random_ratio(percent, 100)
}

impl Person {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.one_thing().await;
            self.pause(THINK_MILLISECONDS).await;
        }
        self.finish().await;
    }

    async fn one_thing(&mut self) {
        match self.random.random_range(0..100) {
            0..15 => self.register().await,
            15..51 => self.apply().await,
            51..70 => self.repay().await,
            70..74 => self.reverse().await,
            74..78 => self.change_income().await,
            78..93 => self.look().await,
            _ => {
                if !self.to_repeat.is_empty() {
                    let place = self.random.random_range(0..self.to_repeat.len());
                    let first = self.to_repeat.swap_remove(place);
                    self.repeat(first, Instant::now() + SETTLE_WITHIN).await;
                }
            }
        }
    }

    async fn pause(&mut self, milliseconds: std::ops::RangeInclusive<u64>) {
        let pause = self.random.random_range(milliseconds);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// A number that no other write of the run has.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn * CLIENTS + self.number
    }

    fn amount(&mut self, steps: std::ops::RangeInclusive<i64>) -> Decimal {
        let drawn = i64::try_from(self.draw()).expect("a run has no end otherwise");
        let below_a_step = 1 + drawn % (STEP_PAISE - 1);
        Decimal::new(self.random.random_range(steps) * STEP_PAISE + below_a_step, 2)
    }

    async fn register(&mut self) {
        let phone_number = format!("9{:011}", self.draw());
        let monthly_income = self.random.random_range(INCOMES) * 1000;
        self.write(Write::Register { phone_number, monthly_income }).await;
    }

    async fn apply(&mut self) {
        let customer = if percent(&mut self.random, HOT_PERCENT) {
            self.ledger.a_hot_customer(&mut self.random)
        } else {
            self.ledger.a_customer(&mut self.random)
        };
        let Some(customer) = customer else { return self.register().await };
        let (amount, rate, tenure) = self.terms();
        self.write(Write::Apply { customer, amount, rate, tenure }).await;
    }

    fn terms(&mut self) -> (Decimal, u64, u64) {
        let tenure = *TENURES.choose(&mut self.random).expect("there are some");
        (self.amount(LOAN_STEPS), self.random.random_range(RATES), tenure)
    }

    async fn repay(&mut self) {
        let Some(open) = self.ledger.a_loan(&mut self.random) else { return };
        let settling = open.outstanding.filter(|_| percent(&mut self.random, SETTLING_PERCENT));
        let amount = settling.unwrap_or_else(|| self.amount(REPAYMENT_STEPS));
        self.write(Write::Repay { loan: open.loan, amount }).await;
    }

    async fn reverse(&mut self) {
        let Some((loan, repayment)) = self.ledger.a_repayment(&mut self.random) else { return };
        self.write(Write::Reverse { loan, repayment }).await;
    }

    async fn change_income(&mut self) {
        let Some(customer) = self.ledger.a_customer(&mut self.random) else { return };
        let monthly_income = self.amount(INCOME_STEPS);
        self.write(Write::ChangeIncome { customer, monthly_income }).await;
    }

    /// Sends a new write under a new key.
    async fn write(&mut self, write: Write) {
        let key = format!("chaos-{}", self.draw());
        self.ledger.sent(&write);
        let outcome = self.settle(&key, &write, Instant::now() + SETTLE_WITHIN).await;
        self.note(key, write, outcome);
    }

    /// Sends the same request under the same key, to any API, until its outcome is known; `None` when nobody says.
    async fn settle(&mut self, key: &str, write: &Write, until: Instant) -> Option<Answer> {
        loop {
            let request = write.request(self.an_api(), key);
            if let Some(answer) = self.send(request).await
                && Verdict::of(&answer) != Verdict::Unknown
            {
                return Some(answer);
            }
            if Instant::now() >= until {
                return None;
            }
            self.ledger.count(|counts| counts.retries += 1);
            self.pause(RETRY_MILLISECONDS).await;
        }
    }

    fn an_api(&mut self) -> &Client {
        self.apis.choose(&mut self.random).expect("there are some")
    }

    /// An answer, if there is one.
    async fn send(&self, request: RequestBuilder) -> Option<Answer> {
        let begun = Instant::now();
        // Any API's client sends any request.
        let sent = self.apis[0].try_send(request.timeout(ANSWER_WITHIN)).await;
        let answer = sent.ok()?;
        self.ledger.count(|counts| counts.slowest = counts.slowest.max(begun.elapsed()));
        Some(answer)
    }

    fn note(&mut self, key: String, write: Write, outcome: Option<Answer>) {
        let Some(answer) = outcome else { return self.put_off.push((key, write)) };
        if Verdict::of(&answer) == Verdict::Refused {
            return self.ledger.refused(&key, &write, &answer);
        }
        self.ledger.acknowledged(&key, &write, &answer);
        if percent(&mut self.random, REPEATED_PERCENT) {
            self.to_repeat.push(ToRepeat { key, write, answer });
        }
    }

    /// What was acknowledged is answered the same again, and says so.
    async fn repeat(&mut self, first: ToRepeat, until: Instant) {
        let ToRepeat { key, write, answer } = first;
        let Some(again) = self.settle(&key, &write, until).await else { return };
        self.ledger.count(|counts| counts.repeats += 1);
        let said = |answer: &Answer| format!("{} {} {}", answer.status, answer.header("etag"), answer.body);
        if said(&again) != said(&answer) {
            let (first, again) = (said(&answer), said(&again));
            self.ledger.violation(format!("{key}: {write:?} was answered {first} and, repeated, {again}"));
        } else if again.header("idempotency-replayed") != "true" {
            self.ledger.violation(format!("{key}: {write:?} was answered again without saying so"));
        }
    }

    /// The faults have ended: by now everything has an outcome.
    async fn finish(mut self) {
        let until = Instant::now() + FINISH_WITHIN;
        for (key, write) in std::mem::take(&mut self.put_off) {
            let outcome = self.settle(&key, &write, until).await;
            self.note(key, write, outcome);
        }
        for (key, write) in &self.put_off {
            self.ledger.violation(format!("{key}: {write:?} has no outcome long after the faults ended"));
        }
        while let Some(first) = self.to_repeat.pop() {
            if Instant::now() >= until {
                return;
            }
            self.repeat(first, until).await;
        }
    }

    /// Whoever shows a write's token sees the write, or is told to come back.
    async fn look(&mut self) {
        let Some(seen) = self.ledger.a_write(&mut self.random) else { return };
        let request = match (self.random.random_range(0..3), seen.loan) {
            (0, _) => {
                let (amount, rate, tenure) = self.terms();
                let body = application(seen.customer, amount, rate, tenure);
                let request = self.an_api().request(Method::POST, "/check-eligibility");
                request.header("Content-Type", "application/json").body(body)
            }
            (1, Some(loan)) => self.an_api().request(Method::GET, &format!("/view-loan/{loan}")),
            _ => self.an_api().request(Method::GET, &format!("/view-loans/{}", seen.customer)),
        };
        let answer = self.send(request.header("Consistency-Token", &seen.token)).await;
        self.ledger.count(|counts| counts.queries += 1);
        if let Some(answer) = answer {
            self.must_show(&seen, &answer);
        }
    }

    fn must_show(&self, seen: &Seen, answer: &Answer) {
        match answer.status {
            200 => {
                let listed = answer.body.as_array();
                let absent = |loan: i64| listed.is_some_and(|loans| loans.iter().all(|one| one["loan_id"] != loan));
                // Asked after the answer came: what was not sent by then cannot have settled it before.
                if seen.loan.is_some_and(|loan| absent(loan) && !self.ledger.may_be_settled(loan)) {
                    self.ledger.violation(format!("{seen:?} is not in the list: {}", answer.body));
                }
                if answer.body == Value::Null {
                    self.ledger.violation(format!("{seen:?} was answered with nothing"));
                }
            }
            503 => self.ledger.count(|counts| counts.not_yet_visible += 1),
            500..=599 => {}
            status => self.ledger.violation(format!("{seen:?} was answered {status}: {}", answer.body)),
        }
    }
}
