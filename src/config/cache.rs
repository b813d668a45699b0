//! What a process keeps in memory.

use clap::Args;

/// What is kept in memory.
#[derive(Debug, Clone, Args)]
pub struct Cache {
    /// Bytes of memory for credit profiles that were read, at most; 0 reads every one from the database.
    #[arg(long, env = "CACHE_BYTES", default_value_t = 256 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(0..=1 << 40))]
    pub cache_bytes: u64,
}
