//! `tallygate plan`: what requests cost and which latency is promised.
//! Never changes a published version: prices that were charged stay what they were.
//! Called by `Cli::run`.

mod simulate;

use std::{fs, path::PathBuf};

use billing::{
    ledger::{Ledger, Published},
    plan::Plan,
};
use clap::Subcommand;
use domain::{Clock as _, Micros, PlanVersionId, SystemClock};

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a plan file and say what is wrong, without publishing it.
    Check {
        /// The plan (TOML).
        file: PathBuf,
    },
    /// Publish a plan version; it never changes afterwards.
    Publish {
        /// The plan (TOML).
        file: PathBuf,
    },
    /// Show where two plans differ, term by term.
    Diff {
        /// A plan: a file (TOML), or a published version as NAME@VERSION.
        before: String,
        /// The other one.
        after: String,
        /// End with status 1 when they differ.
        #[arg(long)]
        exit_code: bool,
    },
    /// Show what past usage would have cost under another plan. Nothing is written.
    Simulate(simulate::Arguments),
    /// List all published versions.
    List,
    /// Print a published version as it was published.
    Show {
        /// The version, as NAME@VERSION.
        plan: PlanVersionId,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    match command {
        Command::Check { file } => {
            let plan = read(&file)?;
            out::say(&format!("{}: plan {} is good", file.display(), plan.id()));
            doubt(&plan);
        }
        Command::Publish { file } => {
            let plan = read(&file)?;
            let published =
                open::existing_ledger(config).await?.publish_plan(&plan, SystemClock.now()).await?;
            out::say(&match published {
                Published::New => format!("published plan {}", plan.id()),
                Published::Already => format!("plan {} was published before with these terms", plan.id()),
            });
            doubt(&plan);
        }
        Command::Diff { before, after, exit_code } => {
            let differing = diff(&named(config, &before).await?, &named(config, &after).await?);
            if exit_code && differing > 0 {
                return Err(CliError::Usage(format!("{differing} terms differ")));
            }
        }
        Command::Simulate(arguments) => simulate::run(config, arguments).await?,
        Command::List => list(&open::existing_ledger(config).await?.plans().await?),
        Command::Show { plan } => {
            out::give(published(&open::existing_ledger(config).await?, &plan).await?.source());
        }
    }
    Ok(())
}

/// Tells what a plan says that may not be meant.
fn doubt(plan: &Plan) {
    for doubt in plan.doubts() {
        out::complain(&format!("is this meant? {doubt}"));
    }
}

async fn published(ledger: &Ledger, id: &PlanVersionId) -> Result<Plan, CliError> {
    let missing = || CliError::Usage(format!("there is no plan {id}; `tallygate plan list` shows all"));
    ledger.find_plan(id).await?.ok_or_else(missing)
}

/// A plan by its file, or by its id where there is no such file and it looks like one.
async fn named(config: &Config, text: &str) -> Result<Plan, CliError> {
    let file = PathBuf::from(text);
    match text.parse::<PlanVersionId>() {
        Ok(id) if text.contains('@') && !file.exists() => {
            published(&open::existing_ledger(config).await?, &id).await
        }
        Ok(_) | Err(_) => read(&file),
    }
}

/// Prints every term that differs, and says how many do.
fn diff(before: &Plan, after: &Plan) -> usize {
    let changes = before.changes_to(after);
    if changes.is_empty() {
        out::say(&format!("{} and {} have the same terms", before.id(), after.id()));
        return 0;
    }
    let absent = || "-".to_owned();
    let rows: Vec<_> = changes
        .into_iter()
        .map(|change| {
            [change.term, change.before.unwrap_or_else(absent), change.after.unwrap_or_else(absent)]
        })
        .collect();
    out::table(["TERM", before.id().as_str(), after.id().as_str()], &rows);
    rows.len()
}

fn read(file: &PathBuf) -> Result<Plan, CliError> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| CliError::Io { what: name.clone(), source })?;
    Ok(Plan::from_text(&name, &text)?)
}

fn list(plans: &[Plan]) {
    let target = |span: Option<Micros>| {
        span.map_or_else(|| "-".to_owned(), |span| format!("{} ms", span.to_duration().as_millis()))
    };
    let rows: Vec<_> = plans
        .iter()
        .map(|plan| {
            let slo = plan.slo();
            [
                plan.id().to_string(),
                plan.currency().to_string(),
                slo.class.to_string(),
                target(slo.ttft),
                target(slo.tpot),
                plan.prices().iter().map(|price| price.model()).collect::<Vec<_>>().join(","),
                plan.charges().iter().map(|charge| charge.name.as_str()).collect::<Vec<_>>().join(","),
            ]
        })
        .collect();
    out::table(["PLAN", "CURRENCY", "SLO CLASS", "TTFT", "TPOT", "MODELS", "CHARGES"], &rows);
}
