//! Who may send which request: each route says it where it is described, and is refused to everybody where it does not.
//!
//! What a route says stands in its description as its `security`, and the check reads it from there ([`Doors`]): what is
//! documented and what is checked are one and the same.

use std::collections::HashMap;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::UtoipaMethodRouter;

use super::Api;
use super::openapi::{each, shared};
use crate::access::{Role, Roles};

/// The scheme's name in the description.
pub(super) const BEARER: &str = "bearer";

/// Operations that anybody may ask for, and nobody is asked who they are.
pub(super) fn public(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, |operation| operation.security = Some(Vec::new()))
}

/// Operations for callers with one of these roles.
pub(super) fn only(roles: &[Role], routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(routes, |operation| restrict(operation, roles))
}

/// Operations of the system that this one replaces: for callers with one of these roles, and for anybody where the service
/// is so configured.
pub(super) fn original(roles: &[Role], routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    each(only(roles, routes), |operation| {
        operation.security.get_or_insert_default().insert(0, SecurityRequirement::default());
    })
}

fn restrict(operation: &mut Operation, roles: &[Role]) {
    operation.security = Some(roles.iter().copied().map(with_role).collect());
    shared::add_access(operation);
}

/// The requirement that a caller has a role; several of them are alternatives.
fn with_role(role: Role) -> SecurityRequirement {
    SecurityRequirement::new(BEARER, [role.name()])
}

/// Who may come in by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Anybody.
    Open,
    /// Callers with one of these roles, and anybody where the service is so configured.
    Original(Roles),
    /// Callers with one of these roles; nobody where there are none.
    Guarded(Roles),
}

impl From<&Operation> for Door {
    fn from(operation: &Operation) -> Self {
        let Some(security) = &operation.security else { return Self::Guarded(Roles::default()) };
        let roles = Role::ALL.into_iter().filter(|role| security.contains(&with_role(*role))).collect();
        if security.is_empty() {
            Self::Open
        } else if security.contains(&SecurityRequirement::default()) {
            Self::Original(roles)
        } else {
            Self::Guarded(roles)
        }
    }
}

/// Every route's door, by path and method.
pub(super) struct Doors(HashMap<String, Vec<(Method, Door)>>);

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A route.
    Door(Door),
    /// A path that does not take the method, and the methods that it takes, as `Allow` names them.
    NoSuchMethod(String),
    /// No route at all.
    Nowhere,
}

impl Doors {
    /// As the description says.
    pub(super) fn of(description: &OpenApi) -> Self {
        let doors = |item: &PathItem| described(item).map(|(method, operation)| (method, operation.into())).collect();
        Self(description.paths.paths.iter().map(|(path, item)| (path.clone(), doors(item))).collect())
    }

    /// Where a request leads.
    pub(super) fn way(&self, request: &Request) -> Way {
        let Some(path) = request.extensions().get::<MatchedPath>() else { return Way::Nowhere };
        self.find(path.as_str(), request.method())
    }

    fn find(&self, path: &str, method: &Method) -> Way {
        // A path that is served and not described has no methods that anybody may use.
        let doors = self.0.get(path).map_or(&[][..], Vec::as_slice);
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        match doors.iter().find(|(taken, _)| taken == method) {
            Some((_, door)) => Way::Door(*door),
            None => Way::NoSuchMethod(allowed(doors)),
        }
    }
}

fn allowed(doors: &[(Method, Door)]) -> String {
    let names = doors.iter().flat_map(|(method, _)| match method {
        &Method::GET => vec!["GET", "HEAD"],
        other => vec![other.as_str()],
    });
    names.collect::<Vec<_>>().join(",")
}

fn described(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let operations = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathsBuilder};
    use utoipa::openapi::{InfoBuilder, OpenApiBuilder};

    use super::*;
    use crate::http::routes;

    fn doors() -> Doors {
        Doors::of(&routes().into_openapi())
    }

    #[test]
    fn every_route_says_who_may() {
        let doors = doors();
        assert!(doors.0.len() > 30, "the routes are found");
        for (path, methods) in &doors.0 {
            for (method, door) in methods {
                assert_ne!(*door, Door::Guarded(Roles::default()), "{method} {path} lets nobody in");
                let is_public = path.starts_with("/health/") || path.starts_with("/docs") || path == "/openapi.json";
                assert_eq!(*door == Door::Open, is_public, "{method} {path}");
            }
        }
    }

    #[test]
    fn what_says_nothing_lets_nobody_in() {
        let silent = PathItem::new(HttpMethod::Get, OperationBuilder::new());
        let paths = PathsBuilder::new().path("/silent", silent);
        let doors = Doors::of(&OpenApiBuilder::new().info(InfoBuilder::new()).paths(paths).build());
        assert_eq!(doors.find("/silent", &Method::GET), Way::Door(Door::Guarded(Roles::default())));
        assert_eq!(doors.find("/hidden", &Method::GET), Way::NoSuchMethod(String::new()));
    }

    #[test]
    fn a_head_is_a_get_and_other_methods_are_told() {
        let doors = doors();
        assert_eq!(doors.find("/health/live", &Method::HEAD), Way::Door(Door::Open));
        let told = |path: &str| doors.find(path, &Method::OPTIONS);
        assert_eq!(told("/register"), Way::NoSuchMethod("POST".to_owned()));
        assert_eq!(told("/v1/imports/{import_id}"), Way::NoSuchMethod("GET,HEAD,DELETE".to_owned()));
    }
}
