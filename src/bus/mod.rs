//! The fan-out: NATS JetStream, as a carrier that may lose, repeat or reorder anything at any time.
//!
//! PostgreSQL is the truth. A message carries a partition's next events and the position before them, so that a reader
//! sees what it missed and fetches it from the log. Whatever happens here costs time, never
//! correctness.

pub mod chain;
pub mod message;
pub mod metrics;
pub mod publishing;
pub mod wake;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, Event, ServerAddr};
use futures::future::try_join_all;
use percent_encoding::percent_decode_str;
use projections::Partition;

use self::message::{Message, NotOurs};
use self::publishing::Publishing;
use crate::breaker::{Breaker, Limits};

const STREAM_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
const PULL_EXPIRES: Duration = Duration::from_secs(30);
const PULL_HEARTBEAT: Duration = Duration::from_secs(1);
/// A consumer that nobody has pulled from for so long is gone.
const CONSUMER_IDLE: Duration = Duration::from_secs(10);
/// A stream that takes nothing (no JetStream, a full disk) is left in peace for a while.
const PUBLISHING: Limits = Limits { failures: 3, cool_down: Duration::from_secs(1) };
/// Hints that do not get away cost every command their wait.
const HINTING: Limits = Limits { failures: 5, cool_down: Duration::from_secs(1) };
/// How many messages a consumer asks for at once.
const PULL_MESSAGES: usize = 64;

/// What went wrong with NATS; the log is not affected.
#[derive(Debug, thiserror::Error)]
#[error("NATS: {doing}")]
pub struct BusError {
    doing: &'static str,
    #[source]
    source: async_nats::Error,
}

/// Names the step that failed.
fn failed<E: Into<async_nats::Error>>(doing: &'static str) -> impl FnOnce(E) -> BusError {
    move |source| BusError { doing, source: source.into() }
}

/// Connections that come and go are news; that the next try failed, too, is not.
fn log_connection(event: &Event) {
    if matches!(event, Event::Connected | Event::Disconnected | Event::LameDuckMode) {
        tracing::info!(%event, "NATS connection");
    } else {
        tracing::debug!(%event, "NATS connection");
    }
}

/// What an address says of who connects: user and password, or a token. The client does not take them by itself.
fn credentials(address: Option<&ServerAddr>) -> ConnectOptions {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match address.map(|address| (address.username(), address.password())) {
        Some((Some(user), Some(password))) => ConnectOptions::with_user_and_password(decoded(user), decoded(password)),
        Some((Some(token), None)) => ConnectOptions::with_token(decoded(token)),
        Some((None, _)) | None => ConnectOptions::new(),
    }
}

/// A connection to NATS and the stream's name.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    context: Context,
    stream: String,
    stream_bytes: i64,
    replicas: usize,
    log: String,
    publishing: Breaker,
    hinting: Breaker,
}

/// Which stream a log is fanned out through.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The stream's name, and the first part of its subjects.
    pub name: String,
    /// Beyond so many bytes the stream drops its oldest messages.
    pub max_bytes: i64,
    /// How many servers of a cluster hold it.
    pub replicas: usize,
    /// The log's identity: messages of another log are not taken for its own.
    pub log: String,
}

impl Bus {
    /// Connects, now or as soon as the server can be reached, and again whenever the connection is lost.
    ///
    /// # Errors
    /// When the address is not one.
    pub async fn connect(url: &str, stream: StreamOptions) -> Result<Self, BusError> {
        let addresses: Vec<ServerAddr> = url
            .split(',')
            .map(|one| one.trim().parse())
            .collect::<Result<_, _>>()
            .map_err(failed("reading the address"))?;
        let options = credentials(addresses.first());
        let client = options
            .name("credit-approval")
            .retry_on_initial_connect()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .reconnect_delay_callback(|_| RECONNECT_DELAY)
            .event_callback(|event| async move { log_connection(&event) })
            .connect(addresses)
            .await
            .map_err(failed("connecting"))?;
        let context = jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        let StreamOptions { name, max_bytes, replicas, log } = stream;
        let publishing = Breaker::new("nats_publish", PUBLISHING);
        let hinting = Breaker::new("nats_wake", HINTING);
        Ok(Self { client, context, stream: name, stream_bytes: max_bytes, replicas, log, publishing, hinting })
    }

