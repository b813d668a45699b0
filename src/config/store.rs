//! Where the data and the policies are: options that many commands share.

use std::path::{Path, PathBuf};

use chrono::FixedOffset;
use clap::Args;

use super::pool::Pool;
use super::secret::{SecretFile, secret_file};

/// Where data lies when nobody says otherwise.
const DEFAULT_DATA_DIR: &str = ".data";

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct Store {
    /// Directory of the private servers and their data, when no URL names others [default: .data].
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL that holds the event log; without it a private one is started under the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// File that holds the URL of that PostgreSQL, in place of the URL.
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url", value_name = "FILE",
          value_parser = secret_file)]
    pub database_url_file: Option<SecretFile>,
    /// PostgreSQL that holds the read models, when it is another one.
    #[arg(long, env = "READ_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub read_database_url: Option<String>,
    /// File that holds the URL of the read models' PostgreSQL, in place of the URL.
    #[arg(long, env = "READ_DATABASE_URL_FILE", conflicts_with = "read_database_url", value_name = "FILE",
          value_parser = secret_file)]
    pub read_database_url_file: Option<SecretFile>,
    /// The connections to it.
    #[command(flatten)]
    pub pool: Pool,
    /// The business day's offset from UTC.
    #[arg(
        long,
        env = "BUSINESS_UTC_OFFSET",
        default_value = "+05:30",
        value_name = "OFFSET",
        allow_hyphen_values = true, value_parser = utc_offset)]
    pub business_utc_offset: FixedOffset,
}

impl Store {
    /// PostgreSQL that holds the event log, if one is named.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref().or(self.database_url_file.as_ref().map(SecretFile::reveal))
    }

    /// PostgreSQL that holds the read models, if another one is named.
    #[must_use]
    pub fn read_database_url(&self) -> Option<&str> {
        self.read_database_url.as_deref().or(self.read_database_url_file.as_ref().map(SecretFile::reveal))
    }

    /// The data directory, and whether somebody named it.
    #[must_use]
    pub fn data_dir(&self) -> (&Path, bool) {
        match &self.data_dir {
            Some(named) => (named, true),
            None => (Path::new(DEFAULT_DATA_DIR), false),
        }
    }
}

/// Which policies there are beside those that come with the product.
#[derive(Debug, Clone, Default, Args)]
pub struct PolicyFiles {
    /// Directory of further policies, a TOML file each.
    #[arg(long, env = "POLICIES_DIR", value_name = "DIR")]
    pub policies_dir: Option<PathBuf>,
}

/// `+HH:MM` or `-HH:MM`.
fn utc_offset(text: &str) -> Result<FixedOffset, String> {
    let wrong = || "must be an offset such as +05:30".to_owned();
    let well_formed = text.len() == "+05:30".len() && text.starts_with(['+', '-']) && text.as_bytes()[3] == b':';
    if well_formed { text.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}
