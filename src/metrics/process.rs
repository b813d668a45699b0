//! What this process takes of its machine, read from `/proc` when Prometheus asks; where there is none, it is not told.

use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// What `/proc` counts time in: Linux tells it so whatever its own tick is.
const MILLISECONDS_PER_TICK: u64 = 10;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBuild {
    version: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let build = Family::<OfBuild, Gauge>::default();
    build.get_or_create(&OfBuild { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("build_info", "1, for the version that runs", build);
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, value: Option<i64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Memory that the process has in RAM", resident_bytes())?;
        gauge("process_open_fds", "Files and sockets that the process has open", open_files())?;
        let Some(cpu) = cpu_time() else { return Ok(()) };
        let cpu = ConstCounter::new(cpu.as_secs_f64());
        let help = "Time that the process has spent on processors";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kilobytes.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    // Reading the directory holds one open itself.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.checked_sub(1)
}

/// In user and kernel mode: the 14th and 15th field, counted behind the name in parentheses, which may hold anything.
fn cpu_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let total = ticks.next()?.ok()?.checked_add(ticks.next()?.ok()?)?;
    Some(Duration::from_millis(total.checked_mul(MILLISECONDS_PER_TICK)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_process_is_seen() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        let (before, file) = (open_files().unwrap(), fs::File::open("/proc/self/stat").unwrap());
        // Other tests of the process open files, too; this one is open for sure.
        assert!(open_files().is_some_and(|open| open > 2) && before > 2);
        drop(file);
        let (began, cpu) = (Instant::now(), cpu_time().unwrap());
        while began.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        assert!(cpu_time().is_some_and(|now| now > cpu));
    }
}
