//! The customers read model: who the customers are.

mod read;
mod write;

pub use read::exists;
pub(crate) use write::write;
