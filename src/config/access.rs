//! Who may use the API: the options of `serve`, and those of `keys`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use reqwest::Url;

use super::duration::{duration, lifetime};
use super::store::Store;
use crate::access::Role;
use crate::access::keys::{HourlyLimit, KeyId, KeyName};
use crate::access::tokens::{Source, TokenOptions};

/// Who may use the API.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("jwks").args(["jwt_jwks_url", "jwt_jwks_file"]))]
pub struct Access {
    /// Whether the five original endpoints, and nothing else, may be used without a key; auto: only where HTTP_ADDR is a
    /// loopback address.
    #[arg(long, env = "ANONYMOUS_ORIGINALS", value_enum, default_value_t = AnonymousOriginals::Auto)]
    pub anonymous_originals: AnonymousOriginals,
    /// Seconds that what is known of a key is believed: so long until a revocation counts in every process.
    #[arg(long, env = "KEY_CACHE_SECONDS", default_value_t = 5, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=60))]
    pub key_cache_seconds: u64,
    /// Issuer whose tokens (JWT) are taken, as their `iss` says it; without it none are.
    #[arg(long, env = "JWT_ISSUER", value_name = "ISSUER", requires = "jwks", requires = "jwt_audience",
          value_parser = issuer)]
    pub jwt_issuer: Option<String>,
    /// Audience that tokens are for: their `aud` names one of these.
    #[arg(long, env = "JWT_AUDIENCE", value_name = "AUDIENCE", value_delimiter = ',', requires = "jwt_issuer")]
    pub jwt_audience: Vec<String>,
    /// Where the issuer publishes its keys (JSON Web Key Set): https, or http on a loopback address.
    #[arg(long, env = "JWT_JWKS_URL", value_name = "URL", requires = "jwt_issuer", value_parser = jwks_url)]
    pub jwt_jwks_url: Option<Url>,
    /// A file with the issuer's keys, instead of a URL.
    #[arg(long, env = "JWT_JWKS_FILE", value_name = "FILE", requires = "jwt_issuer")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// Claim that holds the roles, as a list or between spaces; a path with dots where it lies deeper. Without the claim
    /// they are read from `scope`.
    #[arg(long, env = "JWT_ROLES_CLAIM", default_value = "roles", value_name = "CLAIM")]
    pub jwt_roles_claim: String,
    /// Seconds by which the issuer's clock may differ.
    #[arg(long, env = "JWT_LEEWAY", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub jwt_leeway: u64,
    /// Seconds between two looks at the issuer's keys.
    #[arg(long, env = "JWT_JWKS_REFRESH", default_value_t = 300, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub jwt_jwks_refresh: u64,
}

impl Access {
    /// Whether anybody may use the original endpoints of an API at that address.
    #[must_use]
    pub const fn opens_originals(&self, address: SocketAddr) -> bool {
        match self.anonymous_originals {
            AnonymousOriginals::Auto => address.ip().is_loopback(),
            AnonymousOriginals::Always => true,
            AnonymousOriginals::Never => false,
        }
    }

    /// Whose tokens are taken; `None` where none are.
    #[must_use]
    pub fn tokens(&self) -> Option<TokenOptions> {
        let url = self.jwt_jwks_url.clone().map(Source::Url);
        Some(TokenOptions {
            issuer: self.jwt_issuer.clone()?,
            audiences: self.jwt_audience.clone(),
            source: url.or_else(|| self.jwt_jwks_file.clone().map(Source::File))?,
            roles_claim: self.jwt_roles_claim.clone(),
            leeway: Duration::from_secs(self.jwt_leeway),
            refresh_every: Duration::from_secs(self.jwt_jwks_refresh),
        })
    }
}

/// Whether the original endpoints may be used without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnonymousOriginals {
    /// Where the API listens on a loopback address.
    Auto,
    /// Wherever it listens.
    Always,
    /// Nowhere.
    Never,
}

/// `keys`.
#[derive(Debug, Clone, Args)]
pub struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it: the only time that it is shown.
    Create(CreateKey),
    /// List the keys.
    List(ListKeys),
    /// Take a key back; it counts everywhere within KEY_CACHE_SECONDS of the service.
    Revoke(RevokeKey),
    /// Make a key that replaces another one and print it; both are good until the grace is over.
    Rotate(RotateKey),
}

