//! Short texts that people write down beside a fact: of any script, in one line, without control characters.

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// The longest reason, in characters after trimming.
pub const MAX_REASON_CHARS: usize = 200;

/// A text of 1 to `max_chars` visible characters of any script after trimming, with spaces between them.
pub(crate) fn visible(text: &str, max_chars: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    if text.chars().count() > max_chars {
        return Err(Invalid::new(format!("must have at most {max_chars} characters")));
    }
    let is_visible = |character: char| character == ' ' || !(character.is_control() || character.is_whitespace());
    if !text.chars().all(is_visible) {
        return Err(Invalid::new("must be visible characters and spaces"));
    }
    Ok(text.to_owned())
}

/// Why somebody reversed a repayment or wrote a loan off: 1 to 200 visible characters after trimming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReasonText(String);

impl ReasonText {
    /// The reason as it was given, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ReasonText {
    type Error = Invalid;

    fn try_from(reason: &str) -> Result<Self, Invalid> {
        visible(reason, MAX_REASON_CHARS).map(Self)
    }
}

impl TryFrom<String> for ReasonText {
    type Error = Invalid;

    fn try_from(reason: String) -> Result<Self, Invalid> {
        Self::try_from(reason.as_str())
    }
}

impl From<ReasonText> for String {
    fn from(reason: ReasonText) -> Self {
        reason.0
    }
}
