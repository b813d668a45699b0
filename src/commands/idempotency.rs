//! A request with an idempotency key takes effect at most once, and whoever sends it again gets the first answer.
//!
//! The answer is appended with the events, in one statement, under the key as its primary key: an effect without its
//! key, or a key without its effect, cannot exist, and of two processes with the same request the second appends
//! nothing and answers as the first did. A key is its caller's own: the same one from somebody else is another. What this
//! process runs right now is known besides, so that an impatient client is told at once; the guarantee does not rest on
//! it.
//!
//! Only what took effect is remembered. A refusal (no such customer, the phone number is taken) and a failure leave
//! nothing behind, so the same request is judged anew. A declined application is an event like any other: it is
//! remembered and answered again, whatever a new decision would be.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aggregates::Invalid;
use aggregates::ids::CustomerId;
use projections::Partition;

use super::metrics::Kind;
use super::{Answer, Answered, CommandError, Commands, LogPlace};
use crate::access::Caller;
use crate::store::idempotency::{KeyedAnswer, find};

const MAX_KEY_CHARS: usize = 255;

/// So many at once are known to run. Beyond them the primary key alone decides, as it does between processes.
const MAX_RUNNING_KEYS: usize = 16_384;

/// SHA-256.
pub const DIGEST_BYTES: usize = 32;

/// A key that a client chose, 1 to 255 visible ASCII characters, among the keys of who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    caller: String,
    sent: String,
    stored: String,
}

impl IdempotencyKey {
    /// A caller's key.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn new(caller: &Caller, sent: &str) -> Result<Self, Invalid> {
        let fits = (1..=MAX_KEY_CHARS).contains(&sent.len()) && sent.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Invalid(format!("must be 1 to {MAX_KEY_CHARS} visible ASCII characters")));
        }
        let stored = match caller {
            Caller::Anonymous => sent.to_owned(),
            // A key has no space in it, so no two callers' keys come to the same text.
            Caller::Key { .. } | Caller::Token { .. } => format!("{} {sent}", caller.holder()),
        };
        Ok(Self { caller: caller.holder(), sent: sent.to_owned(), stored })
    }

    /// Whose it is, by name.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// As it was sent.
    #[must_use]
    pub fn sent(&self) -> &str {
        &self.sent
    }

    /// As it is stored: unlike any other caller's.
    #[must_use]
    pub fn stored(&self) -> &str {
        &self.stored
    }
}

/// A request under an idempotency key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// Its key.
    pub key: IdempotencyKey,
    /// What tells it from another request under the same key.
    pub digest: [u8; DIGEST_BYTES],
}

impl KeyedRequest {
    /// What is to be remembered of it.
    pub(super) fn answered(&self, customer: CustomerId, answer: &Answer) -> KeyedAnswer {
        KeyedAnswer {
            key: self.key.stored().to_owned(),
            caller: self.key.caller().to_owned(),
            request_digest: self.digest.to_vec(),
            status: answer.status,
            body: answer.body.clone(),
            revision: answer.revision,
            partition: Partition::of(customer),
        }
    }
}

impl Commands {
    /// Executes a command, at most once where its request has a key.
    ///
    /// # Errors
    /// The command's own; [`CommandError::KeyTaken`], [`CommandError::KeyReused`] or [`CommandError::KeyLookup`].
    pub(super) async fn once(
        &self,
        kind: Kind,
        keyed: Option<&KeyedRequest>,
        execute: impl Future<Output = Result<Answered, CommandError>>,
    ) -> Result<Answered, CommandError> {
        let began = Instant::now();
        let outcome = self.once_where_keyed(keyed, execute).await;
        self.metrics.ended(kind, began.elapsed(), &outcome);
        outcome
    }

    async fn once_where_keyed(
        &self,
        keyed: Option<&KeyedRequest>,
        execute: impl Future<Output = Result<Answered, CommandError>>,
    ) -> Result<Answered, CommandError> {
        let Some(keyed) = keyed else { return execute.await };
        let Some(_running) = self.running.claim(&keyed.key) else { return Err(CommandError::KeyTaken) };
        if let Some(answered) = self.recall(keyed).await? {
            return Ok(answered);
        }
        match execute.await {
            // It may have met its own effect, which another process was faster with: then that is the answer.
            Err(error) if error.is_judged_from_the_log() => self.recall(keyed).await?.ok_or(error),
            done => done,
        }
    }

