//! The importer: takes imports that wait or were left by others, one at a time, and works through them chunk by chunk.
//!
//! After each chunk it writes down how far it has come and looks whether it is to stop. What can be said of a workbook
//! ends the import as failed; what happens to this process or to the database interrupts it, and it goes on later:
//! rows that are in are known by the import that brought them, so the tallies come out as without the interruption.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use sqlx::PgPool;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::bus::wake::Wake;
use crate::commands::{BusinessCalendar, Origin};
use crate::store::EventLog;
use crate::telemetry::traces::{Later, parent};

use super::super::report::{Notice, NoticeKind};
use super::super::run::{Batch, Run, Step};
use super::super::workbook::{Source, WorkbookError};
use super::super::{Background, ImportError, Job};
use super::lease::{Claimed, Lease, LeaseError, Reached, candidates, excuse};
use super::{FileKind, Stage, State};

/// So many imports at once in one process.
pub const WORKERS: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AFTER_INTERRUPTION: Duration = Duration::from_secs(2);
/// While the workbooks are read through, progress is written this often.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// While rows are waited for, somebody may ask to stop; it is looked for this often.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An import whose processes ended more often without a word, and got no further, is given up: it may be what ends
/// them. What can be told, as that the database does not answer, only delays it.
const MAX_INTERRUPTIONS: i32 = 20;

/// Works on imports.
#[derive(Clone)]
pub struct Importer {
    /// Connections to the log.
    pub log: PgPool,
    /// The business day.
    pub calendar: BusinessCalendar,
    /// Who follows the log.
    pub wake: Wake,
}

/// Why an import did not come to its end in this attempt.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error("the workbook could not be fetched")]
    Fetch(#[source] io::Error),
    #[error("a part of the workbook is missing")]
    Incomplete,
}

/// How an attempt ended.
enum Outcome {
    Ended(State, Option<String>),
    /// This process is asked to stop.
    Stopped,
}

/// What came of reading on.
enum Next {
    Batch(Option<Batch>),
    /// This process is asked to stop.
    Stopped,
    /// Somebody has asked to stop the import.
    Cancelled,
}

