//! Tells who sent a request from what they show: the key or the token in its `Authorization`.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::keys::ApiKey;
use super::keys::known::{Allowed, KeyRefusal, KnownKeys, Verdict};
use super::tokens::{Judged, TokenRefusal, Tokens};
use super::{Caller, Roles};
use crate::databases::connections::is_away;

/// What is known of who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// They showed nothing.
    Anonymous,
    /// They are known, and may do this.
    Known(Caller, Roles),
    /// They showed what is not good.
    Rejected(Rejection),
    /// What they showed could not be looked up.
    Undecided,
}

impl Identity {
    /// The caller; nobody where what was shown is not good.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self {
            Self::Known(caller, _) => caller.clone(),
            Self::Anonymous | Self::Rejected(_) | Self::Undecided => Caller::Anonymous,
        }
    }
}

/// Why what was shown is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not shown as it must be.
    #[error("must be `Bearer` with a key or a token, once")]
    Form,
    /// It is a key, and not good.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// It is a token, and not good.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
}

/// What a request shows of who sent it.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A bearer's key or token.
    Bearer(&'a str),
    /// Something else.
    Otherwise,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Authentication {
    credential: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lookup {
    source: &'static str,
}

/// Tells who callers are, and counts it.
pub struct Authenticator {
    keys: KnownKeys,
    /// None where the service takes no tokens.
    tokens: Option<Tokens>,
    authentications: Family<Authentication, Counter>,
    lookups: Family<Lookup, Counter>,
}

impl Authenticator {
    /// By these keys and tokens, with its counters.
    #[must_use]
    pub fn new(keys: KnownKeys, tokens: Option<Tokens>, registry: &mut Registry) -> Self {
        let (authentications, lookups) = (Family::default(), Family::default());
        let help = "Requests by what they showed of who sent them, and whether it was good";
        registry.register("authentications", help, Family::clone(&authentications));
        let help = "Looks at API keys by where the answer came from";
        registry.register("api_key_lookups", help, Family::clone(&lookups));
        Self { keys, tokens, authentications, lookups }
    }

    /// Who showed this.
    pub async fn identify(&self, shown: Shown<'_>) -> Identity {
        let (credential, identity) = match shown {
            Shown::Nothing => ("none", Identity::Anonymous),
            Shown::Otherwise => ("other", Identity::Rejected(Rejection::Form)),
            Shown::Bearer(text) if ApiKey::is_meant_by(text) => ("key", self.by_key(text).await),
            Shown::Bearer(text) => ("token", self.by_token(text).await),
        };
        let outcome = match identity {
            Identity::Anonymous => "anonymous",
            Identity::Known(..) => "accepted",
            Identity::Rejected(_) => "rejected",
            Identity::Undecided => "unavailable",
        };
        self.authentications.get_or_create(&Authentication { credential, outcome }).inc();
        identity
    }

    async fn by_key(&self, text: &str) -> Identity {
        let Some(key) = ApiKey::parse(text) else { return Identity::Rejected(KeyRefusal::Unknown.into()) };
        let Verdict { judged, is_fresh } = match self.keys.judge(&key).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // That the database is away was told once, when it went.
                if is_away(&*error) {
                    tracing::debug!(%error, "an API key was not looked up");
                } else {
                    tracing::error!(%error, "an API key could not be looked up");
                }
                return Identity::Undecided;
            }
        };
        let source = if is_fresh { "database" } else { "cache" };
        self.lookups.get_or_create(&Lookup { source }).inc();
        match judged {
            Ok(Allowed { roles, holder, hourly_limit }) => {
                Identity::Known(Caller::Key { id: key.id().to_string(), holder, hourly_limit }, roles)
            }
            Err(refusal) => Identity::Rejected(refusal.into()),
        }
    }

    async fn by_token(&self, text: &str) -> Identity {
        let Some(tokens) = &self.tokens else { return Identity::Rejected(TokenRefusal::Malformed.into()) };
        match tokens.judge(text).await {
            Judged::Taken(caller, roles) => Identity::Known(caller, roles),
            Judged::Refused(refusal) => Identity::Rejected(refusal.into()),
            Judged::Unknown => Identity::Undecided,
        }
    }

    /// Keeps the issuer's keys fresh, and notes when keys were used, until stopped.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let tokens = async {
            if let Some(tokens) = &self.tokens {
                tokens.keep_fresh(stop.clone()).await;
            }
        };
        tokio::join!(tokens, self.keys.keep_noted(stop.clone()));
    }
}
