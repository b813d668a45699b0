//! `serve`: runs until a signal says to stop, then stops in order.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::{OpsError, say};
use crate::app::{App, Prepared};
use crate::config::Serve;
use crate::sample::SAMPLE_CUSTOMER;
use crate::servers::Servers;

/// Serves until SIGINT, SIGTERM or SIGHUP. Private servers are stopped in order however far the start had come.
///
/// # Errors
/// When the service cannot start, or a private server does not stop in order.
pub async fn serve(config: &Serve) -> Result<(), OpsError> {
    let prepared = Prepared::new(config).await?;
    let asked = asked_to_stop();
    tokio::pin!(asked);
    let servers = tokio::select! {
        servers = Servers::for_serving(&config.store, config.nats_url()) => servers?,
        () = &mut asked => return Ok(()),
    };
    let outcome = tokio::select! {
        app = App::start(config, prepared, &servers) => app.map(Some),
        () = &mut asked => Ok(None),
    };
    let outcome = match outcome {
        Ok(Some(app)) => {
            announce(config, &servers, &app);
            asked.await;
            // Whoever asks again does not want to wait.
            app.drain(asked_to_stop()).await;
            tracing::info!("stopping: answering what is in flight, then the workers, then the servers");
            app.stop().await;
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    let stopped = servers.stop().await;
    outcome?;
    Ok(stopped?)
}

/// Completes on SIGINT, SIGTERM, or SIGHUP, which a closing terminal sends.
pub(super) async fn asked_to_stop() {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)] = signals else {
        tracing::warn!("signals cannot be caught: only killing stops this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

/// Says where everything is, and one thing to try.
fn announce(config: &Serve, servers: &Servers, app: &App) {
    let postgres = if servers.owns_postgres() {
        format!("private PostgreSQL under {}", absolute(&servers.data_dir))
    } else {
        "PostgreSQL of DATABASE_URL".to_owned()
    };
    let fan_out = match (&servers.nats_url, config.nats_url()) {
        (None, _) if servers.owns_postgres() => {
            "no NATS (no nats-server, and NATS_URL is not set): workers follow the log directly"
        }
        (None, _) => "no NATS (NATS_URL is not set): workers follow the log directly",
        (Some(_), None) => "private nats-server, JetStream",
        (Some(_), Some(_)) => "NATS of NATS_URL, JetStream",
    };
    say(format_args!("data       {postgres}"));
    say(format_args!("fan-out    {fan_out}"));
    if let Some(address) = app.probes_address() {
        say(format_args!("probes     http://{address}"));
    }
    let Some(address) = app.address else { return };
    let scheme = config.edge.scheme();
    say(format_args!("listening  {scheme}://{address}"));
    let (path, body) = if config.sample_data {
        let body =
            format!(r#"{{"customer_id": {SAMPLE_CUSTOMER}, "loan_amount": 100000, "interest_rate": 8, "tenure": 12}}"#);
        ("check-eligibility", body)
    } else {
        let person = r#""first_name": "Asha", "last_name": "Rao", "age": 30, "phone_number": "9876501234""#;
        ("register", format!(r#"{{{person}, "monthly_income": 50000}}"#))
    };
    if let Some(path) = &app.key_file {
        let path = path.display();
        say(format_args!("key        every role: -H \"Authorization: Bearer $(cat {path})\""));
    }
    say(format_args!("try        curl -s {scheme}://{address}/{path} -H 'Content-Type: application/json' \\"));
    say(format_args!("                -d '{body}'"));
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
