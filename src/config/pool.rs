//! The connections to PostgreSQL: how many, how long they live, and how long anybody waits for them or on them.

use std::time::Duration;

use clap::Args;

/// The connections to each of the databases.
#[derive(Debug, Clone, Args)]
pub struct Pool {
    /// Connections that requests have to each database, at most; a command of the command line has as many.
    #[arg(long = "database-connections", env = "DATABASE_CONNECTIONS", default_value_t = 20, value_name = "N",
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub connections: u32,
    /// Connections that the workers of a service have to each database, at most; replays have ten more, projectors three.
    #[arg(long = "database-worker-connections", env = "DATABASE_WORKER_CONNECTIONS", default_value_t = 10,
          value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub worker_connections: u32,
    /// Seconds that anybody waits for a free connection, at most.
    #[arg(long = "database-acquire-timeout", env = "DATABASE_ACQUIRE_TIMEOUT", default_value_t = 5,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    pub acquire_timeout: u32,
    /// Seconds that a connection lives before another one takes its place.
    #[arg(long = "database-connection-lifetime", env = "DATABASE_CONNECTION_LIFETIME", default_value_t = 60,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(5..=86_400))]
    pub lifetime: u32,
    /// Seconds that a connection may lie idle before it is closed.
    #[arg(id = "database_idle_timeout", long = "database-idle-timeout", env = "DATABASE_IDLE_TIMEOUT", default_value_t = 30,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub idle_timeout: u32,
    /// Seconds after which PostgreSQL calls a request's statement off; 0 is never. Workers, replays and the commands of
    /// the command line take as long as they take.
    #[arg(long = "database-statement-timeout", env = "DATABASE_STATEMENT_TIMEOUT", default_value_t = 20,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub statement_timeout: u32,
    /// Seconds that a request's statement waits for a lock before PostgreSQL calls it off; 0 is without end.
    #[arg(long = "database-lock-timeout", env = "DATABASE_LOCK_TIMEOUT", default_value_t = 10,
          value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub lock_timeout: u32,
    /// Seconds after which PostgreSQL ends the connection of a request or a worker that lies idle within a transaction;
    /// 0 is never.
    #[arg(long = "database-idle-transaction-timeout", env = "DATABASE_IDLE_TRANSACTION_TIMEOUT",
          default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub idle_transaction_timeout: u32,
    /// Milliseconds from which on a statement is told in the log as slow.
    #[arg(long, env = "SLOW_STATEMENT_MS", default_value_t = 1000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub slow_statement_ms: u64,
}

impl Pool {
    /// How long anybody waits for a free connection.
    #[must_use]
    pub fn acquire_timeout(&self) -> Duration {
        Duration::from_secs(self.acquire_timeout.into())
    }

    /// From when on a statement is slow.
    #[must_use]
    pub const fn slow_statement(&self) -> Duration {
        Duration::from_millis(self.slow_statement_ms)
    }

    /// How long a connection lives.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime.into())
    }

    /// How long a connection may lie idle.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout.into())
    }
}
