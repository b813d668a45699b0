//! Executing commands: load, decide, append, and decide again when somebody else was faster.
//!
//! What the domain refuses, what kept on conflicting and what the store failed at are three different things here:
//! [`CommandError`]. Nothing in this module knows HTTP, and no decision looks at a read model.

mod appending;
mod apply_for_loan;
mod change;
mod change_details;
mod change_loan;
mod idempotency;
mod known;
mod metrics;
mod queue;
mod register;
mod repay;
mod reverse_repayment;
mod settle_early;
mod write_off;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aggregates::customer::CustomerRefusal;
use aggregates::ids::CustomerId;
use aggregates::loan::LoanRefusal;
use aggregates::policy::Policy;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use projections::Partition;
use rand::RngExt;
use serde::Serialize;
use tracing::field::Empty;
use tracing::{Instrument, debug_span};

use crate::bus::wake::Wake;
use crate::store::append::{Append, AppendError, NewEvent};
use crate::store::ids::{Draws, IdError};
use crate::store::{EventLog, LoadError};

pub use self::apply_for_loan::LoanApplication;
pub use self::change::{ChangeRequest, Expected};
pub use self::change_details::{CustomerDetails, DetailsChange};
pub use self::idempotency::{DIGEST_BYTES, IdempotencyKey, KeyedRequest};
pub use self::metrics::CommandMetrics;
pub use self::register::{Registered, Registration};
pub use self::repay::Repayment;

use self::appending::Appending;
use self::idempotency::RunningKeys;
use self::known::{Known, KnownCustomers};
use self::metrics::Verdict;
use self::queue::CustomerQueue;

/// How often a command is decided again before it is given up. A conflict means that another one succeeded, so this
/// many in a row mean that this many processes were each faster once.
const MAX_ATTEMPTS: u32 = 64;
const MAX_PAUSE_MILLISECONDS: u64 = 20;

/// What a command came from, recorded with its events.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The request that led to it.
    pub request_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Who sent it, by name ([`crate::access::Caller`]); `None` where it came by no request.
    pub caller: Option<String>,
}

impl Origin {
    /// The metadata of events about a customer.
    #[must_use]
    pub fn metadata(&self, customer: CustomerId) -> HashMap<String, String> {
        let Self { request_id, traceparent, caller } = self;
        let optional = [("request_id", request_id), ("traceparent", traceparent), ("caller", caller)];
        let mut metadata: HashMap<String, String> =
            optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect();
        metadata.insert("customer_id".to_owned(), customer.to_string());
        metadata
    }
}

/// Where in the log a command's events ended: what a reader has to have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// Of the customer.
    pub partition: Partition,
    /// Of the last event.
    pub position: i64,
}

/// What a client is told of a command that took effect. It is made before the events are appended, so that it can be
/// appended with them: what is sent and what is sent again are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status by which the protocol calls it a success: 200 to 299.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// The revision of what was changed, after it; `None` where the answer is about nothing that has one.
    pub revision: Option<u32>,
}

/// An answer, or why it could not be written as JSON.
pub type Rendered = Result<Answer, serde_json::Error>;

impl Answer {
    /// A document with its status.
    ///
    /// # Errors
    /// When the document cannot be written as JSON.
    pub fn json(status: u16, document: &impl Serialize) -> Rendered {
        Ok(Self { status, body: serde_json::to_string(document)?, revision: None })
    }

    /// The same, of something that has come to a revision.
    #[must_use]
    pub fn at_revision(self, revision: u32) -> Self {
        Self { revision: Some(revision), ..self }
    }
}

/// What a command was answered and where in the log its events ended.
#[derive(Debug)]
pub struct Answered {
    /// What to tell the client.
    pub answer: Answer,
    /// Where.
    pub place: LogPlace,
    /// Whether it is what the same request was answered before.
    pub replayed: bool,
}

