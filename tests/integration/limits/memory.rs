//! A million addresses: what the limits remember of them is bounded, measured in a process that does nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use credit_approval::access::Caller;
use credit_approval::limits::{MAX_SUBJECTS, Verdict};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::process::Command;

use super::limits;
use super::shared::Process;

/// Not optimised, and beside other tests, a million takes its time.
const MEASURED_WITHIN: Duration = Duration::from_secs(300);
const ADDRESSES: u32 = 1_000_000;
const SENDERS: u32 = 8;
/// Without a bound they would take four times as much.
const MAX_MIB: u64 = 40;

/// Memory that this process has resident.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_million_addresses_take_a_bounded_memory() {
    let name = "limits::memory::the_memory_of_a_million_addresses";
    let mut measured = Command::new(std::env::current_exe().expect("this program"));
    measured.args(["--exact", name, "--ignored", "--nocapture"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(MEASURED_WITHIN, measured.output()).await.expect("it ends").expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("MiB for "), "it measured: {said}");
}

/// The database is away, so that only what the process itself remembers is measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process: the test above runs it alone"]
async fn the_memory_of_a_million_addresses() {
    let nowhere = PgConnectOptions::new().host("127.0.0.1").port(1).username("nobody");
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(50)).connect_lazy_with(nowhere);
    let process = Arc::new(Process::start(&limits(10, 10), &pool));
    assert!(matches!(process.check(&Caller::Anonymous).await, Verdict::Granted(_)));
    let before = resident_kib();

    let senders = (0..SENDERS).map(|sender| {
        let process = Arc::clone(&process);
        tokio::spawn(async move {
            for address in (sender..ADDRESSES).step_by(SENDERS as usize) {
                let address = IpAddr::V4(Ipv4Addr::from_bits(0x0100_0000 + address));
                assert!(matches!(process.limits.check(&Caller::Anonymous, address).await, Verdict::Granted(_)));
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.expect("all are answered");
    }

    let mib = resident_kib().saturating_sub(before) / 1024;
    let remembered = process.limits.remembered();
    println!("{mib} MiB for {remembered} of {ADDRESSES} addresses");
    assert!(remembered <= MAX_SUBJECTS, "{remembered} are remembered");
    assert!(remembered > MAX_SUBJECTS / 2, "only {remembered} are remembered: nothing was measured");
    assert!(mib <= MAX_MIB, "{mib} MiB for {remembered}");
}