    /// Claims a key for a request that is no command but takes effect once all the same; `None` while another one with
    /// that key runs in this process.
    pub(crate) fn claim<'a>(&'a self, key: &'a IdempotencyKey) -> Option<Running<'a>> {
        self.running.claim(key)
    }

    /// What the same request was answered, if it has taken effect.
    async fn recall(&self, keyed: &KeyedRequest) -> Result<Option<Answered>, CommandError> {
        let found =
            find(self.log.pool(), keyed.key.stored(), keyed.key.sent()).await.map_err(CommandError::KeyLookup)?;
        let Some(found) = found else { return Ok(None) };
        if found.request_digest != keyed.digest {
            return Err(CommandError::KeyReused);
        }
        let answer = Answer { status: found.status, body: found.body, revision: found.revision };
        let place = LogPlace { partition: found.partition, position: found.position };
        Ok(Some(Answered { answer, place, replayed: true }))
    }
}

/// The keys whose requests this process runs right now.
#[derive(Default)]
pub(super) struct RunningKeys(Mutex<HashSet<IdempotencyKey>>);

/// A request that runs, for as long as this lives: until it is answered, panics, or is given up by its client.
pub(crate) struct Running<'a> {
    keys: &'a RunningKeys,
    key: &'a IdempotencyKey,
    noted: bool,
}

impl RunningKeys {
    /// `None` while a request with that key runs.
    fn claim<'a>(&'a self, key: &'a IdempotencyKey) -> Option<Running<'a>> {
        let mut running = self.lock();
        if running.contains(key) {
            return None;
        }
        let noted = running.len() < MAX_RUNNING_KEYS && running.insert(key.clone());
        Some(Running { keys: self, key, noted })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<IdempotencyKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.noted {
            self.keys.lock().remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(&Caller::Anonymous, text).unwrap()
    }

    #[test]
    fn a_key_is_visible_and_of_bounded_length() {
        let longest = "k".repeat(MAX_KEY_CHARS);
        for good in ["k", "!~", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", &longest] {
            assert_eq!(key(good).sent(), good);
        }
        let too_long = "k".repeat(MAX_KEY_CHARS + 1);
        for bad in ["", " ", "two words", "tab\t", "nul\0", "del\u{7f}", "clé", &too_long] {
            assert!(IdempotencyKey::new(&Caller::Anonymous, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_caller_has_keys_of_its_own() {
        let by_key = |holder: &str| Caller::Key { id: "7".to_owned(), holder: holder.to_owned(), hourly_limit: None };
        let by_token = |subject: &str| Caller::Token { issuer: "https://id".to_owned(), subject: subject.to_owned() };
        let callers = [Caller::Anonymous, by_key("1"), by_key("2"), by_token("1"), by_token("1 x"), by_token("x")];
        let keys = callers.map(|caller| IdempotencyKey::new(&caller, "one").unwrap());
        let stored: HashSet<_> = keys.iter().map(IdempotencyKey::stored).collect();
        assert_eq!(stored.len(), keys.len());
        assert_eq!(keys[0].stored(), "one", "as before callers were told apart");
        let limited = Caller::Key { id: "8".to_owned(), holder: "1".to_owned(), hourly_limit: Some(7) };
        assert_eq!(
            IdempotencyKey::new(&limited, "one").unwrap(),
            keys[1],
            "nobody is another caller for a limit, or for another key"
        );
    }

    #[test]
    fn a_key_is_claimed_once_until_its_request_ends() {
        let (running, one, other) = (RunningKeys::default(), key("one"), key("other"));
        let claimed = running.claim(&one);
        assert!(claimed.is_some());
        assert!(running.claim(&one).is_none());
        assert!(running.claim(&other).is_some(), "another key is free");
        drop(claimed);
        assert!(running.claim(&one).is_some());
    }

    #[test]
    fn a_panic_releases_the_key() {
        let (running, one) = (RunningKeys::default(), key("one"));
        let panicked = std::panic::catch_unwind(|| {
            let _running = running.claim(&one);
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert!(running.claim(&one).is_some());
    }

    #[test]
    fn more_than_are_noted_run_all_the_same() {
        let running = RunningKeys::default();
        let keys: Vec<_> = (0..=MAX_RUNNING_KEYS).map(|number| key(&number.to_string())).collect();
        let claimed: Vec<_> = keys.iter().map(|key| running.claim(key)).collect();
        assert!(claimed.iter().all(Option::is_some));
        assert_eq!(running.lock().len(), MAX_RUNNING_KEYS);
        drop(claimed);
        assert!(running.lock().is_empty());
    }
}