impl Importer {
    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // A task of its own: whatever a workbook does to it, this one goes on.
            let (importer, stopping) = (self.clone(), stop.clone());
            let pause = match tokio::spawn(async move { importer.look(&stopping).await }).await {
                Ok(Ok(true)) => continue,
                Ok(Ok(false)) => LOOK_EVERY,
                Ok(Err(error)) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(error, "an import was interrupted; it goes on later");
                    AFTER_INTERRUPTION
                }
                Err(error) => {
                    tracing::error!(%error, "an import ended its task; it goes on later");
                    AFTER_INTERRUPTION
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Takes one import, if there is one, and works on it; answers whether there was.
    async fn look(&self, stop: &CancellationToken) -> Result<bool, Interruption> {
        for id in candidates(&self.log).await.map_err(LeaseError::from)? {
            let claimed = Lease::claim(&self.log, id, self.calendar.today()).await.map_err(LeaseError::from)?;
            let Some((lease, claimed)) = claimed else { continue };
            tracing::info!(import = id, attempt = claimed.attempts, "importing");
            self.attempt(lease, claimed, stop).await?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn attempt(&self, mut lease: Lease, claimed: Claimed, stop: &CancellationToken) -> Result<(), Interruption> {
        let id = lease.id;
        let outcome = if claimed.cancel_requested {
            // What it has brought in is counted without going through it again.
            Ok(Outcome::Ended(State::Cancelled, None))
        } else if claimed.interruptions > MAX_INTERRUPTIONS {
            let last = claimed.error.as_deref().unwrap_or("the process that worked on it ended");
            let error = format!("it was interrupted {} times, the last time because {last}", claimed.interruptions);
            Ok(Outcome::Ended(State::Failed, Some(error)))
        } else {
            self.import(&mut lease, &claimed, stop).await
        };
        let outcome = match outcome {
            // No later attempt would find more.
            Err(error @ Interruption::Incomplete) => Ok(Outcome::Ended(State::Failed, Some(error.to_string()))),
            outcome => outcome,
        };
        match outcome {
            Ok(Outcome::Ended(state, error)) => {
                lease.end(state, error.as_deref()).await?;
                tracing::info!(import = id, state = state.name(), error, "the import has ended");
                Ok(())
            }
            Ok(Outcome::Stopped) => Ok(lease.give_back().await.map_err(LeaseError::from)?),
            Err(interruption) => {
                let words = in_words(&interruption);
                let said = match &interruption {
                    Interruption::Lease(LeaseError::Lost) => Ok(()),
                    // Its own connection may be gone, so it is said over another.
                    Interruption::Lease(LeaseError::Store(_)) => {
                        let (id, attempt) = lease.held();
                        excuse(&self.log, id, attempt, &words).await
                    }
                    Interruption::Import(_) | Interruption::Fetch(_) | Interruption::Incomplete => {
                        lease.interrupted(&words).await
                    }
                };
                said.map_err(LeaseError::from)?;
                Err(interruption)
            }
        }
    }

    async fn import(
        &self,
        lease: &mut Lease,
        claimed: &Claimed,
        stop: &CancellationToken,
    ) -> Result<Outcome, Interruption> {
        let _traced = traced(lease.id, claimed);
        let customers = claimed.customers_file.as_deref().zip(claimed.customers_bytes);
        let loans = claimed.loans_file.as_deref().zip(claimed.loans_bytes);
        let job = Job {
            customers: fetch(lease, FileKind::Customers, customers).await?,
            loans: fetch(lease, FileKind::Loans, loans).await?,
            dry_run: claimed.dry_run,
            notices: None,
            today: claimed.business_day,
            import: Some(Background {
                id: lease.id,
                origin: Origin {
                    request_id: claimed.request_id.clone(),
                    traceparent: claimed.traceparent.clone(),
                    caller: claimed.caller.clone(),
                },
            }),
        };
        let log = EventLog::new(self.log.clone());
        let mut run = Run::new(&log, &job);
        let mut course = Course::new(claimed);
        match self.steps(&mut run, &mut course, lease, stop).await {
            Ok(outcome) => Ok(outcome),
            Err(Interruption::Import(error)) if is_final(&error) => {
                Ok(Outcome::Ended(State::Failed, Some(in_words(&error))))
            }
            Err(interruption) => Err(interruption),
        }
    }

    async fn steps(
        &self,
        run: &mut Run<'_>,
        course: &mut Course,
        lease: &mut Lease,
        stop: &CancellationToken,
    ) -> Result<Outcome, Interruption> {
        loop {
            let batch = match next(run, lease, stop).await? {
                Next::Batch(Some(batch)) => batch,
                Next::Batch(None) => {
                    course.write(run, lease).await?;
                    return Ok(Outcome::Ended(State::Done, None));
                }
                Next::Stopped => return Ok(Outcome::Stopped),
                Next::Cancelled => return Ok(Outcome::Ended(State::Cancelled, None)),
            };
            let appends = !matches!(batch, Batch::Looked(_));
            let step = run.take(batch).await?;
            if appends {
                self.wake.appended().await;
            }
            if course.passed(run, step, lease).await? {
                return Ok(Outcome::Ended(State::Cancelled, None));
            }
        }
    }
}

/// A span of this attempt, in the trace of the request that uploaded the import; it ends with it.
fn traced(import: i64, claimed: &Claimed) -> Option<Later> {
    let parent = parent(claimed.traceparent.as_deref()?)?;
    let attributes = vec![KeyValue::new("credit_approval.import", import)];
    Later::new(&parent, "import".to_owned(), SpanKind::Internal, SystemTime::now(), attributes)
}

/// Reads on, until somebody wants no more.
async fn next(run: &mut Run<'_>, lease: &mut Lease, stop: &CancellationToken) -> Result<Next, Interruption> {
    let mut reading = pin!(run.read());
    loop {
        match stop.run_until_cancelled(tokio::time::timeout(ASK_EVERY, &mut reading)).await {
            None => return Ok(Next::Stopped),
            Some(Ok(read)) => return Ok(Next::Batch(read?)),
            Some(Err(_)) if lease.is_asked_to_stop().await? => return Ok(Next::Cancelled),
            Some(Err(_)) => {}
        }
    }
}

/// How far this attempt has come, and what is not yet written of it.
struct Course {
    stage: Stage,
    rows_done: u64,
    rows_taken: u64,
    /// Where the stage began: when, and at which row.
    began: (Instant, u64),
    warnings: u64,
    unwritten: Vec<Notice>,
    written: Option<Instant>,
    /// Rows that earlier attempts took: until as many are taken again, what they wrote stands.
    caught_up_at: u64,
}

impl Course {
    fn new(claimed: &Claimed) -> Self {
        Self {
            stage: Stage::Checking,
            rows_done: 0,
            rows_taken: 0,
            began: (Instant::now(), 0),
            warnings: 0,
            unwritten: Vec::new(),
            written: None,
            caught_up_at: u64::try_from(claimed.rows_taken).unwrap_or(0),
        }
    }

    /// Notes a step; answers whether the import is to stop here.
    async fn passed(&mut self, run: &Run<'_>, step: Step, lease: &mut Lease) -> Result<bool, Interruption> {
        let (customers, loans) = run.tallies();
        self.rows_taken = customers.read + loans.read;
        let done = if step.stage == Stage::Checking { step.rows } else { self.rows_taken };
        if step.stage != self.stage {
            let before = if self.stage == Stage::Checking { 0 } else { self.rows_done };
            self.began = (Instant::now(), before);
        }
        (self.stage, self.rows_done) = (step.stage, done);
        self.warnings +=
            step.notices.iter().filter(|notice| notice.kind == NoticeKind::Warning).map(|_| 1).sum::<u64>();
        self.unwritten.extend(step.notices);
        if self.stage == Stage::Checking && self.written.is_some_and(|at| at.elapsed() < WRITE_EVERY) {
            return Ok(false);
        }
        Ok(self.write(run, lease).await?)
    }

    /// Writes it down; answers whether somebody asked the import to stop.
    async fn write(&mut self, run: &Run<'_>, lease: &mut Lease) -> Result<bool, LeaseError> {
        let (customers, loans) = run.tallies();
        let (began, at) = self.began;
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let reached = Reached {
            stage: self.stage,
            rows_done: self.rows_done,
            rows_taken: self.rows_taken,
            rows_total: run.expected(),
            rows_per_second: self.rows_done.saturating_sub(at).saturating_mul(1000) / milliseconds,
            customers: &customers,
            loans: &loans,
            warnings: self.warnings,
            has_caught_up: self.rows_taken >= self.caught_up_at,
        };
        let is_asked = lease.reached(&reached, &self.unwritten).await?;
        self.unwritten.clear();
        self.written = Some(Instant::now());
        Ok(is_asked)
    }
}

/// Copies a workbook to this machine, into a file without a name: it is gone with the process, however that ends.
async fn fetch(lease: &mut Lease, kind: FileKind, file: Option<(&str, i64)>) -> Result<Option<Source>, Interruption> {
    let Some((name, bytes)) = file else { return Ok(None) };
    let mut copy = tokio::fs::File::from_std(tempfile::tempfile().map_err(Interruption::Fetch)?);
    let mut piece = 1;
    while let Some(content) = lease.piece(kind, piece).await.map_err(LeaseError::from)? {
        copy.write_all(&content).await.map_err(Interruption::Fetch)?;
        piece += 1;
    }
    copy.flush().await.map_err(Interruption::Fetch)?;
    let length = copy.stream_position().await.map_err(Interruption::Fetch)?;
    if i64::try_from(length) != Ok(bytes) {
        return Err(Interruption::Incomplete);
    }
    Ok(Some(Source::opened(name, copy.into_std().await)))
}

/// Whether it would be the same in every attempt.
fn is_final(error: &ImportError) -> bool {
    match error {
        ImportError::Workbook { source, .. } => !matches!(source, WorkbookError::Unreadable(_)),
        ImportError::Command(_) | ImportError::OutOfTurn => true,
        // A workbook at which the reader panics.
        ImportError::Reader(error) => error.is_panic(),
        ImportError::Store(_)
        | ImportError::Append(_)
        | ImportError::Contention
        | ImportError::Notices(_)
        | ImportError::Generate(_)
        | ImportError::Sample(_) => false,
    }
}

/// An error with its causes, in one line.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.ends_with(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    words.replace(['\n', '\r'], " ")
}
