//! The program `tallygate`.
//! Never holds logic: it reads the command line and hands over to `gateway::cli`.
//! Started by a person, a container or `cargo xtask up`.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    gateway::cli::Cli::parse().run()
}
