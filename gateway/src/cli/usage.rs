//! `tallygate usage`: what a tenant used in a period, summed or record by record.
//! Never rates: prices belong to `tallygate invoice`.
//! Called by `Cli::run`.

use std::io::{self, Write as _};

use billing::{
    export::{self, Dataset, Export, ExportError, Request, Whose},
    ledger::{GroupUsage, Ledger, PeriodChoice, RecordFilter, Tenant, UsageGroup, UsageTotals},
};
use clap::{Args, ValueEnum};
use domain::{Clock as _, Period, ProjectId, SystemClock};
use serde_json::json;

use super::{CliError, meters, open, out};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The tenant's name or id.
    tenant: String,
    /// A month, as YYYY-MM in the tenant's zone, or a day in the billing period, as YYYY-MM-DD; the running one without
    /// it.
    #[arg(long, value_name = "YYYY-MM[-DD]")]
    period: Option<String>,
    /// What to sum by.
    #[arg(long, value_enum, default_value_t = Group::Model, conflicts_with = "records")]
    by: Group,
    /// Only what this project used, and all below it: its path or id.
    #[arg(long, value_name = "PATH")]
    project: Option<String>,
    /// Every single record instead of sums.
    #[arg(long)]
    records: bool,
    /// Every single usage event instead of sums.
    #[arg(long, conflicts_with_all = ["records", "by", "project"])]
    events: bool,
    /// How to print. Records and events come as one JSON object per line, or as CSV.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    Hour,
    Day,
    Model,
    Class,
    Reason,
    Key,
    Project,
    /// Meters of the plan's own, which count usage events.
    Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Csv,
}

/// The billing period named by a month or a day, or the running one, in the tenant's zone.
pub(super) async fn period_of(
    ledger: &Ledger,
    tenant: &Tenant,
    named: Option<&str>,
) -> Result<Period, CliError> {
    let choice = match named {
        Some(text) => text.parse::<PeriodChoice>()?,
        None => PeriodChoice::At(SystemClock.now()),
    };
    Ok(ledger.billing_period(tenant, choice).await?)
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let tenant = open::tenant(&ledger, &arguments.tenant).await?;
    let period = period_of(&ledger, &tenant, arguments.period.as_deref()).await?;
    let within = match &arguments.project {
        Some(path) => Some(open::project(&ledger, &tenant, path).await?.id),
        None => None,
    };
    if arguments.records || arguments.events {
        let dataset = if arguments.events { Dataset::Events } else { Dataset::Usage };
        return records(ledger, tenant, (dataset, period, within), arguments.format).await;
    }
    let group = match arguments.by {
        Group::Hour => UsageGroup::Hour,
        Group::Day => UsageGroup::Day,
        Group::Model => UsageGroup::Model,
        Group::Class => UsageGroup::SloClass,
        Group::Reason => UsageGroup::Reason,
        Group::Key => UsageGroup::Key,
        Group::Project => UsageGroup::Project,
        Group::Meter if within.is_some() => {
            let message = "--by meter tells projects apart already; leave --project out";
            return Err(CliError::Usage(message.to_owned()));
        }
        Group::Meter => return meters::run(&ledger, &tenant, &period, arguments.format).await,
    };
    let rows = ledger.usage_by(tenant.id, &period, group, within).await?;
    match arguments.format {
        Format::Text => text(&tenant, &period, &rows)?,
        Format::Json => rows.iter().for_each(|row| out::say(&to_json(row).to_string())),
        Format::Csv => csv(&rows),
    }
    Ok(())
}

/// The figures of a group, in the order of the columns.
fn columns(totals: &UsageTotals) -> [(&'static str, u64); 10] {
    [
        ("requests", totals.requests),
        ("requests_slo_met", totals.requests_slo_met),
        ("prompt_tokens", totals.prompt_tokens.get()),
        ("cached_prompt_tokens", totals.cached_prompt_tokens.get()),
        ("output_tokens", totals.output_tokens.get()),
        ("reasoning_tokens", totals.reasoning_tokens.get()),
        ("tokens_in_slo", totals.tokens_in_slo.get()),
        ("late_tokens", totals.late_tokens.get()),
        ("energy_mj", totals.energy.get()),
        ("embeddings_tokens", totals.embeddings_tokens.get()),
    ]
}

fn text(tenant: &Tenant, period: &Period, rows: &[GroupUsage]) -> Result<(), CliError> {
    out::say(&format!(
        "Usage of {} from {} to {} ({})",
        tenant.name,
        period.start(),
        period.end(),
        period.zone()
    ));
    out::say("");
    let mut all = UsageTotals::default();
    let mut cells = Vec::new();
    for GroupUsage { name, totals, .. } in rows {
        all = all.checked_add(totals).map_err(|error| CliError::Usage(error.to_string()))?;
        cells.push(cells_of(name, totals));
    }
    cells.push(cells_of("TOTAL", &all));
    let headings = [
        "GROUP",
        "REQUESTS",
        "SLO MET",
        "PROMPT",
        "CACHED",
        "OUTPUT",
        "REASONING",
        "IN SLO",
        "LATE",
        "ENERGY MJ",
        "EMBEDDINGS",
    ];
    out::table(headings, &cells);
    Ok(())
}

fn cells_of(name: &str, totals: &UsageTotals) -> [String; 11] {
    let figures = columns(totals);
    std::array::from_fn(|column| match column {
        0 => name.to_owned(),
        column => figures[column - 1].1.to_string(),
    })
}

fn to_json(GroupUsage { name, project_id, totals }: &GroupUsage) -> serde_json::Value {
    let mut row = json!({"group": name, "project_id": project_id});
    for (column, figure) in columns(totals) {
        row[column] = json!(figure);
    }
    row
}

fn csv(rows: &[GroupUsage]) {
    let names = columns(&UsageTotals::default()).map(|(name, _)| name);
    out::say(&format!("group,{},project_id", names.join(",")));
    for GroupUsage { name, project_id, totals } in rows {
        let figures = columns(totals).map(|(_, figure)| figure.to_string());
        let project = project_id.map_or_else(String::new, |project| project.to_string());
        out::say(&format!("{},{},{project}", csv_cell(name), figures.join(",")));
    }
}

/// Every record or event, as `tallygate export` gives them.
async fn records(
    ledger: Ledger,
    tenant: Tenant,
    (dataset, period, project): (Dataset, Period, Option<ProjectId>),
    format: Format,
) -> Result<(), CliError> {
    let format = match format {
        Format::Csv => export::Format::Csv,
        Format::Text | Format::Json => export::Format::JsonLines,
    };
    let request = Request {
        dataset,
        format,
        whose: Whose::Tenant(Box::new(tenant), period),
        filter: RecordFilter { project, ..RecordFilter::default() },
        provider: String::new(),
    };
    let fault = |error: ExportError| CliError::Usage(error.to_string());
    let mut export = Export::new(ledger, request).map_err(fault)?;
    while let Some(piece) = export.next().await.map_err(fault)? {
        // A reader that has gone away, as `head` does, is no failure.
        io::stdout().lock().write_all(&piece).ok();
    }
    Ok(())
}

/// A text as a CSV cell: quoted where it must be.
pub(super) fn csv_cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
