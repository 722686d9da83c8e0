//! The commands of the program, one module each.
//! Never computes money or measures: commands call `billing` and the gateway's parts and print what they say.
//! Called by `main`.

mod audit;
mod backup;
mod balance;
mod check;
mod credits;
mod database;
mod expired;
mod export;
mod grant;
mod invoice;
mod invoicing;
mod issued;
mod key;
mod limit;
mod listen;
mod meters;
mod months;
mod node;
mod node_key;
mod open;
mod operator;
mod out;
mod pair;
mod parties;
mod partitions;
mod plan;
mod project;
mod rebuild_tallies;
mod reconcile;
mod routes;
mod serve;
mod start;
mod statement;
mod statement_key;
mod stripe;
mod subscription;
mod tenant;
mod usage;
mod verify;
mod verify_journal;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Role, Source};

/// Why a command did not do its work: one line for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The ledger did not do what was asked.
    #[error(transparent)]
    Ledger(#[from] billing::ledger::LedgerError),
    /// The journal did not open or close.
    #[error("journal: {0}")]
    Journal(#[from] billing::journal::JournalError),
    /// The journal is not what it should be.
    #[error("journal: {0}")]
    Verify(#[from] billing::journal::VerifyError),
    /// An engine did not start.
    #[error("model {model}: {source}")]
    Engine {
        /// Which model.
        model: domain::ModelName,
        /// Why.
        source: engine::EngineError,
    },
    /// A backend cannot be used.
    #[error(transparent)]
    Backend(#[from] crate::dispatch::BackendError),
    /// A plan file is wrong.
    #[error(transparent)]
    Plan(#[from] billing::plan::PlanError),
    /// A period is wrong.
    #[error(transparent)]
    Period(#[from] domain::PeriodError),
    /// The keys and tenants could not be read.
    #[error(transparent)]
    Snapshot(#[from] crate::authenticate::SnapshotError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] crate::authenticate::key::RandomError),
    /// A file or socket.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with its place.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something named on the command line does not exist or does not fit.
    #[error("{0}")]
    Usage(String),
}

/// A gateway that turns GPU time into revenue that can be proved.
///
/// Serves OpenAI-compatible chat completions from its own engine, meters the tokens and joules of every
/// request, and turns goodput into invoices.
#[derive(Debug, Parser)]
#[command(name = "tallygate", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file (TOML). Variables TALLYGATE__SECTION__FIELD override it.
    #[arg(long, short, global = true, value_name = "FILE", env = "TALLYGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests until told to stop; Ctrl-C lets running streams end.
    Serve(RoleArguments),
    /// Check the configuration, the models, the journal and the ledger, and say what is wrong.
    Check(RoleArguments),
    /// Make the keys by which engine nodes know a gateway.
    #[command(subcommand)]
    NodeKey(node_key::Command),
    /// Create, list and change tenants.
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Begin, show, pause, resume and cancel subscriptions.
    #[command(subcommand)]
    Subscription(subscription::Command),
    /// Create, list and switch off operators, who use the admin API.
    #[command(subcommand)]
    Operator(operator::Command),
    /// Create, list, change, rotate, switch off and revoke API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Create, list and switch off projects: departments and purposes within a tenant.
    #[command(subcommand)]
    Project(project::Command),
    /// Set and list limits and budgets of tenants, projects and keys.
    #[command(subcommand)]
    Limit(limit::Command),
    /// Give tenants money to spend, and list what they were given.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Show what is left of a tenant's grants, which of them paid for what, and prove it from the raw records.
    #[command(subcommand)]
    Balance(balance::Command),
    /// Tell URLs of events, rotate their secrets, and list what became of each delivery.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Bill tenants through Stripe, make pages for them there, and show what is still to be done there.
    #[command(subcommand)]
    Stripe(stripe::Command),
    /// Check, publish and show plans.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Show what a tenant has used.
    Usage(usage::Arguments),
    /// Say who issues invoices, and with which taxes.
    #[command(subcommand)]
    Issuer(parties::IssuerCommand),
    /// Export usage records or invoice lines as CSV, JSON Lines, Parquet or FOCUS, to a file or a bucket.
    Export(export::Arguments),
    /// Show a tenant's invoice for a month: a draft, or issued for good with --issue.
    Invoice(invoice::Arguments),
    /// Show where issued invoices stand, and record payments and their end.
    #[command(subcommand)]
    Issued(issued::Command),
    /// Show the signed statement of an issued invoice, and sign it when there is none yet.
    Statement(statement::Arguments),
    /// Make and show the keys under which invoices are stated.
    #[command(subcommand)]
    StatementKey(statement_key::Command),
    /// Show who changed what in the ledger, newest first.
    Audit(audit::Arguments),
    /// Show, make, detach and drop months of usage records.
    #[command(subcommand)]
    Partitions(partitions::Command),
    /// Bring the ledger's tables up to date, and do nothing else. For the role that owns them.
    Migrate,
    /// Give a database role what a gateway needs.
    #[command(subcommand)]
    Database(database::Command),
    /// Copy a SQLite ledger into a new file. Works while a server runs.
    Backup(backup::Arguments),
    /// Compute an invoice again from exported usage and plans, and compare. Needs no server, ledger or configuration.
    Verify(verify::Arguments),
    /// Prove that the journal's hash chain is whole. Works while a server runs.
    VerifyJournal(verify_journal::Arguments),
    /// Follow usage from what engines counted to what is exported, and name the first difference at each hand-over.
    Reconcile(reconcile::Arguments),
    /// Make hourly sums, and what budgets count, anew from usage records, where they are not their sums.
    RebuildTallies(rebuild_tallies::Arguments),
    /// Print the table of routes; the tests walk it.
    #[command(hide = true)]
    Routes(routes::Arguments),
}

/// What the process is for.
#[derive(Clone, Copy, Debug, Args)]
struct RoleArguments {
    /// all: gateway and engines in one process; gateway: no models of its own; engine: a node that serves gateways.
    /// Counts more than `role` in the configuration.
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
}

impl Command {
    /// The role that the command line names.
    fn role(&self) -> Option<Role> {
        let (Self::Serve(arguments) | Self::Check(arguments)) = self else { return None };
        arguments.role
    }
}

impl Cli {
    /// Runs the command and says how it went.
    pub fn run(self) -> ExitCode {
        let outcome = actix_web::rt::System::new().block_on(self.dispatch());
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                out::complain(&format!("error: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn dispatch(self) -> Result<(), CliError> {
        // A tenant has no configuration, and needs none for this.
        if let Command::Verify(arguments) = &self.command {
            return verify::run(arguments);
        }
        let source = Source { path: self.config, role: self.command.role() };
        let config = source.load()?;
        match self.command {
            Command::Serve(_) if config.role == Role::Engine => node::run(config, source).await,
            Command::Serve(_) => serve::run(config, source).await,
            Command::Check(_) => check::run(&config).await,
            Command::NodeKey(command) => node_key::run(command),
            Command::Tenant(command) => tenant::run(&config, command).await,
            Command::Subscription(command) => subscription::run(&config, command).await,
            Command::Operator(command) => operator::run(&config, command).await,
            Command::Key(command) => key::run(&config, command).await,
            Command::Project(command) => project::run(&config, command).await,
            Command::Limit(command) => limit::run(&config, command).await,
            Command::Grant(command) => grant::run(&config, command).await,
            Command::Balance(command) => balance::run(&config, command).await,
            Command::Webhook(command) => webhook::run(&config, command).await,
            Command::Stripe(command) => stripe::run(&config, command).await,
            Command::Plan(command) => plan::run(&config, command).await,
            Command::Usage(arguments) => usage::run(&config, arguments).await,
            Command::Issuer(command) => parties::issuer(&config, command).await,
            Command::Export(arguments) => export::run(&config, arguments).await,
            Command::Invoice(arguments) => invoice::run(&config, arguments).await,
            Command::Issued(command) => issued::run(&config, command).await,
            Command::Statement(arguments) => statement::run(&config, arguments).await,
            Command::StatementKey(command) => statement_key::run(&config, command).await,
            Command::Audit(arguments) => audit::run(&config, arguments).await,
            Command::Partitions(command) => partitions::run(&config, command).await,
            Command::Migrate => database::migrate(&config).await,
            Command::Database(command) => database::run(&config, command).await,
            Command::Backup(arguments) => backup::run(&config, &arguments).await,
            Command::Verify(arguments) => verify::run(&arguments),
            Command::VerifyJournal(arguments) => verify_journal::run(&config, arguments).await,
            Command::Reconcile(arguments) => reconcile::run(&config, arguments).await,
            Command::RebuildTallies(arguments) => rebuild_tallies::run(&config, arguments).await,
            Command::Routes(arguments) => routes::run(arguments),
        }
    }
}

#[cfg(test)]
mod tests;
