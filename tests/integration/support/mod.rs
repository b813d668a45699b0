//! What the tests share: the run's servers, a service for each test, and a client.

pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod servers;

pub(crate) use app::TestApp;
pub(crate) use client::{Answer, Client};
