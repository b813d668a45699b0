//! The one binary: reads its options, runs one command, and says in one line what went wrong.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use credit_approval::config::{Cli, Command};
use credit_approval::ops;
use credit_approval::telemetry::Telemetry;

/// The system's own cost a fifth of a command's time; musl's, in the image, has one lock for all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was not done by then ends with the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With nobody to read it there is nothing else to be said.
            let _ = writeln!(std::io::stderr(), "credit-approval: {}", in_one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let telemetry = Telemetry::start(&cli.telemetry, runtime.handle())?;
    let outcome = runtime.block_on(run_command(cli.command));
    telemetry.stop();
    // A thread that reads a workbook, or waits for a name to be resolved, ends with the process.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome
}

async fn run_command(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(serve) => Ok(ops::serve::serve(&serve).await?),
        Command::Import(import) => Ok(ops::import::import(&import).await?),
        Command::Generate(generate) => Ok(ops::generate::generate(&generate)?),
        Command::Migrate(store) => Ok(ops::migrate::migrate(&store).await?),
        Command::Rebuild(rebuild) => Ok(ops::rebuild::rebuild(&rebuild).await?),
        Command::Projections(projections) => Ok(ops::projections::projections(&projections).await?),
        Command::Parked(parked) => Ok(ops::projections::parked(&parked).await?),
        Command::Redrive(redrive) => Ok(ops::projections::redrive(&redrive).await?),
        Command::Verify(verify) => Ok(ops::verify::verify(&verify).await?),
        Command::Backtest(backtest) => Ok(ops::backtest::backtest(&backtest).await?),
        Command::Keys(keys) => Ok(ops::keys::keys(&keys).await?),
        Command::Export(export) => Ok(ops::export::export(&export).await?),
        Command::Restore(restore) => Ok(ops::restore::restore(&restore).await?),
        Command::PerfCheck(check) => Ok(ops::perf_check::perf_check(&check).await?),
        Command::Health(health) => Ok(ops::health::health(&health).await?),
        Command::Openapi => {
            ops::openapi::openapi();
            Ok(())
        }
    }
}

/// An error with its causes: `cannot connect to PostgreSQL: connection refused`.
fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}
