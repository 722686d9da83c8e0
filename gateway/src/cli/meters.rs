//! `tallygate usage TENANT --by meter`: what usage events came to in a period.
//! Never rates: prices belong to `tallygate invoice`.
//! Called by `usage`.

use std::collections::BTreeMap;

use billing::ledger::{Ledger, MeterSum, Tenant};
use domain::{Period, ProjectId};
use serde_json::json;

use super::{
    CliError, out,
    usage::{Format, csv_cell},
};

/// The cells of a row: meter, events, quantity, unit, plan version, path of the project.
type Cells = [String; 6];

const COLUMNS: [&str; 6] = ["meter", "events", "quantity", "unit", "price_version", "project_path"];
const HEADINGS: [&str; 6] = ["METER", "EVENTS", "QUANTITY", "UNIT", "PLAN", "PROJECT"];

pub(super) async fn run(
    ledger: &Ledger,
    tenant: &Tenant,
    period: &Period,
    format: Format,
) -> Result<(), CliError> {
    let projects = ledger.projects(tenant.id).await?;
    let paths: BTreeMap<ProjectId, String> =
        projects.into_iter().map(|project| (project.id, project.path)).collect();
    let mut rows = Vec::new();
    for row in ledger.meter_sums(tenant.id, period).await? {
        rows.push(cells(ledger, &row, &paths).await?);
    }
    match format {
        Format::Text => out::table(HEADINGS, &rows),
        Format::Json => {
            for row in &rows {
                let fields = COLUMNS.iter().zip(row);
                let fields: serde_json::Map<_, _> =
                    fields.map(|(column, cell)| ((*column).to_owned(), json!(cell))).collect();
                out::say(&serde_json::Value::Object(fields).to_string());
            }
        }
        Format::Csv => {
            out::say(&COLUMNS.join(","));
            rows.iter().for_each(|row| out::say(&row.each_ref().map(|cell| csv_cell(cell)).join(",")));
        }
    }
    Ok(())
}

async fn cells(
    ledger: &Ledger,
    MeterSum { project_id, sum }: &MeterSum,
    paths: &BTreeMap<ProjectId, String>,
) -> Result<Cells, CliError> {
    let plan = ledger.find_plan(&sum.price_version).await?;
    let meters = plan.iter().flat_map(|plan| plan.meters());
    let meter = meters.into_iter().find(|meter| meter.name == sum.meter);
    let (quantity, unit) = match meter {
        Some(meter) => (meter.quantity(sum.counts), meter.unit.clone()),
        None => (sum.counts.to_string(), String::new()),
    };
    let path = project_id.and_then(|project| paths.get(&project)).cloned().unwrap_or_default();
    Ok([sum.meter.to_string(), sum.events.to_string(), quantity, unit, sum.price_version.to_string(), path])
}
