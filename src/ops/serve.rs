//! `serve`: runs until a signal says to stop, then stops in order.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, AppError};
use crate::config::Serve;
use crate::sample::SAMPLE_CUSTOMER;

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When the service cannot start, or a private server does not stop in order.
pub async fn serve(config: &Serve) -> Result<(), AppError> {
    let asked = asked_to_stop();
    tokio::pin!(asked);
    let app = tokio::select! {
        app = App::start(config) => app?,
        () = &mut asked => return Ok(()),
    };
    announce(config, &app);
    asked.await;
    tracing::info!("stopping: answering what is in flight, then the workers, then the servers");
    app.stop().await
}

/// Completes on SIGINT or SIGTERM.
pub(super) async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be caught: only killing stops this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Says where everything is, and one thing to try.
fn announce(config: &Serve, app: &App) {
    let servers = &app.servers;
    let postgres = if servers.owns_postgres() {
        format!("private PostgreSQL under {}", absolute(&servers.data_dir))
    } else {
        "PostgreSQL of DATABASE_URL".to_owned()
    };
    let fan_out = match (&servers.nats_url, &config.nats_url) {
        (None, _) if servers.owns_postgres() => {
            "no NATS (nats-server is not installed, NATS_URL is not set): workers follow the log directly"
        }
        (None, _) => "no NATS (NATS_URL is not set): workers follow the log directly",
        (Some(_), None) => "private nats-server, JetStream",
        (Some(_), Some(_)) => "NATS of NATS_URL, JetStream",
    };
    println!("data       {postgres}");
    println!("fan-out    {fan_out}");
    let Some(address) = app.address else { return };
    println!("listening  http://{address}");
    let (path, body) = if config.sample_data {
        let body =
            format!(r#"{{"customer_id": {SAMPLE_CUSTOMER}, "loan_amount": 100000, "interest_rate": 8, "tenure": 12}}"#);
        ("check-eligibility", body)
    } else {
        let person = r#""first_name": "Asha", "last_name": "Rao", "age": 30, "phone_number": "9876501234""#;
        ("register", format!(r#"{{{person}, "monthly_income": 50000}}"#))
    };
    println!("try        curl -s http://{address}/{path} -H 'Content-Type: application/json' \\");
    println!("                -d '{body}'");
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
