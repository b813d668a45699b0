//! How far a command is, for whoever waits for it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(200);

/// A bar with what is being done, counted in units such as `events`.
pub(super) fn bar(what: &'static str, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = format!("{{msg:10}} {{bar:40}} {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(REDRAW);
    bar
}

/// Shows how far it is.
pub(super) fn show(bar: &ProgressBar, done: i64, total: i64) {
    bar.set_length(u64::try_from(total).unwrap_or(0));
    bar.set_position(u64::try_from(done).unwrap_or(0));
}
