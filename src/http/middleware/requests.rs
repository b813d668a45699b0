//! What is counted of requests. Routes are named by their patterns and methods and kinds of problems by what this API
//! knows, so no client can make up another series.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::buckets::latency;
use crate::telemetry::statements::DatabaseUse;

/// The route of what matches none.
pub(super) const NO_ROUTE: &str = "none";
/// The status of a request whose client did not wait for its answer, by a widespread convention.
const CLIENT_GONE: u16 = 499;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProblem {
    kind: &'static str,
}

/// The requests of this process.
#[derive(Debug)]
pub(in crate::http) struct Requests {
    answered: Family<OfAnswer, Counter>,
    took: Family<OfRequest, Histogram, fn() -> Histogram>,
    in_databases: Family<OfRoute, Histogram, fn() -> Histogram>,
    problems: Family<OfProblem, Counter>,
    in_flight: Gauge,
}

impl Requests {
    pub(in crate::http) fn register(registry: &mut Registry) -> Self {
        let requests = Self {
            answered: Family::default(),
            took: Family::new_with_constructor(latency),
            in_databases: Family::new_with_constructor(latency),
            problems: Family::default(),
            in_flight: Gauge::default(),
        };
        let help = "Requests by route and status; 499 where the client did not wait for the answer";
        registry.register("http_requests", help, requests.answered.clone());
        registry.register("http_request_duration_seconds", "Until the answer's head", requests.took.clone());
        let help = "Of a request's time, what its statements took in the databases";
        registry.register("http_request_database_seconds", help, requests.in_databases.clone());
        registry.register(
            "http_problems",
            "Problem documents by kind, the last part of `type`",
            requests.problems.clone(),
        );
        registry.register("http_requests_in_flight", "Requests that are not answered yet", requests.in_flight.clone());
        requests
    }

    pub(super) fn began(&self) {
        self.in_flight.inc();
    }

    pub(super) fn answered(
        &self,
        (method, route): (&'static str, &str),
        status: StatusCode,
        elapsed: Duration,
        used: &DatabaseUse,
    ) {
        let route = route.to_owned();
        self.took.get_or_create(&OfRequest { method, route: route.clone() }).observe(elapsed.as_secs_f64());
        let in_databases = self.in_databases.get_or_create_owned(&OfRoute { route: route.clone() });
        in_databases.observe(used.time().as_secs_f64());
        self.ended(OfAnswer { method, route, status: status.as_u16() });
    }

    pub(super) fn abandoned(&self, (method, route): (&'static str, &str)) {
        self.ended(OfAnswer { method, route: route.to_owned(), status: CLIENT_GONE });
    }

    pub(super) fn problem(&self, kind: &'static str) {
        self.problems.get_or_create(&OfProblem { kind }).inc();
    }

    fn ended(&self, answer: OfAnswer) {
        self.in_flight.dec();
        self.answered.get_or_create(&answer).inc();
    }
}

/// A method's name; those that no route has are one.
pub(super) fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
