//! Who sent a request: found out before limits and rights are looked at, which both go by it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::access::authenticator::{Authenticator, Identity, Shown};
use crate::commands::Origin;
use crate::http::access::{Door, Doors, Way};

const SCHEME: &str = "bearer ";
/// Far more than any key or token has.
const MAX_CREDENTIAL_BYTES: usize = 8 * 1024;

/// What guards the routes.
pub(in crate::http) struct Guard {
    /// Who may come in where.
    pub(in crate::http) doors: Doors,
    /// Tells who comes.
    pub(in crate::http) authenticator: Arc<Authenticator>,
    /// Whether anybody may use the original endpoints.
    pub(in crate::http) anonymous_originals: bool,
}

/// Leaves the [`crate::access::Caller`] with the request, and what is known of them; where they are not known, `authorise`
/// refuses them. Where anybody may come in nobody is asked.
pub(in crate::http) async fn identify(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let identity = match guard.doors.way(&request) {
        Way::Door(Door::Original(_) | Door::Guarded(_)) => guard.authenticator.identify(shown(request.headers())).await,
        Way::Door(Door::Open) | Way::NoSuchMethod(_) | Way::Nowhere => Identity::Anonymous,
    };
    let caller = identity.caller();
    let extensions = request.extensions_mut();
    if let Some(origin) = extensions.get_mut::<Origin>() {
        origin.caller = Some(caller.to_string());
    }
    extensions.insert(caller);
    extensions.insert(identity);
    next.run(request).await
}

fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Shown::Nothing };
    let text = value.to_str().ok().filter(|text| values.next().is_none() && text.len() <= MAX_CREDENTIAL_BYTES);
    let bearer = text.and_then(|text| {
        let scheme = text.get(..SCHEME.len())?;
        scheme.eq_ignore_ascii_case(SCHEME).then(|| text[SCHEME.len()..].trim())
    });
    bearer.filter(|credential| !credential.is_empty()).map_or(Shown::Otherwise, Shown::Bearer)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> HeaderMap {
        let value = |value: &&str| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        values.iter().map(value).collect()
    }

    #[test]
    fn a_bearer_shows_one_credential() {
        assert!(matches!(shown(&of(&[])), Shown::Nothing));
        for taken in ["Bearer ca_1_2", "bearer ca_1_2", "BEARER  ca_1_2 "] {
            assert!(matches!(shown(&of(&[taken])), Shown::Bearer("ca_1_2")), "{taken:?}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_CREDENTIAL_BYTES));
        for other in ["", "Bearer", "Bearer ", "Basic eDp5", "ca_1_2", "Bearerca_1_2", "Bearer \u{e9}", &long] {
            assert!(matches!(shown(&of(&[other])), Shown::Otherwise), "{other:?}");
        }
        assert!(matches!(shown(&of(&["Bearer a", "Bearer a"])), Shown::Otherwise));
    }
}
