//! The options of the commands that do one thing and end.

use std::path::PathBuf;

use aggregates::Invalid;
use aggregates::ids::CustomerId;
use clap::{ArgGroup, Args};
use projections::Projection;

use super::store::{PolicyFiles, Store};
use crate::backtest::{DEFAULT_EXAMPLES, MAX_EXAMPLES, Moment};

/// `import`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("workbooks").args(["customers", "loans"]).required(true).multiple(true))]
pub struct Import {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Workbook of customers.
    #[arg(long, value_name = "FILE")]
    pub customers: Option<PathBuf>,
    /// Workbook of loans.
    #[arg(long, value_name = "FILE")]
    pub loans: Option<PathBuf>,
    /// Read and check everything, write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where rows that were not taken, and warnings, are written as CSV.
    #[arg(long, env = "IMPORT_REJECTS", default_value = "import-rejects.csv", value_name = "FILE")]
    pub rejects: PathBuf,
}

/// `generate`.
#[derive(Debug, Clone, Args)]
pub struct Generate {
    /// How many customers.
    #[arg(long, default_value_t = 300, value_name = "N")]
    pub customers: u32,
    /// How many loans.
    #[arg(long, default_value_t = 780, value_name = "N")]
    pub loans: u32,
    /// Another seed gives other workbooks.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub seed: u64,
    /// Every id is above this one, so that the rows fit beside others.
    #[arg(long, default_value_t = 0, value_name = "ID")]
    pub ids_above: u32,
    /// Directory to write customer_data.xlsx and loan_data.xlsx to.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Which read models.
#[derive(Debug, Clone, Args)]
pub struct Names {
    /// Names of read models: customers, loans, credit_profiles, decisions.
    #[arg(value_name = "NAME", value_parser = projection)]
    pub names: Vec<Projection>,
}

impl Names {
    /// Those that were named, all of them where none was.
    #[must_use]
    pub fn chosen(&self) -> Vec<Projection> {
        let named = |projection: &Projection| self.names.is_empty() || self.names.contains(projection);
        Projection::ALL.into_iter().filter(named).collect()
    }
}

/// `rebuild`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").args(["names", "all", "cancel"]).required(true).multiple(true))]
pub struct Rebuild {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models.
    #[command(flatten)]
    pub names: Names,
    /// All read models.
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// This customer alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
    /// Stop the rebuild under way; the old tables go on serving.
    #[arg(long, conflicts_with = "customer")]
    pub cancel: bool,
}

/// `projections`.
#[derive(Debug, Clone, Args)]
pub struct Projections {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// As `GET /v1/projections` answers.
    #[arg(long)]
    pub json: bool,
}

/// `parked`.
#[derive(Debug, Clone, Args)]
pub struct Parked {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models; all without a name.
    #[command(flatten)]
    pub names: Names,
}

/// `redrive`.
#[derive(Debug, Clone, Args)]
pub struct Redrive {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which read models; all without a name.
    #[command(flatten)]
    pub names: Names,
    /// This customer alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which policies there are: decisions are taken again under the one that they were taken under.
    #[command(flatten)]
    pub policies: PolicyFiles,
    /// How many differences are printed at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub show: usize,
}

/// `backtest`.
#[derive(Debug, Clone, Args)]
pub struct Backtest {
    /// Where the data is.
    #[command(flatten)]
    pub store: Store,
    /// Which policies there are.
    #[command(flatten)]
    pub policies: PolicyFiles,
    /// The other policy: a TOML file, or the id of a policy that there is.
    #[arg(value_name = "POLICY")]
    pub policy: String,
    /// Decisions since that day, it included, or since that instant.
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub decided_after: Option<Moment>,
    /// Decisions until that day, it excluded, or until that instant.
    #[arg(long, value_name = "DAY", value_parser = moment)]
    pub decided_before: Option<Moment>,
    /// Decisions over this customer's applications alone.
    #[arg(long, value_name = "ID", value_parser = customer_id)]
    pub customer: Option<CustomerId>,
    /// How many decisions that fall otherwise are listed, at most, each way.
    #[arg(long, default_value_t = DEFAULT_EXAMPLES, value_name = "N",
          value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_EXAMPLES)))]
    pub examples: u8,
    /// As `POST /v1/policies/backtest` answers.
    #[arg(long)]
    pub json: bool,
}

/// `health`.
#[derive(Debug, Clone, Args)]
pub struct Health {
    /// What to ask.
    #[arg(long, env = "HEALTH_URL", default_value = "http://127.0.0.1:8000/health/ready", value_name = "URL")]
    pub url: String,
}

fn projection(name: &str) -> Result<Projection, String> {
    let known = Projection::ALL.map(Projection::name).join(", ");
    Projection::from_name(name).ok_or_else(|| format!("there is no such read model; there are: {known}"))
}

fn moment(text: &str) -> Result<Moment, String> {
    text.parse().map_err(|Invalid(message)| message)
}

fn customer_id(text: &str) -> Result<CustomerId, String> {
    let id: i64 = text.parse().map_err(|_| "must be an integer".to_owned())?;
    CustomerId::try_from(id).map_err(|error| error.to_string())
}
