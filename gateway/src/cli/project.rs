//! `tallygate project`: departments and purposes within a tenant.
//! Never deletes and never moves: usage and invoices name projects.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{Ledger, NewProject, Project, Tenant};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{
    CliError,
    limit::{LimitArguments, limit_cells},
    open, out,
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a project, at the top or below one that is there.
    Create {
        /// The tenant's name or id.
        tenant: String,
        /// Its path: `research`, or `research/nlp` below `research`. At most eight levels.
        path: String,
        #[command(flatten)]
        limits: LimitArguments,
    },
    /// List a tenant's projects, disabled ones included.
    List {
        /// The tenant's name or id.
        tenant: String,
    },
    /// Refuse all requests of its keys, and of those of projects below, from now on.
    Disable {
        /// The tenant's name or id.
        tenant: String,
        /// The project's path or id.
        project: String,
    },
    /// Accept the requests of a disabled project's keys again.
    Enable {
        /// The tenant's name or id.
        tenant: String,
        /// The project's path or id.
        project: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Create { tenant, path, limits } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let project = create(&ledger, &tenant, &path, &limits).await?;
            out::say(&format!("created project {} ({}) of tenant {}", project.path, project.id, tenant.name));
            out::say(&format!("next: tallygate key create {} --project {}", tenant.name, project.path));
        }
        Command::List { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            list(&ledger.projects(tenant.id).await?);
        }
        Command::Disable { tenant, project } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let project = open::project(&ledger, &tenant, &project).await?;
            ledger.disable_project(tenant.id, project.id, SystemClock.now()).await?;
            out::say(&format!("disabled project {} and all below it", project.path));
        }
        Command::Enable { tenant, project } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let project = open::project(&ledger, &tenant, &project).await?;
            ledger.enable_project(tenant.id, project.id).await?;
            out::say(&format!("enabled project {}", project.path));
        }
    }
    Ok(())
}

async fn create(
    ledger: &Ledger,
    tenant: &Tenant,
    path: &str,
    limits: &LimitArguments,
) -> Result<Project, CliError> {
    let (parent_id, name) = match path.rsplit_once('/') {
        Some((parent, name)) => (Some(open::project(ledger, tenant, parent).await?.id), name),
        None => (None, path),
    };
    let new = NewProject { name, parent_id, limits: limits.to_limits()? };
    Ok(ledger.create_project(tenant.id, &new, SystemClock.now()).await?)
}

fn list(projects: &[Project]) {
    let rows: Vec<_> = projects
        .iter()
        .map(|project| {
            let [requests, tokens, daily, concurrency, budget] = limit_cells(&project.limits);
            let state = if project.disabled_at.is_some() { "disabled" } else { "active" }.to_owned();
            [
                project.path.clone(),
                requests,
                tokens,
                daily,
                concurrency,
                budget,
                state,
                project.id.to_string(),
            ]
        })
        .collect();
    let headings =
        ["PROJECT", "REQUESTS/MIN", "TOKENS/MIN", "REQUESTS/DAY", "CONCURRENCY", "BUDGET", "STATE", "ID"];
    out::table(headings, &rows);
}
