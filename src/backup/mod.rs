//! The log as a file of lines, out of a store that is in use and into an empty one.
//!
//! - [`line`](mod@line): what the lines say
//! - [`compression`]: the same lines, packed
//! - [`output`]: writing them, so that an export that broke off goes on where it stopped
//! - [`reading`]: reading them, and finding whatever was changed
//! - [`export`](mod@export), [`restore`](mod@restore): between the file and the log
//!
//! An export holds what cannot be made again: the events, which rows of workbooks they came from, what requests with an
//! idempotency key were answered, the API's keys (an answer belongs to whose request it was), and where the counters
//! stand. Read models and reserved phone numbers are folded from the events. Background imports stay where they were.

pub mod compression;
pub mod export;
pub mod line;
pub mod output;
pub mod reading;
pub mod restore;
