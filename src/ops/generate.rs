//! `generate`: sample workbooks.

use super::say;
use crate::config;
use crate::generate::{GenerateError, GenerateSpec};

/// Writes a pair of workbooks and says where they are.
///
/// # Errors
/// When the numbers do not fit a workbook, or a file cannot be written.
pub fn generate(config: &config::Generate) -> Result<(), GenerateError> {
    let spec = GenerateSpec {
        customers: config.customers,
        loans: config.loans,
        seed: config.seed,
        ids_above: config.ids_above,
    };
    let files = crate::generate::generate(&config.out, spec)?;
    say(files.customers.display());
    say(files.loans.display());
    Ok(())
}
