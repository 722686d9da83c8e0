//! The program under test: found once, and run to its end for its commands.
//! Never the release build of another checkout: the path comes from the test command or from this workspace.
//! Called by `Installation`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::{HarnessError, Outcome, settings};

/// Where the program is.
///
/// Errors: it is not there, and building it failed.
pub(super) fn find() -> Outcome<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let expected = match env::var_os(settings::BINARY).filter(|path| !path.is_empty()) {
        Some(path) => return existing(PathBuf::from(path)),
        None => built_path(),
    };
    let found = FOUND.get_or_init(|| build().ok().map(|()| expected.clone()));
    existing(found.clone().unwrap_or(expected))
}

fn existing(path: PathBuf) -> Outcome<PathBuf> {
    match path.is_file() {
        true => Ok(path),
        false => Err(HarnessError::NoProgram(path)),
    }
}

/// Beside this test's own binary, which cargo put into `deps` of the same profile's folder.
fn built_path() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.ancestors().nth(2).unwrap_or(Path::new("")).join("tallygate")
}

/// A test started by hand builds the program itself, so that it never tests yesterday's.
fn build() -> Outcome {
    settings::say("building tallygate; `cargo xtask test` would have done it before");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "gateway", "--bin", "tallygate"]);
    let built = built_path();
    if built.parent().is_some_and(|profile| profile.ends_with("release")) {
        command.arg("--release");
    }
    if let Some(target) = built.ancestors().nth(2) {
        command.env("CARGO_TARGET_DIR", target);
    }
    run(command.current_dir(root())).map(drop)
}

/// The repository's root.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a program to its end and gives what it printed.
///
/// Errors: it cannot be started, or does not succeed.
pub(super) fn run(command: &mut Command) -> Outcome<String> {
    let line = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(HarnessError::io(line.clone()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(stdout),
        false => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(HarnessError::Program { line, status: output.status, stdout, stderr })
        }
    }
}
