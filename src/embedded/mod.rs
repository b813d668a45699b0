//! Private PostgreSQL and NATS servers, for when no URL names others.
//!
//! Purpose: claim a data directory, start the real servers under it, keep them up, and stop them in order.
//!
//! Must not know: events, schemas, sqlx, async-nats. It hands out URLs and nothing else, so everything above
//! it runs the same against servers somebody else operates.
//!
//! Why: a credit decision that is only ever tried against a stand-in for its store has not been tried. The
//! default is therefore the real thing, owned exclusively (a lock on the directory), reachable by nobody else
//! (a 0700 unix socket, a loopback port with a password drawn per start), gone when this process is gone, and
//! recovered at the next start whatever killed it.
//!
//! - `data_dir`: where the data lies, whose it is, and the lock on it
//! - `account`: whom the servers run as, and whether that account can reach the directory
//! - `binaries`: where the servers' programs are, and which of them fits
//! - `process`: one child process: spawn, recognise, signal
//! - `supervisor`: the thread that starts, watches, restarts and stops a server
//! - `cluster`: PostgreSQL's files, what a crash leaves of them, and its socket directory
//! - `wire`: as much of PostgreSQL's protocol as asking "are you ready" takes
//! - `postgres`, `nats`: the two servers

mod account;
mod binaries;
mod cluster;
mod data_dir;
mod error;
mod nats;
mod postgres;
mod process;
mod supervisor;
mod wire;

pub use account::Account;
pub use data_dir::DataDir;
pub use error::EmbeddedError;
pub use nats::Nats;
pub use postgres::{Postgres, Tuning, running_postgres};
pub use supervisor::ServerState;
