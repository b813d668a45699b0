//! What the service does in a second, beside what the machine and the libraries can: `make bench`.
//!
//! Each figure has its limit: a small program on the same libraries that does the bare work and nothing else
//! ([`limits`]), or the library by itself ([`bulk`], [`reference`]). Both work against the same servers, on the same
//! cores, under the same load, turn by turn; what is compared is the ratio, for the machine may be slow or busy.

#![allow(clippy::float_arithmetic, reason = "seconds and ratios, no money")]

mod bulk;
mod chosen;
mod growth;
mod limits;
mod load;
mod process;
mod reference;
mod report;
mod requests;
mod world;

use anyhow::Context;
use clap::Parser;

use self::chosen::{Chosen, Part};
use self::report::Report;
use self::world::World;

fn main() -> anyhow::Result<()> {
    let chosen = Chosen::parse();
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    match &chosen.limit {
        Some(limit) => runtime.block_on(limits::serve(limit)),
        None => runtime.block_on(measure(&chosen)),
    }
}

/// Measures, prints the table, and writes the figures as JSON. The servers are stopped however it ends.
async fn measure(chosen: &Chosen) -> anyhow::Result<()> {
    let world = World::start().await?;
    let measured = tokio::select! {
        measured = of(chosen, &world) => measured,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    world.stop().await?;
    let report = measured?;
    println!("\n{report}");
    report.write(&chosen.json)
}

async fn of(chosen: &Chosen, world: &World) -> anyhow::Result<Report> {
    let mut report = Report::of(world.versions().await?);
    if chosen.has(Part::Reference) {
        reference::measure(chosen, world, &mut report).await?;
    }
    if chosen.has(Part::Requests) {
        requests::measure(chosen, world, &mut report).await?;
    }
    if chosen.has(Part::Bulk) {
        bulk::measure(chosen, world, &mut report).await?;
    }
    if chosen.has(Part::Growth) {
        growth::measure(chosen, world, &mut report).await?;
    }
    Ok(report)
}

async fn interrupted() {
    // Without a signal handler the default one ends the process.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
