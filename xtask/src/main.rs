//! `cargo xtask`: one command for each thing a developer or a newcomer does here.
//! Never part of the product: nothing in the workspace depends on it.
//! Run through the alias in the cargo configuration of this repository.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks by printing")]

mod bench;
mod cache;
mod failure;
mod node;
mod packages;
mod postgres;
mod process;
mod python;
mod redis;
mod redis_cluster;
mod test;
mod tidy;
mod train_demo;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Build, run, test and check Tallygate.
///
/// Build output, Python environments and JavaScript packages are kept in the user's cache folder, below `tallygate`, unless
/// CARGO_TARGET_DIR says otherwise. Nothing else outside the repository is written.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build Tallygate and serve the demo model on this machine. Ctrl-C drains and stops.
    Up(up::Up),
    /// Install what the tests need, then run every check and every test.
    Test(test::Test),
    /// Check the house rules that no compiler lint knows. Prints path:line: rule: message.
    Tidy,
    /// Train the demo model again and write its golden logits.
    TrainDemo(train_demo::TrainDemo),
    /// Run every benchmark of the workspace, one after another.
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = repository_root();
    let outcome = match &arguments.command {
        Task::Up(up) => up.run(&root),
        Task::Test(test) => test.run(&root),
        Task::Tidy => tidy::run(&root),
        Task::TrainDemo(train) => train.run(&root),
        Task::Bench(bench) => bench.run(&root),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            // As a shell reports a program that Ctrl-C ended.
            if matches!(failure, Failure::Interrupted) { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

/// The folder that holds the workspace: the parent of this package.
fn repository_root() -> PathBuf {
    // Cargo's word at run time goes first: two clones that share a build folder share this binary too.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(repository_root().join("xtask/src/main.rs").is_file());
    }
}
