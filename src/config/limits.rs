//! How many requests a caller may send, and how to tell who sends them.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

const MAX_AN_HOUR: i64 = 100_000_000;

/// How many requests a caller may send.
#[derive(Debug, Clone, Args)]
pub struct RateLimits {
    /// Requests an hour that an address may send without saying who it is, an IPv6 network of 64 bits as one; 0 is no
    /// limit.
    #[arg(long, env = "RATE_LIMIT_ANONYMOUS", default_value_t = 100, value_name = "REQUESTS",
          value_parser = clap::value_parser!(u32).range(0..=MAX_AN_HOUR))]
    pub rate_limit_anonymous: u32,
    /// Requests an hour that a key or a token's subject may send, unless the key has a limit of its own; 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_AUTHENTICATED", default_value_t = 1000, value_name = "REQUESTS",
          value_parser = clap::value_parser!(u32).range(0..=MAX_AN_HOUR))]
    pub rate_limit_authenticated: u32,
    /// What becomes of requests while the processes cannot share their counts, since PostgreSQL does not answer.
    #[arg(long, env = "RATE_LIMIT_FAILURE", value_enum, default_value_t = WithoutWindows::Open, value_name = "HOW")]
    pub rate_limit_failure: WithoutWindows,
    /// Networks of the proxies in front of this process, whom it believes about where a request comes from.
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_name = "NETWORK", value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it; they must write it anew or add to it, never hand a client's on untouched.
    #[arg(long, env = "FORWARDED_HEADER", value_enum, default_value_t = ForwardedHeader::XForwardedFor,
          value_name = "NAME")]
    pub forwarded_header: ForwardedHeader,
}

/// What becomes of requests while the shared counts cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WithoutWindows {
    /// Each process lets through what it knows to be left, by itself.
    Open,
    /// Requests beyond what a process had leased before are refused (503).
    Closed,
}

/// In which header proxies say where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// A network such as `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse().map(|address: IpAddr| IpNet::from(address));
    text.parse().or_else(|_| one()).map_err(|_| "must be a network such as 10.0.0.0/8, or an address".to_owned())
}
