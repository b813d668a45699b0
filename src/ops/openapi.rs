//! `openapi`: the API's description, without a service to ask for it.

use std::io::Write;

/// Prints the description as the service would give it, to the byte.
pub fn openapi() {
    let _ = std::io::stdout().write_all(crate::http::description().as_bytes());
}
