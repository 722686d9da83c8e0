//! What the tests need from the operating system, and why.
//! Never installs anything without being root, and never names where packages come from.
//! Called by `cargo xtask test`.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command, time::Duration};

use crate::{failure::Failure, process};

/// A Debian package the tests need.
struct Package {
    name: &'static str,
    /// A program that will do when it came another way, as Node often does.
    program: Option<&'static str>,
    why: &'static str,
}

const PACKAGES: [Package; 8] = [
    package("git", None, "the house rules look at the files git tracks"),
    package("postgresql", None, "the ledger is tested on a real PostgreSQL as well as on SQLite"),
    package(
        "redis-server",
        None,
        "limits that gateways share are tested on a real Redis as well as in process",
    ),
    package("python3", None, "the gateway is tested with the published Python clients"),
    package("python3-venv", None, "the Python clients are installed into an environment of their own"),
    package("curl", Some("curl"), "the gateway is tested with curl"),
    package("nodejs", Some("node"), "the gateway is tested with the published JavaScript clients"),
    package("npm", Some("npm"), "the JavaScript clients are installed into a folder of their own"),
];

const fn package(name: &'static str, program: Option<&'static str>, why: &'static str) -> Package {
    Package { name, program, why }
}

/// A mirror may be slow; a package manager that takes longer than this waits for something that will not come.
const APT_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Makes sure that every package is there.
///
/// Errors: packages are missing and this is not root, `may_install` is false, or apt fails.
pub(crate) fn ensure(may_install: bool) -> Result<(), Failure> {
    if !process::succeeds(Command::new("dpkg").arg("--version"))? {
        println!(
            "    no dpkg here: expecting git, PostgreSQL, Redis, Python 3 with venv, curl and Node with npm"
        );
        return Ok(());
    }
    let mut missing = Vec::new();
    for Package { name, program, why } in PACKAGES {
        let is_there = match program {
            Some(program) => process::succeeds(Command::new(program).arg("--version"))?,
            None => process::succeeds(Command::new("dpkg").args(["-s", name]))?,
        };
        if is_there {
            println!("    {name}: installed");
        } else {
            println!("    {name}: missing ({why})");
            missing.push(name);
        }
    }
    match (missing.is_empty(), may_install && is_root()) {
        (true, _) => Ok(()),
        (false, true) => install(&missing),
        (false, false) => Err(Failure::Missing {
            what: missing.join(", "),
            remedy: format!(
                "run `sudo apt-get update && sudo apt-get {}`",
                install_arguments(&missing).join(" ")
            ),
        }),
    }
}

fn install(missing: &[&str]) -> Result<(), Failure> {
    process::run(apt_get().arg("update"), APT_LIMIT)?;
    process::run(apt_get().args(install_arguments(missing)), APT_LIMIT)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn install_arguments<'a>(missing: &[&'a str]) -> Vec<&'a str> {
    ["install", "-y", "--no-install-recommends"].into_iter().chain(missing.iter().copied()).collect()
}

/// Whether this process has all rights.
pub(crate) fn is_root() -> bool {
    fs::metadata(Path::new("/proc/self")).is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_line_is_the_line_that_runs() {
        let arguments = install_arguments(&["postgresql", "python3-venv"]).join(" ");
        assert_eq!(arguments, "install -y --no-install-recommends postgresql python3-venv");
    }
}
