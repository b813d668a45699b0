//! The table of figures, limits and ratios, and the same as JSON.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: String,
    rows: Vec<Row>,
    /// What has no limit of its own: figures to set the others beside.
    notes: Vec<Note>,
}

/// A piece of work and its limit.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) limit_of: String,
    /// Medians a second, over the rounds.
    pub(crate) ours: f64,
    pub(crate) limit: f64,
    /// The share of the limit that is to be reached.
    pub(crate) wanted: f64,
    pub(crate) latency: Option<Latency>,
    pub(crate) limit_latency: Option<Latency>,
    /// MiB of ours.
    pub(crate) memory: Option<f64>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// A figure by itself.
#[derive(Debug, Serialize)]
struct Note {
    what: String,
    figure: f64,
    unit: &'static str,
}

impl Latency {
    /// Of microseconds.
    pub(crate) fn of(latencies: &Histogram<u64>) -> Self {
        let milliseconds = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: milliseconds(0.5), p99: milliseconds(0.99) }
    }
}

impl Report {
    pub(crate) const fn of(machine: String) -> Self {
        Self { machine, rows: Vec::new(), notes: Vec::new() }
    }

    /// Takes a row in, and says so: a run takes long.
    pub(crate) fn push(&mut self, row: Row) {
        eprintln!("{}: {:.0} of {:.0} ({:.0} %)", row.work, row.ours, row.limit, 100.0 * row.ours / row.limit);
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, what: impl Into<String>, figure: f64, unit: &'static str) {
        let what = what.into();
        eprintln!("{what}: {figure:.1} {unit}");
        self.notes.push(Note { what, figure, unit });
    }

    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?).with_context(|| path.display().to_string())
    }
}

/// The middle one; of an even number, the mean of the two.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match (figures.len() % 2, figures.get(middle), middle.checked_sub(1).and_then(|below| figures.get(below))) {
        (0, Some(above), Some(below)) => f64::midpoint(*above, *below),
        (_, Some(figure), _) => *figure,
        (_, None, _) => f64::NAN,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        if !self.rows.is_empty() {
            writeln!(
                f,
                "| work | a second | limit | its figure | ratio | wanted | p50 ms | p99 ms | limit's p99 | MiB |"
            )?;
            writeln!(f, "| --- | --: | --- | --: | --: | --: | --: | --: | --: | --: |")?;
        }
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\n| by itself | figure |\n| --- | --: |")?;
        }
        for Note { what, figure, unit } in &self.notes {
            writeln!(f, "| {what} | {figure:.1} {unit} |")?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = |figure: Option<f64>, digits| figure.map_or_else(String::new, |it| format!("{it:.digits$}"));
        let Self { work, ours, limit_of, limit, wanted, latency, limit_latency, memory } = self;
        write!(
            f,
            "| {work} | {ours:.0} | {limit_of} | {limit:.0} | {:.0} % | {:.0} % ",
            100.0 * ours / limit,
            100.0 * wanted
        )?;
        let p50 = optional(latency.map(|latency| latency.p50), 2);
        let p99 = optional(latency.map(|latency| latency.p99), 2);
        let limit_p99 = optional(limit_latency.map(|latency| latency.p99), 2);
        write!(f, "| {p50} | {p99} | {limit_p99} | {} |", optional(*memory, 0))
    }
}
