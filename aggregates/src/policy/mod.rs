//! The scoring policy: which weights, floors and caps a decision is taken under.
//!
//! A policy is a versioned TOML file. It is validated when it is read, so that the arithmetic ([`score`],
//! [`decision`], [`alternatives`]) never meets weights that do not sum to 100 or floors out of order. Its id and the
//! digest of its text go into every decision.

pub mod alternatives;
pub mod decision;
pub mod score;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::terms::Rate;

const STANDARD_1: &str = include_str!("../../../policies/standard-1.toml");
const LITERAL_1: &str = include_str!("../../../policies/literal-1.toml");
const FULL_PERCENT: u8 = 100;
const MAX_ID_CHARS: usize = 64;
/// Of a line that cannot be read.
const MAX_SHOWN_CHARS: usize = 80;

/// Which policy: enough to find it again and to see that it has not changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Name and version, such as `standard-1`.
    pub id: String,
    /// SHA-256 of the policy's text, in hexadecimal.
    pub digest: String,
}

/// A validated scoring policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    reference: PolicyRef,
    rules: Rules,
}

/// The file's content: what a policy goes by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    id: String,
    /// What the components of a score weigh; they sum to 100.
    pub weights: Weights,
    /// How they are measured.
    pub score: ScoreRules,
    /// What a customer may carry.
    pub caps: Caps,
    /// From the best score down: what a score borrows at. Below the last, not at all.
    pub floors: Vec<Floor>,
}

/// Points of each component when it is met in full.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Instalments paid on time over instalments due.
    pub on_time: u8,
    /// Loans taken.
    pub track_record: u8,
    /// Loans started in the calendar year.
    pub current_year_activity: u8,
    /// The share of the approved limit that is free.
    pub approved_volume: u8,
}

/// How the components are measured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRules {
    /// The score of a customer who never had a loan.
    pub without_loans: u8,
    /// Percent of the on-time points while no instalment has fallen due.
    pub nothing_due_percent: u8,
    /// So many loans give all track-record points.
    pub full_track_record_loans: u8,
    /// Percent of the activity points that each loan of the calendar year takes.
    pub loss_per_loan_this_year_percent: u8,
}

/// What a customer may carry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Percent of the monthly income that instalments may reach.
    pub instalments_percent_of_income: u8,
    /// Whether the loan that is asked for counts towards both caps.
    pub count_requested_loan: bool,
}

/// The lowest rate for scores above a bound.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Scores above this one.
    pub score_above: u8,
    /// Percent a year, at least.
    pub minimum_rate: Rate,
}

/// Why a policy file is not one.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or a field is missing, unknown or of the wrong type.
    #[error("the policy file cannot be read")]
    Syntax(#[from] SyntaxError),
    /// Its values contradict each other.
    #[error("{field}: {problem}")]
    Contradiction {
        /// Dotted path in the file.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where a policy's text is not what it must be, in one line: `line 12, weights.on_time: invalid type ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SyntaxError {
    place: String,
    problem: String,
}

impl SyntaxError {
    fn new(text: &str, path: Option<&str>, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let number = before.matches('\n').count();
        // Where the text is no TOML at all, the path is a placeholder, and the line itself says more.
        let field = path.filter(|path| *path != "." && *path != "?");
        let place = match field {
            Some(field) => format!("line {}, {field}", number + 1),
            None => format!("line {}", number + 1),
        };
        let mut problem = error.message().replace('\n', " ");
        if field.is_none()
            && let Some(line) = text.lines().nth(number).map(str::trim).filter(|line| !line.is_empty())
        {
            let shown: String = line.chars().take(MAX_SHOWN_CHARS).collect();
            problem = format!("{problem} in `{shown}`");
        }
        Self { place, problem }
    }
}

impl PolicyError {
    /// Field and problem, in one line, whatever is wrong.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        match self {
            Self::Syntax(error) => error.to_string(),
            Self::Contradiction { .. } => self.to_string(),
        }
    }
}

impl Policy {
    /// Reads and validates a policy.
    ///
    /// # Errors
    /// [`PolicyError`], naming the field.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let parsed = toml::Deserializer::parse(text).map_err(|error| SyntaxError::new(text, None, &error))?;
        let rules: Rules = serde_path_to_error::deserialize(parsed)
            .map_err(|error| SyntaxError::new(text, Some(&error.path().to_string()), error.inner()))?;
        rules.validate()?;
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { reference: PolicyRef { id: rules.id.clone(), digest }, rules })
    }

    /// The policies that come with the product: `standard-1` and `literal-1`.
    ///
    /// # Errors
    /// Never for a build whose tests pass: they read both.
    pub fn shipped() -> Result<Vec<Self>, PolicyError> {
        [STANDARD_1, LITERAL_1].into_iter().map(Self::parse).collect()
    }

    /// Its name, version and digest.
    #[must_use]
    pub const fn reference(&self) -> &PolicyRef {
        &self.reference
    }

    /// What it goes by.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The lowest rate for a score, `None` where the score is too low for any.
    #[must_use]
    pub fn minimum_rate(&self, score: Decimal) -> Option<Rate> {
        let floor = self.rules.floors.iter().find(|floor| score > Decimal::from(floor.score_above))?;
        Some(floor.minimum_rate)
    }
}

impl Rules {
    fn validate(&self) -> Result<(), PolicyError> {
        let contradiction = |field, problem: String| Err(PolicyError::Contradiction { field, problem });
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=MAX_ID_CHARS).contains(&self.id.len()) || !self.id.bytes().all(is_allowed) {
            return contradiction("id", format!("must be 1 to {MAX_ID_CHARS} letters, digits and hyphens"));
        }
        let weights = &self.weights;
        let sum = [weights.on_time, weights.track_record, weights.current_year_activity, weights.approved_volume]
            .iter()
            .fold(0_u16, |sum, weight| sum + u16::from(*weight));
        if sum != u16::from(FULL_PERCENT) {
            return contradiction("weights", format!("must sum to 100, not {sum}"));
        }
        let percents = [
            ("score.without_loans", self.score.without_loans),
            ("score.nothing_due_percent", self.score.nothing_due_percent),
            ("score.loss_per_loan_this_year_percent", self.score.loss_per_loan_this_year_percent),
            ("caps.instalments_percent_of_income", self.caps.instalments_percent_of_income),
        ];
        if let Some((field, value)) = percents.into_iter().find(|(_, value)| *value > FULL_PERCENT) {
            return contradiction(field, format!("must be from 0 to 100, not {value}"));
        }
        if self.score.full_track_record_loans == 0 {
            return contradiction("score.full_track_record_loans", "must be at least 1".to_owned());
        }
        if let Some(floor) = self.floors.iter().find(|floor| floor.score_above >= FULL_PERCENT) {
            return contradiction("floors", format!("score_above must be below 100, not {}", floor.score_above));
        }
        if self.floors.is_empty() {
            return contradiction("floors", "must name at least one".to_owned());
        }
        let ordered = |pair: &[Floor]| match pair {
            [higher, lower] => higher.score_above > lower.score_above && higher.minimum_rate <= lower.minimum_rate,
            _ => true,
        };
        if !self.floors.windows(2).all(ordered) {
            return contradiction("floors", "must fall in score and rise in rate".to_owned());
        }
        Ok(())
    }
}
