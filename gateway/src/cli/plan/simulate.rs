//! `tallygate plan simulate`: past usage under another plan, by tenant and month, beside what it cost.
//! Never computes an amount: `billing::invoice` does.
//! Called by `plan::run`.

use billing::{
    invoice,
    ledger::{Ledger, Tenant},
    plan::Plan,
};
use clap::Args;
use domain::{Clock as _, Period, SystemClock};
use jiff::{ToSpan as _, civil::Date};
use serde_json::json;

use crate::{
    cli::{CliError, open, out},
    config::Config,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The other plan: a file (TOML), or a published version as NAME@VERSION.
    plan: String,
    /// Only this tenant, by name or id; may be given several times. Without it, every tenant of the plan's name.
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<String>,
    /// The first day, in each tenant's zone.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Date,
    /// The day after the last.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Date,
    /// One JSON object for each tenant and month, with both invoices.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    if arguments.to <= arguments.from {
        return Err(CliError::Usage("--to must be after --from: it is the day after the last".to_owned()));
    }
    let plan = super::named(config, &arguments.plan).await?;
    let ledger = open::existing_ledger(config).await?;
    let tenants = tenants(&ledger, &plan, &arguments.tenants).await?;
    let mut rows = Vec::new();
    for tenant in &tenants {
        for (from, to) in months(arguments.from, arguments.to) {
            let period = Period::days(from, to, &tenant.zone)
                .map_err(|error| CliError::Usage(format!("--from and --to: {error}")))?;
            let simulation = invoice::simulate(&ledger, tenant, &period, &plan, SystemClock.now()).await?;
            let difference = simulation.difference()?;
            let invoice::Simulation { actual, simulated } = simulation;
            if arguments.json {
                let row = json!({
                    "tenant": tenant.name, "from": from.to_string(), "to": to.to_string(), "plan": plan.id().as_str(),
                    "actual": actual, "simulated": simulated,
                });
                out::say(&row.to_string());
                continue;
            }
            rows.push([
                tenant.name.clone(),
                from.to_string(),
                to.to_string(),
                actual.records.to_string(),
                actual.currency,
                actual.subtotal,
                simulated.subtotal,
                difference,
            ]);
        }
    }
    if !arguments.json {
        let plan = plan.id().to_string().to_uppercase();
        let headings = ["TENANT", "FROM", "TO", "RECORDS", "CURRENCY", "AS IT WAS", &plan, "DIFFERENCE"];
        out::table(headings, &rows);
    }
    Ok(())
}

/// Those that are named, or all whose plan it is.
async fn tenants(ledger: &Ledger, plan: &Plan, named: &[String]) -> Result<Vec<Tenant>, CliError> {
    let mut tenants = Vec::new();
    for name in named {
        tenants.push(open::tenant(ledger, name).await?);
    }
    if named.is_empty() {
        let all = ledger.tenants().await?;
        tenants = all.into_iter().filter(|tenant| tenant.plan_name == plan.name()).collect();
    }
    match tenants.is_empty() {
        true => Err(CliError::Usage(format!(
            "no tenant is under a plan named {}; name tenants with --tenant",
            plan.name()
        ))),
        false => Ok(tenants),
    }
}

/// The calendar months of a span of days, the first and the last cut to it.
fn months(from: Date, to: Date) -> Vec<(Date, Date)> {
    let mut months = Vec::new();
    let mut start = from;
    while start < to {
        let next = start.first_of_month().checked_add(1.month()).unwrap_or(to);
        let end = next.min(to);
        months.push((start, end));
        start = end;
    }
    months
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_at_months() {
        let day = |text: &str| text.parse::<Date>().expect("a day");
        let check = |from: &str, to: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(from, to)| (day(from), day(to))).collect();
            assert_eq!(months(day(from), day(to)), expected);
        };
        check("2026-11-01", "2026-12-01", &[("2026-11-01", "2026-12-01")]);
        check("2026-11-05", "2026-11-06", &[("2026-11-05", "2026-11-06")]);
        let across =
            [("2026-11-30", "2026-12-01"), ("2026-12-01", "2027-01-01"), ("2027-01-01", "2027-01-02")];
        check("2026-11-30", "2027-01-02", &across);
        check("2026-11-30", "2026-11-30", &[]);
        check("9999-12-01", "9999-12-31", &[("9999-12-01", "9999-12-31")]);
    }
}