/// Why a command did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The customer aggregate refused.
    #[error(transparent)]
    Customer(#[from] CustomerRefusal),
    /// The loan aggregate refused.
    #[error(transparent)]
    Loan(#[from] LoanRefusal),
    /// Another customer has the phone number.
    #[error("the phone number belongs to another customer")]
    PhoneNumberTaken,
    /// The client expects another revision than there is.
    #[error("the revision is {current} by now")]
    Stale {
        /// The revision that there is.
        current: u32,
    },
    /// The domain answered a command with other events than it leads to: a fault of this program.
    #[error("the command led to other events than it should")]
    Undecided,
    /// Others were faster every time.
    #[error("others were faster {MAX_ATTEMPTS} times in a row")]
    Contention,
    /// The stream could not be read.
    #[error("a stream could not be loaded")]
    Load(#[from] LoadError),
    /// No new id could be had.
    #[error("no new id could be had")]
    Id(#[from] IdError),
    /// The events could not be written as JSON.
    #[error("the events could not be encoded")]
    Encode(#[source] cqrs_es::persist::PersistenceError),
    /// The answer could not be written as JSON.
    #[error("the answer could not be encoded")]
    Render(#[source] serde_json::Error),
    /// A request with the same idempotency key has not ended.
    #[error("a request with the same idempotency key is still running")]
    KeyTaken,
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// It is not known what became of the idempotency key, and nothing was done under it.
    #[error("the idempotency key could not be looked up")]
    KeyLookup(#[source] sqlx::Error),
    /// The store was not there for the events: it took none.
    #[error("the events were not stored")]
    Untaken(#[source] AppendError),
    /// The store failed; whether it took the events is not known.
    #[error("the events could not be stored")]
    Store(#[source] AppendError),
}

impl CommandError {
    /// Whether it follows from what the log holds: the same request, having taken effect meanwhile, leads to it too.
    const fn is_judged_from_the_log(&self) -> bool {
        match self {
            Self::Customer(_)
            | Self::Loan(_)
            | Self::PhoneNumberTaken
            | Self::Stale { .. }
            | Self::Contention
            | Self::KeyTaken => true,
            Self::Undecided
            | Self::Load(_)
            | Self::Id(_)
            | Self::Encode(_)
            | Self::Render(_)
            | Self::KeyReused
            | Self::KeyLookup(_)
            | Self::Untaken(_)
            | Self::Store(_) => false,
        }
    }
}

/// The day by which business is done: UTC shifted by a fixed offset.
#[derive(Debug, Clone, Copy)]
pub struct BusinessCalendar(pub FixedOffset);

impl BusinessCalendar {
    /// The business day of an instant.
    #[must_use]
    pub fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.0).date_naive()
    }

    /// The moment at which a business day begins.
    #[must_use]
    pub fn begins(&self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        midnight.checked_sub_offset(self.0).unwrap_or(midnight).and_utc()
    }

    /// The business day now.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.day(Utc::now())
    }
}

/// An instant and its business day.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: DateTime<Utc>,
    today: NaiveDate,
}

/// What a command has come to, decided and not yet appended.
struct Prepared {
    customer_id: CustomerId,
    to_append: Append,
    answer: Answer,
    /// The customer as its stream is then, where that is known.
    known: Option<Known>,
    /// What was decided over an application, where it is one.
    verdict: Option<Verdict>,
}

/// Executes commands.
pub struct Commands {
    log: EventLog,
    appending: Appending,
    draws: Draws,
    known: KnownCustomers,
    policy: Arc<Policy>,
    calendar: BusinessCalendar,
    queue: CustomerQueue,
    running: RunningKeys,
    metrics: CommandMetrics,
}

impl Commands {
    /// An executor on a log, under a policy.
    #[must_use]
    pub fn new(
        log: EventLog,
        policy: Arc<Policy>,
        calendar: BusinessCalendar,
        wake: Wake,
        metrics: CommandMetrics,
    ) -> Self {
        let (appending, draws) = (Appending::new(log.pool().clone(), wake), Draws::new(log.pool().clone()));
        let (known, queue, running) = (KnownCustomers::default(), CustomerQueue::default(), RunningKeys::default());
        Self { log, appending, draws, known, policy, calendar, queue, running, metrics }
    }

    /// Now: a command takes its time once, when it is decided.
    fn now(&self) -> Moment {
        let at = Utc::now();
        Moment { at, today: self.calendar.day(at) }
    }

    /// Decides and appends, and again from what the log holds then where somebody else was faster. `decide` answers
    /// `None` where it has met such a case itself.
    async fn until_appended<Decided>(
        &self,
        keyed: Option<&KeyedRequest>,
        decide: impl Fn() -> Decided,
    ) -> Result<Answered, CommandError>
    where
        Decided: Future<Output = Result<Option<Prepared>, CommandError>>,
    {
        for attempt in 1..=MAX_ATTEMPTS {
            let Some(prepared) = decide().instrument(debug_span!("decide", attempt)).await? else { continue };
            if let Some(answered) = self.append(prepared, keyed).await? {
                return Ok(answered);
            }
        }
        Err(CommandError::Contention)
    }

    /// Appends a command's events about a customer and, where its request has a key, the answer with them. `None` when
    /// somebody was faster: the command is to be decided again.
    async fn append(
        &self,
        Prepared { customer_id, mut to_append, answer, known, verdict }: Prepared,
        keyed: Option<&KeyedRequest>,
    ) -> Result<Option<Answered>, CommandError> {
        if let Some(keyed) = keyed {
            to_append.remember_answer(keyed.answered(customer_id, &answer));
        }
        let began = Instant::now();
        let span = debug_span!("append", position = Empty);
        let appended = self.appending.append(customer_id, to_append).instrument(span.clone()).await;
        self.known.now(customer_id, known.filter(|_| appended.is_ok()));
        let position = match appended {
            Ok(position) => position,
            Err(AppendError::Conflict) => {
                self.metrics.appended(began);
                self.metrics.conflict();
                pause().await;
                return Ok(None);
            }
            Err(AppendError::KeyTaken) => return Err(CommandError::KeyTaken),
            Err(AppendError::PhoneNumberTaken(_)) => return Err(CommandError::PhoneNumberTaken),
            Err(error @ AppendError::Untaken(_)) => return Err(CommandError::Untaken(error)),
            Err(error @ AppendError::Store(_)) => return Err(CommandError::Store(error)),
        };
        self.metrics.appended(began);
        span.record("position", position);
        if let Some(verdict) = verdict {
            self.metrics.decided(&verdict);
        }
        let place = LogPlace { partition: Partition::of(customer_id), position };
        Ok(Some(Answered { answer, place, replayed: false }))
    }
}

/// The events that a command leads to, the aggregate having applied them.
///
/// # Errors
/// The aggregate's refusal.
pub async fn handle<A: Aggregate<Services = ()>>(
    aggregate: &mut A,
    command: A::Command,
) -> Result<Vec<A::Event>, A::Error> {
    let sink = EventSink::default();
    aggregate.handle(command, &(), &sink).await?;
    Ok(sink.collect().await)
}

/// Events as they are stored: in a stream, behind its version, with their metadata.
///
/// # Errors
/// [`CommandError::Encode`]; the domain's events always encode.
pub fn serialize<A: Aggregate>(
    stream: i64,
    version: usize,
    events: Vec<A::Event>,
    metadata: &HashMap<String, String>,
) -> Result<Vec<NewEvent>, CommandError> {
    let encode = |error: serde_json::Error| CommandError::Encode(error.into());
    // In the order of the names, as read models write them: the same is stored the same, to the byte.
    let metadata = serde_json::to_string(&metadata.iter().collect::<BTreeMap<_, _>>()).map_err(encode)?;
    let aggregate_id = stream.to_string();
    let rows = events.into_iter().zip(version + 1..).map(|(event, sequence)| {
        Ok(NewEvent {
            aggregate_type: A::TYPE.to_owned(),
            aggregate_id: aggregate_id.clone(),
            sequence,
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: serde_json::to_value(&event).map_err(encode)?.to_string(),
            metadata: metadata.clone(),
        })
    });
    rows.collect()
}

/// A short random pause before deciding again, so that processes in step fall out of it.
async fn pause() {
    let milliseconds = rand::rng().random_range(0..=MAX_PAUSE_MILLISECONDS);
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
