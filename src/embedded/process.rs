//! One child process, and processes of earlier runs.
//!
//! Purpose: spawn a server so that it dies with us and with nobody else, tell whether a recorded process id is
//! still the server it was, and end a process within a bound.
//!
//! Must not know: which server it is, or when it should be restarted.
//!
//! Why: a process id in a file is a claim, not a fact: after a reboot or in a container it is somebody else's.
//! Nothing is signalled here before its command line has been looked at.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::Account;
use super::error::EmbeddedError;

/// How often an ending process is looked at.
const ENDING_POLL: Duration = Duration::from_millis(10);
/// What a server gets of our environment: the rest may hold secrets, or `PG*` settings meant for clients.
const PASSED_ON: [&str; 4] = ["PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// A signal, and how long to wait for its effect before the next, harsher one.
pub(super) type Step = (Signal, Duration);

/// A command for `program` run as `account`: no input, a clean environment, the root as its directory (ours may
/// be closed to the account), and a process group of its own, because Ctrl-C in a terminal goes to the whole
/// group and would hit the servers before our ordered shutdown does.
///
/// It gets `death_signal` when the THREAD that spawns it ends (Linux), so it is spawned by a thread that lives
/// as long as it should: never by a pool's.
pub(super) fn command(program: &Path, account: Option<&Account>, death_signal: Signal) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).current_dir("/").process_group(0);
    command.env("LC_ALL", "C");
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    die_with_us(&mut command, death_signal);
    command
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_us(command: &mut Command, death_signal: Signal) {
    let us = nix::unistd::getpid();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(death_signal)?;
        // We may have died before the child asked: then nobody is left to send it the signal.
        if nix::unistd::getppid() == us { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: `ask` runs in the child between fork and exec, where only async-signal-safe calls are allowed. It
    // makes two system calls (prctl, getppid), takes no lock and allocates nothing, its error path included.
    // Changing user clears the setting, and std changes user before it calls this.
    unsafe { command.pre_exec(ask) };
}

/// Elsewhere a server that outlives us is found and stopped at the next start.
#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut Command, _death_signal: Signal) {}

/// Ends a child with the signals of `steps` in turn. Says which step it took, `None` if even the last failed.
pub(super) fn end(child: &mut Child, steps: &[Step]) -> Option<(usize, ExitStatus)> {
    for (step, (signal, patience)) in steps.iter().enumerate() {
        // A child that has not been waited for keeps its id, so this cannot hit a stranger.
        send(child.id(), *signal);
        let begun = Instant::now();
        while begun.elapsed() < *patience {
            if let Ok(Some(status)) = child.try_wait() {
                return Some((step, status));
            }
            thread::sleep(ENDING_POLL);
        }
    }
    None
}

/// Ends a process of an earlier run, as long as it is `program` working on `on`. True once it is gone.
pub(super) fn end_leftover(pid: u32, program: &str, on: &Path, steps: &[Step]) -> bool {
    for (signal, patience) in steps {
        if !is_running(pid, program, on) {
            return true;
        }
        send(pid, *signal);
        let begun = Instant::now();
        while begun.elapsed() < *patience && is_running(pid, program, on) {
            thread::sleep(ENDING_POLL);
        }
    }
    !is_running(pid, program, on)
}

/// Whether `pid` is `program` working on the file or directory `on`, by its command line. A zombie has none.
pub(super) fn is_running(pid: u32, program: &str, on: &Path) -> bool {
    let Some(line) = command_line(pid) else { return false };
    let named = program_name(&line) == program.as_bytes();
    named && (contains(&line, on.as_os_str().as_encoded_bytes()) || works_in(pid, on))
}

/// Whether a process of this id exists, whoever's it is.
pub(super) fn exists(pid: u32) -> bool {
    raw(pid).is_some_and(|pid| kill(pid, None) != Err(nix::errno::Errno::ESRCH))
}

/// Sends a signal; a process that is gone has what it needs.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = raw(pid) {
        let _ = kill(pid, signal);
    }
}

/// Whether `pid` is certainly not `program` working on `on`: another program, a zombie, or the same program told
/// to work on another directory. What cannot be told is no.
pub(super) fn is_stranger(pid: u32, program: &str, on: &Path) -> bool {
    let Some(line) = command_line(pid) else { return false };
    if program_name(&line) != program.as_bytes() {
        return true;
    }
    let mut arguments = line.split(|byte| *byte == 0).skip_while(|argument| *argument != b"-D").skip(1);
    let elsewhere = arguments.next().map(|dir| Path::new(OsStr::from_bytes(dir)));
    elsewhere.is_some_and(|dir| dir.is_absolute() && dir.canonicalize().is_ok_and(|dir| dir != on))
}

/// Processes of `program` with `mark` in their command lines, which anybody may read (a working directory takes
/// a privilege that root lacks in containers). Empty where there is no `/proc` to ask.
pub(super) fn marked(program: &str, mark: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(Result::ok).filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let named = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == program);
        named && command_line(*pid).is_some_and(|line| contains(&line, mark.as_bytes()))
    })
    .collect()
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len().max(1)).any(|part| part == wanted)
}

fn works_in(pid: u32, dir: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == dir)
}

/// Only ids above 1: 0 and the negative ones that a large number would turn into name whole groups.
fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

#[cfg(target_os = "linux")]
fn command_line(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok()
}

#[cfg(not(target_os = "linux"))]
fn command_line(pid: u32) -> Option<Vec<u8>> {
    let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    Some(output.stdout)
}

/// The file name of a command line's first word.
fn program_name(line: &[u8]) -> &[u8] {
    let first = line.split(|byte| matches!(byte, 0 | b' ' | b'\n')).next().unwrap_or_default();
    first.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether a helper program succeeded, within `patience`; the status is `None` when it took longer.
pub(super) fn run(
    command: &mut Command,
    patience: Duration,
    mut cancelled: impl FnMut() -> bool,
) -> Result<Option<ExitStatus>, EmbeddedError> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_os_string).unwrap_or_default();
    let mut child = command.spawn().map_err(EmbeddedError::io(format!("run {}", name.display())))?;
    let begun = Instant::now();
    loop {
        let status = child.try_wait().map_err(EmbeddedError::io(format!("wait for {}", name.display())))?;
        if status.is_some() {
            return Ok(status);
        }
        if begun.elapsed() > patience || cancelled() {
            end(&mut child, &[(Signal::SIGINT, Duration::from_secs(5)), (Signal::SIGKILL, Duration::from_secs(5))]);
            return Ok(None);
        }
        thread::sleep(ENDING_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::{exists, is_running, is_stranger, program_name};
    use std::path::Path;

    #[test]
    fn the_program_is_the_first_words_file_name() {
        assert_eq!(program_name(b"/usr/lib/postgresql/15/bin/postgres\0-D\0/data\0"), b"postgres");
        assert_eq!(program_name(b"postgres: credit credit_approval [local] idle\0"), b"postgres:");
        assert_eq!(program_name(b"nats-server -c x\n"), b"nats-server");
        assert_eq!(program_name(b""), b"");
    }

    #[test]
    fn a_stranger_with_the_recorded_id_is_not_taken_for_a_server() {
        let us = std::process::id();
        assert!(exists(us));
        assert!(!is_running(us, "postgres", Path::new("/")));
        assert!(is_stranger(us, "postgres", Path::new("/")));
        assert!(!is_stranger(u32::MAX, "postgres", Path::new("/")), "nobody is no stranger");
        assert!(!exists(0) && !exists(1) && !exists(u32::MAX));
    }
}
