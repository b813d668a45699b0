//! What is done once this process has ended, however it has.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

/// Starts a shell script that outlives this process. It waits for its end by `cat`, which reads what never comes.
#[allow(clippy::zombie_processes, reason = "the cleaner outlives this process; that is its purpose")]
pub(crate) fn clean_up_afterwards(script: &str, arguments: &[&OsStr]) {
    let mut cleaner = Command::new("sh")
        .args(["-c", script, "clean-up"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts");
    let mut pipe = cleaner.stdin.take().expect("the pipe is there");
    pipe.flush().expect("the pipe takes nothing");
    // Open until this process ends, however it ends; then the cleaner's `cat` does.
    std::mem::forget(pipe);
}
