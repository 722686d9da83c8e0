//! `tallygate routes`: the table of routes, for the tests that walk it.
//! Never asks a server: the table is part of the program.
//! Called by `Cli::run`; hidden from the help, as operators have no use for it.

use clap::{Args, ValueEnum};

use super::{CliError, out};
use crate::{
    config::Role,
    http::{
        node,
        routes::{self, RouteView},
    },
};

/// What to print.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Arguments {
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The table of the port of this role: engine, or gateway and all, which have the same.
    #[arg(long, default_value_t = Role::All)]
    role: Role,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Prints every route, one a line.
///
/// Errors: none in practice; a row always becomes JSON.
pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let views: Vec<_> = match arguments.role {
        Role::All | Role::Gateway => routes::views().collect(),
        Role::Engine => node::routes::views().collect(),
    };
    match arguments.format {
        Format::Text => {
            let rows: Vec<_> = views.into_iter().map(cells).collect();
            out::table(["METHOD", "PATH", "FORM", "ACCESS", "SCOPE"], &rows);
        }
        Format::Json => {
            for view in views {
                let line = serde_json::to_string(&view);
                out::say(&line.map_err(|error| CliError::Usage(format!("route {}: {error}", view.path)))?);
            }
        }
    }
    Ok(())
}

fn cells(view: RouteView) -> [String; 5] {
    let RouteView { method, path, dialect, access, scope, is_billed: _ } = view;
    [method, path, dialect, access, scope.unwrap_or("-")].map(str::to_owned)
}
