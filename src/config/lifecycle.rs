//! How a process of `serve` starts, tells that it can serve, and stops.

use std::net::SocketAddr;

use clap::Args;

/// Seconds that a read model may lag unless told otherwise: far beyond what a burst of traffic leads to.
const DEFAULT_MAX_LAG_SECONDS: u32 = 300;

/// Start, health and stop.
#[derive(Debug, Clone, Args)]
pub struct Lifecycle {
    /// Address for probes and this process's own metrics, in plain HTTP and open to whoever reaches it; without it a
    /// process answers probes only where its API listens.
    #[arg(long, env = "HEALTH_ADDR", value_name = "ADDR")]
    pub health_addr: Option<SocketAddr>,
    /// Seconds that a read model may lag before an API process says that it is not ready; 0 looks at no lag.
    #[arg(long, env = "READY_MAX_LAG", default_value_t = DEFAULT_MAX_LAG_SECONDS, value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub ready_max_lag: u32,
    /// Seconds that an API process goes on serving after it was asked to stop and says that it is not ready, so that
    /// balancers notice; behind one, give it more than the balancer takes between two probes.
    #[arg(long, env = "DRAIN_DELAY", default_value_t = 0, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=300))]
    pub drain_delay: u64,
    /// Seconds that a start waits for databases that do not answer yet.
    #[arg(long, env = "DATABASE_WAIT", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub database_wait: u64,
}
