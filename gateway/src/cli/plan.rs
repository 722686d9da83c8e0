//! `tallygate plan`: what requests cost and which latency is promised.
//! Never changes a published version: prices that were charged stay what they were.
//! Called by `Cli::run`.

use std::{fs, path::PathBuf};

use billing::{ledger::Published, plan::Plan};
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
        }
        Command::Publish { file } => {
            let plan = read(&file)?;
            let published =
                open::existing_ledger(config).await?.publish_plan(&plan, SystemClock.now()).await?;
            out::say(&match published {
                Published::New => format!("published plan {}", plan.id()),
                Published::Already => format!("plan {} was published before with these terms", plan.id()),
            });
        }
        Command::List => list(&open::existing_ledger(config).await?.plans().await?),
        Command::Show { plan } => {
            let found = open::existing_ledger(config).await?.find_plan(&plan).await?;
            let missing =
                || CliError::Usage(format!("there is no plan {plan}; `tallygate plan list` shows all"));
            out::give(found.ok_or_else(missing)?.source());
        }
    }
    Ok(())
}

fn read(file: &PathBuf) -> Result<Plan, CliError> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| CliError::Io { what: name.clone(), source })?;
    Ok(Plan::from_toml(&name, &text)?)
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
            ]
        })
        .collect();
    out::table(["PLAN", "CURRENCY", "SLO CLASS", "TTFT", "TPOT", "MODELS"], &rows);
}
