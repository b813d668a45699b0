//! How much is worked on at once, and for how long: what is beyond that is refused at once, so that what is taken is
//! answered in time.

use std::time::Duration;

use clap::Args;

/// The bounds of what one process takes on.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Requests that are worked on at once, at most.
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 256, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_concurrent_requests: u32,
    /// Requests that wait for their turn beside them, at most; what comes beyond is refused with 503.
    #[arg(long, env = "MAX_QUEUED_REQUESTS", default_value_t = 256, value_name = "N",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub max_queued_requests: u32,
    /// Of those that read much (events, histories, rejects, how the read models stand), and of those that take long
    /// (uploads, backtests), so many are worked on at once, at most, and so many wait, each kind beside all others.
    #[arg(long, env = "MAX_HEAVY_REQUESTS", default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_heavy_requests: u32,
    /// Milliseconds that a request waits for its turn; then it is refused with 503.
    #[arg(long, env = "QUEUE_TIMEOUT_MS", default_value_t = 250, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub queue_timeout_ms: u32,
    /// Seconds that a request takes, at most, and in any case longer than VISIBILITY_TIMEOUT.
    #[arg(long, env = "REQUEST_TIMEOUT", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub request_timeout: u32,
    /// Seconds that an upload or a backtest takes, at most.
    #[arg(long, env = "LONG_REQUEST_TIMEOUT", default_value_t = 900, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub long_request_timeout: u32,
}

impl Load {
    /// How long a request waits for its turn.
    #[must_use]
    pub fn queue_timeout(&self) -> Duration {
        Duration::from_millis(self.queue_timeout_ms.into())
    }

    /// How long a request takes.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout.into())
    }

    /// How long an upload or a backtest takes.
    #[must_use]
    pub fn long_request_timeout(&self) -> Duration {
        Duration::from_secs(self.long_request_timeout.into())
    }
}
