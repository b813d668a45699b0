//! What a process tells of itself: its log and its traces. Every command has these options.

use clap::{Args, ValueEnum};

/// The log and the traces.
#[derive(Debug, Clone, Args)]
pub struct Telemetry {
    /// How the log is written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty, global = true)]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module (`info,sqlx::query=debug` shows every statement).
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx::postgres::notice=warn,async_nats=warn",
        global = true,
        value_name = "FILTER"
    )]
    pub log_filter: String,
    /// Where traces go.
    #[command(flatten)]
    pub traces: Traces,
}

/// Where traces go, and which. The other variables that OpenTelemetry names for its exporter and its resource
/// (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`) have the meaning that it gives them.
#[derive(Debug, Clone, Args)]
pub struct Traces {
    /// OpenTelemetry collector that takes traces by OTLP over HTTP, at /v1/traces below it; without it none are made.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, value_name = "URL", value_parser = collector)]
    pub otel_exporter_otlp_endpoint: Option<Collector>,
    /// The service that traces are said to be of.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "credit-approval", global = true, value_name = "NAME")]
    pub otel_service_name: String,
    /// Which requests are traced; where a client says whether its own trace is, the parent-based ones follow it.
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, default_value_t = Sampler::ParentbasedAlwaysOn, global = true)]
    pub otel_traces_sampler: Sampler,
    /// The part of all traces that the samplers by trace id keep, from 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, global = true, value_name = "RATIO",
          value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,
}

impl Traces {
    /// The collector, where one is named.
    #[must_use]
    pub fn collector(&self) -> Option<&str> {
        self.otel_exporter_otlp_endpoint.as_ref().map(|Collector(url)| url.as_str()).filter(|url| !url.is_empty())
    }
}

/// An address of a collector; an empty one, as a variable may be, is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(String);

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Which traces are kept, by OpenTelemetry's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sampler {
    /// Every one.
    #[value(name = "always_on")]
    AlwaysOn,
    /// None.
    #[value(name = "always_off")]
    AlwaysOff,
    /// Some, told by their ids.
    #[value(name = "traceidratio")]
    Traceidratio,
    /// Those that the client keeps, and all that begin here.
    #[value(name = "parentbased_always_on")]
    ParentbasedAlwaysOn,
    /// Those that the client keeps, and none that begin here.
    #[value(name = "parentbased_always_off")]
    ParentbasedAlwaysOff,
    /// Those that the client keeps, and some of those that begin here.
    #[value(name = "parentbased_traceidratio")]
    ParentbasedTraceidratio,
}

fn collector(url: &str) -> Result<Collector, String> {
    let is_http = |url: reqwest::Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    if url.is_empty() || url.parse().is_ok_and(is_http) {
        Ok(Collector(url.trim_end_matches('/').to_owned()))
    } else {
        Err("must be an http or https address such as http://collector:4318".to_owned())
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        telemetry: Telemetry,
    }

    fn traces(arguments: &[&str]) -> Option<Traces> {
        let cli = Cli::try_parse_from(["test"].iter().chain(arguments));
        cli.ok().map(|cli| cli.telemetry.traces)
    }

    #[test]
    fn a_collector_is_an_address_or_nothing() {
        let collector =
            |url| traces(&["--otel-exporter-otlp-endpoint", url]).map(|it| it.collector().map(str::to_owned));
        assert_eq!(collector("http://127.0.0.1:4318/"), Some(Some("http://127.0.0.1:4318".to_owned())));
        assert_eq!(collector("https://otel.example/in"), Some(Some("https://otel.example/in".to_owned())));
        assert_eq!(collector(""), Some(None));
        for wrong in ["collector", "ftp://collector", "unix:/run/otel"] {
            assert_eq!(collector(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_sampler_has_the_name_that_open_telemetry_gives_it() {
        let names: Vec<_> =
            Sampler::value_variants().iter().map(|it| it.to_possible_value().unwrap().get_name().to_owned()).collect();
        let known = ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off"];
        assert_eq!(names, [&known[..], &["parentbased_traceidratio"]].concat());
        assert!(traces(&["--otel-traces-sampler-arg", "0.25"]).is_some_and(|it| it.otel_traces_sampler_arg == 0.25));
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(traces(&[&format!("--otel-traces-sampler-arg={wrong}")]).is_none(), "{wrong}");
        }
    }
}