    /// Whether the server can be reached now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often a connection was made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Whether it is worth trying to publish: there is a connection, and what goes through it has arrived of late.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.is_connected() && self.publishing.may_try(Instant::now())
    }

    /// Nothing could be published: after a few times in a row it is not worth trying for a while.
    pub fn took_nothing(&self) {
        self.publishing.failed(Instant::now());
    }

    /// The breakers of those who publish and of those who wake others.
    #[must_use]
    pub fn breakers(&self) -> [Breaker; 2] {
        [self.publishing.clone(), self.hinting.clone()]
    }

    fn subject(&self, partition: Partition) -> String {
        format!("{}.events.{partition}", self.stream)
    }

    fn wake_subject(&self) -> String {
        format!("{}.wake", self.stream)
    }

    /// Creates the stream where it is missing, and checks that the server has it as asked.
    ///
    /// # Errors
    /// When the server does not answer, or has a stream of that name with other subjects or storage.
    pub async fn ensure_stream(&self) -> Result<stream::Stream, BusError> {
        let wanted = stream::Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}.events.*", self.stream)],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_bytes: self.stream_bytes,
            max_age: STREAM_MAX_AGE,
            duplicate_window: DUPLICATE_WINDOW,
            num_replicas: self.replicas,
            ..stream::Config::default()
        };
        let stream = self.context.get_or_create_stream(wanted.clone()).await.map_err(failed("creating the stream"))?;
        let has = &stream.cached_info().config;
        if has.subjects != wanted.subjects || has.retention != wanted.retention || has.storage != wanted.storage {
            return Err(failed("creating the stream")(format!(
                "stream {} exists with other settings: {:?} {:?} {:?}",
                self.stream, has.subjects, has.retention, has.storage
            )));
        }
        Ok(stream)
    }

    /// The position that the stream's last message stands for; `None` where there is no such message of this log.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn last_position(&self, stream: &stream::Stream) -> Result<Option<i64>, BusError> {
        let state = stream.get_info().await.map_err(failed("asking for the stream's state"))?.state;
        if state.messages == 0 {
            return Ok(None);
        }
        // A message that is gone, or not of this log, says nothing; markers then say what there is to say.
        let Ok(last) = stream.get_raw_message(state.last_sequence).await else { return Ok(None) };
        Ok(Message::decode(&last.payload, &self.log).ok().map(|message| message.position))
    }

    /// As [`Bus::last_position`], of the stream of this name; `None` also where there is none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn stream_position(&self) -> Result<Option<i64>, BusError> {
        let stream = self.context.get_stream(&self.stream).await.map_err(failed("looking up the stream"))?;
        self.last_position(&stream).await
    }

    /// Reads a message of this log.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(&self, payload: &[u8]) -> Result<Message, NotOurs> {
        Message::decode(payload, &self.log)
    }

    /// Publishes messages in order and waits until the stream holds them all.
    ///
    /// # Errors
    /// When one is not acknowledged in time; those before it are held, those after it may be.
    pub async fn publish(&self, messages: &mut [(Partition, Message)]) -> Result<(), BusError> {
        let mut traced = Publishing::begin();
        let outcome = self.publish_traced(messages, &mut traced).await;
        if let Err(error) = &outcome {
            traced.failed(error);
        }
        outcome
    }

    async fn publish_traced(
        &self,
        messages: &mut [(Partition, Message)],
        traced: &mut Publishing,
    ) -> Result<(), BusError> {
        let mut acknowledgements = Vec::with_capacity(messages.len());
        for (partition, message) in messages {
            let subject = self.subject(*partition);
            message.traceparents = traced.add(&subject, message);
            let payload = message.encode(&self.log).map_err(failed("encoding a message"))?;
            let outgoing = PublishMessage::build().message_id(message.id(&self.log)).payload(payload.into());
            let acknowledgement =
                self.context.send_publish(subject, outgoing).await.map_err(failed("publishing a message"))?;
            acknowledgements.push(acknowledgement.into_future());
        }
        try_join_all(acknowledgements).await.map_err(failed("waiting for a message to be held"))?;
        self.publishing.succeeded();
        Ok(())
    }

    /// The messages of one partition from the last that there is on, through a consumer for this alone: what was missed
    /// before, the log tells.
    ///
    /// # Errors
    /// When the server does not answer, or does not filter as asked.
    pub async fn consume(&self, partition: Partition) -> Result<pull::Stream, BusError> {
        let subject = self.subject(partition);
        let config = pull::Config {
            filter_subject: subject.clone(),
            deliver_policy: DeliverPolicy::Last,
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: CONSUMER_IDLE,
            ..pull::Config::default()
        };
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(failed("looking up the stream"))?;
        let consumer: PullConsumer = stream.create_consumer(config).await.map_err(failed("creating a consumer"))?;
        let filter = &consumer.cached_info().config.filter_subject;
        if *filter != subject {
            return Err(failed("creating a consumer")(format!("it filters '{filter}', not '{subject}'")));
        }
        consumer
            .stream()
            .max_messages_per_batch(PULL_MESSAGES)
            .expires(PULL_EXPIRES)
            .heartbeat(PULL_HEARTBEAT)
            .messages()
            .await
            .map_err(failed("starting a consumer"))
    }
}