/// `keys create`.
#[derive(Debug, Clone, Args)]
pub struct CreateKey {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Whose key it is, in words.
    #[arg(long, value_name = "NAME", value_parser = key_name)]
    pub name: KeyName,
    /// What its holder may do; several with commas between them: channel, officer, operator, auditor.
    #[arg(long = "role", visible_alias = "roles", value_name = "ROLE", required = true, value_delimiter = ',', value_parser = role)]
    pub roles: Vec<Role>,
    /// How long it is good (90d, 12h); without end unless told.
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub expires_in: Option<TimeDelta>,
    /// Requests an hour that it may send, instead of RATE_LIMIT_AUTHENTICATED; 0 is no limit.
    #[arg(long, value_name = "N", value_parser = hourly_limit)]
    pub hourly_limit: Option<HourlyLimit>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keys list`.
#[derive(Debug, Clone, Args)]
pub struct ListKeys {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Those that are revoked or have expired too.
    #[arg(long)]
    pub all: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keys revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeKey {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// The key's id, the part of it between the underscores.
    #[arg(value_name = "ID", value_parser = key_id)]
    pub id: KeyId,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `keys rotate`.
#[derive(Debug, Clone, Args)]
pub struct RotateKey {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// The id of the key to be replaced, the part of it between the underscores.
    #[arg(value_name = "ID", value_parser = key_id)]
    pub id: KeyId,
    /// How long the old key goes on being good (24h, 30m).
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub grace: TimeDelta,
    /// How long the new key is good; as long as the old one was made for, unless told.
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub expires_in: Option<TimeDelta>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Callers are named by it, with a space behind.
fn issuer(text: &str) -> Result<String, String> {
    let fits = (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("must be 1 to 200 visible ASCII characters".to_owned()) }
}

/// Whether the host of a URL is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn jwks_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" if !host.is_empty() => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        _ => Err("must be an https URL, or http on a loopback address".to_owned()),
    }
}

fn role(name: &str) -> Result<Role, String> {
    let known = Role::ALL.map(Role::name).join(", ");
    Role::from_name(name).ok_or_else(|| format!("there is no such role; there are: {known}"))
}

fn key_name(text: &str) -> Result<KeyName, String> {
    KeyName::try_from(text).map_err(|error| error.to_string())
}

fn key_id(text: &str) -> Result<KeyId, String> {
    KeyId::try_from(text).map_err(|error| error.to_string())
}

fn hourly_limit(text: &str) -> Result<HourlyLimit, String> {
    let requests: u32 = text.parse().map_err(|_| "must be a whole number".to_owned())?;
    HourlyLimit::try_from(requests).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Cli, Command};

    fn parsed(arguments: &[&str]) -> Result<Access, clap::Error> {
        let cli = Cli::try_parse_from(["credit-approval", "serve"].iter().chain(arguments))?;
        let Command::Serve(serve) = cli.command else { panic!("asked to serve") };
        Ok(serve.access)
    }

    #[test]
    fn the_originals_are_open_on_a_loopback_address_alone() {
        let opens =
            |arguments: &[&str], address: &str| parsed(arguments).unwrap().opens_originals(address.parse().unwrap());
        for local in ["127.0.0.1:80", "127.8.0.1:80", "[::1]:80"] {
            assert!(opens(&[], local) && !opens(&["--anonymous-originals", "never"], local), "{local}");
        }
        for other in ["0.0.0.0:80", "10.0.0.1:80", "[::]:80"] {
            assert!(!opens(&[], other) && opens(&["--anonymous-originals", "always"], other), "{other}");
        }
    }

    #[test]
    fn an_issuer_needs_its_audience_and_its_keys() {
        let (issuer, audience) = (["--jwt-issuer", "https://id"], ["--jwt-audience", "credit,lending"]);
        let url = ["--jwt-jwks-url", "https://id/jwks"];
        let whole = parsed(&[issuer, audience, url].concat()).unwrap().tokens().unwrap();
        assert_eq!((whole.issuer.as_str(), whole.audiences.len()), ("https://id", 2));
        for part in [&issuer[..], &audience, &url, &[issuer, audience].concat(), &[issuer, url].concat()] {
            assert!(parsed(part).is_err(), "{part:?}");
        }
        let both = [&issuer[..], &audience, &url, &["--jwt-jwks-file", "keys.json"]].concat();
        assert!(parsed(&both).is_err(), "one place for keys");
        assert!(parsed(&[]).unwrap().tokens().is_none());
    }

    #[test]
    fn keys_are_fetched_safely() {
        for good in ["https://id.example/keys", "http://127.0.0.1:8080/keys", "http://localhost/k", "http://[::1]:1/k"]
        {
            assert!(jwks_url(good).is_ok(), "{good}");
        }
        for bad in ["http://id.example/keys", "ftp://localhost/k", "keys.json", "http://127.0.0.1.example/k", ""] {
            assert!(jwks_url(bad).is_err(), "{bad}");
        }
    }
}
