//! Runs other programs: each with a time limit, each stoppable together with everything it started.
//! Never leaves a program behind, whether it hangs, fails or is interrupted.
//! Called by every task that runs cargo, pip, apt or PostgreSQL.

use std::{
    fmt::Write as _,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGTERM};

use crate::failure::Failure;

/// How often a running program is looked at. Short enough not to be felt, long enough not to cost anything.
const POLL: Duration = Duration::from_millis(20);

/// How long a program may take to end after it was asked to. Test runners stop their tests in that time.
const GRACE: Duration = Duration::from_secs(10);

/// Set once by Ctrl-C, a hang-up or a request to terminate.
static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on Ctrl-C is noted instead of ending this process, so that what was started can be stopped.
///
/// Errors: the operating system refuses a handler.
pub(crate) fn note_interrupts() -> Result<(), Failure> {
    let flag = INTERRUPTED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(Failure::io("handle", format!("signal {signal}")))?;
    }
    Ok(())
}

fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}

/// Runs a command to its end, showing its output.
///
/// Errors: it cannot be started, does not succeed, takes longer than `limit`, or Ctrl-C.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<(), Failure> {
    let line = line_of(command);
    println!("    $ {line}");
    let mut child = spawn(command)?;
    let status = wait(&mut child, &line, limit)?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::Command { line, ending: ending_of(status) }),
    }
}

/// Runs a short command without showing anything and says whether it succeeded.
///
/// Errors: Ctrl-C. A command that cannot be started has not succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool, Failure> {
    /// Asking the package database or an interpreter for one fact.
    const LIMIT: Duration = Duration::from_secs(60);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match spawn(command) {
        Ok(mut child) => match wait(&mut child, &line_of(command), LIMIT) {
            Ok(status) => Ok(status.success()),
            Err(Failure::Interrupted) => Err(Failure::Interrupted),
            Err(_) => Ok(false),
        },
        Err(_) => Ok(false),
    }
}

/// Starts a command in a process group of its own, without input.
///
/// Errors: it cannot be started.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, Failure> {
    let line = line_of(command);
    command.process_group(0).stdin(Stdio::null()).spawn().map_err(Failure::io("start", line))
}

fn wait(child: &mut Child, line: &str, limit: Duration) -> Result<ExitStatus, Failure> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(Failure::io("wait for", line))? {
            return Ok(status);
        }
        if is_interrupted() {
            stop(child, SIGTERM);
            return Err(Failure::Interrupted);
        }
        if started.elapsed() > limit {
            stop(child, SIGTERM);
            return Err(Failure::TimedOut { line: line.to_owned(), limit });
        }
        thread::sleep(POLL);
    }
}

/// Asks a program and all it started to end, and ends them by force when they do not.
pub(crate) fn stop(child: &mut Child, signal: i32) {
    signal_group(child, signal);
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        match child.try_wait() {
            Ok(None) => thread::sleep(POLL),
            Ok(Some(_)) | Err(_) => break,
        }
    }
    // What is left of the group ends here; an empty group makes this a no-op.
    signal_group(child, SIGKILL);
    // Losing the status is right: the caller already knows why it was stopped.
    let _ = child.wait();
}

fn signal_group(child: &Child, signal: i32) {
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: `kill` touches no memory of ours. It reaches only what we started: `spawn` made the child the
        // leader of a group of its own, and the group's id stays taken while any member lives.
        unsafe { libc::kill(-group, signal) };
    }
}

fn ending_of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown ending".to_owned(),
    }
}

/// A command as it would be typed; arguments with unusual characters are quoted.
pub(crate) fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:+,@%".contains(c);
        // Writing to a string cannot fail.
        let _ = match !argument.is_empty() && argument.chars().all(is_plain) {
            true => write!(line, " {argument}"),
            false => write!(line, " '{}'", argument.replace('\'', r"'\''")),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_exit_status_is_a_failure() {
        let second = Duration::from_secs(10);
        assert!(run(&mut shell("exit 0"), second).is_ok());
        let failure = run(&mut shell("exit 3"), second).expect_err("it failed");
        assert_eq!(failure.to_string(), "`sh -c 'exit 3'` failed (exit status 3)");
        assert!(matches!(succeeds(&mut shell("exit 3")), Ok(false)));
        assert!(matches!(succeeds(&mut Command::new("no-such-program")), Ok(false)));
    }

    #[test]
    fn a_command_that_hangs_is_stopped_with_its_children() {
        let started = Instant::now();
        let outcome = run(&mut shell("sleep 60 & sleep 60"), Duration::from_millis(100));
        assert!(matches!(outcome, Err(Failure::TimedOut { .. })));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn lines_can_be_pasted() {
        let mut command = Command::new("cargo");
        command.args(["test", "a b", "", "it's"]);
        assert_eq!(line_of(&command), r"cargo test 'a b' '' 'it'\''s'");
    }
}
