//! `tallygate usage`: what a tenant used in a period, summed or record by record.
//! Never rates: prices belong to `tallygate invoice`.
//! Called by `Cli::run`.

use std::collections::BTreeMap;

use billing::ledger::{GroupUsage, Ledger, PeriodChoice, StoredRecord, Tenant, UsageGroup, UsageTotals};
use clap::{Args, ValueEnum};
use domain::{Clock as _, Period, ProjectId, SystemClock};
use serde_json::json;

use super::{CliError, open, out};
use crate::config::Config;

/// Records asked for at once.
const PAGE_RECORDS: usize = 1_000;

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
    /// How to print. Records come as one JSON object per line, or as CSV.
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
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
    if arguments.records {
        return records(&ledger, &tenant, (&period, within), arguments.format).await;
    }
    let group = match arguments.by {
        Group::Hour => UsageGroup::Hour,
        Group::Day => UsageGroup::Day,
        Group::Model => UsageGroup::Model,
        Group::Class => UsageGroup::SloClass,
        Group::Reason => UsageGroup::Reason,
        Group::Key => UsageGroup::Key,
        Group::Project => UsageGroup::Project,
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
fn columns(totals: &UsageTotals) -> [(&'static str, u64); 9] {
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
    ];
    out::table(headings, &cells);
    Ok(())
}

fn cells_of(name: &str, totals: &UsageTotals) -> [String; 10] {
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

/// Paths of projects, which records name by their ids.
type Paths = BTreeMap<ProjectId, String>;

async fn records(
    ledger: &Ledger,
    tenant: &Tenant,
    (period, within): (&Period, Option<ProjectId>),
    format: Format,
) -> Result<(), CliError> {
    let projects = ledger.projects(tenant.id).await?;
    let paths: Paths = projects.into_iter().map(|project| (project.id, project.path)).collect();
    if format == Format::Csv {
        out::say(&RECORD_COLUMNS.join(","));
    }
    let mut after = None;
    loop {
        let page = ledger.records_page(tenant.id, period, within, after, PAGE_RECORDS).await?;
        for stored in &page.records {
            match format {
                Format::Csv => out::say(&record_csv(stored, &paths)),
                Format::Text | Format::Json => {
                    let mut line = json!(stored.journaled);
                    line["hash"] = json!(stored.hash);
                    line["project_path"] = json!(path_of(stored, &paths));
                    out::say(&line.to_string());
                }
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

const RECORD_COLUMNS: [&str; 25] = [
    "request_id",
    "key_id",
    "model",
    "backend",
    "slo_class",
    "reason",
    "prompt_tokens",
    "cached_prompt_tokens",
    "output_tokens",
    "reasoning_tokens",
    "tokens_in_slo",
    "ttft_us",
    "tpot_us",
    "slo_met",
    "energy_mj",
    "energy_source",
    "client_stall_us",
    "queue_us",
    "started_at",
    "finished_at",
    "price_version",
    "project_id",
    "project_path",
    "usage_source",
    "charge_nanos",
];

fn path_of<'a>(stored: &StoredRecord, paths: &'a Paths) -> Option<&'a str> {
    stored.journaled.record.project_id.and_then(|project| paths.get(&project)).map(String::as_str)
}

fn record_csv(stored: &StoredRecord, paths: &Paths) -> String {
    let record = &stored.journaled.record;
    let span = |span: Option<domain::Micros>| span.map_or_else(String::new, |span| span.to_string());
    let cells: [String; 25] = [
        record.request_id.to_string(),
        record.key_id.to_string(),
        record.model.to_string(),
        csv_cell(&record.backend),
        record.slo.class.to_string(),
        record.reason.as_str().to_owned(),
        record.prompt_tokens.to_string(),
        record.cached_prompt_tokens.to_string(),
        record.output_tokens.to_string(),
        record.reasoning_tokens.to_string(),
        record.tokens_in_slo.to_string(),
        span(record.ttft),
        span(record.tpot),
        record.slo_met.to_string(),
        record.energy.to_string(),
        record.energy_source.as_str().to_owned(),
        record.client_stall.to_string(),
        record.queue.to_string(),
        record.started_at.to_string(),
        record.finished_at.to_string(),
        record.price_version.to_string(),
        record.project_id.map_or_else(String::new, |project| project.to_string()),
        path_of(stored, paths).unwrap_or_default().to_owned(),
        record.usage_source.as_str().to_owned(),
        record.charge.to_string(),
    ];
    cells.join(",")
}

/// A text as a CSV cell: quoted where it must be.
fn csv_cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
