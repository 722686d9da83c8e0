//! `tallygate invoice`: a tenant's invoice for a month, as a draft or issued for good.
//! Never computes an amount: `billing::invoice` does.
//! Called by `Cli::run`.

use std::path::PathBuf;

use billing::{
    invoice::{self, Invoice},
    journal,
    ledger::{Ledger, Tenant},
};
use clap::{Args, ValueEnum};
use domain::{Clock as _, JournalId, Period, SystemClock};

use super::{CliError, open, out, statement, usage};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The tenant's name or id.
    tenant: String,
    /// A month, as YYYY-MM in the tenant's zone, or a day in the billing period, as YYYY-MM-DD; the running one without
    /// it.
    #[arg(long, value_name = "YYYY-MM[-DD]")]
    period: Option<String>,
    /// Issue it: it gets a number and never changes. Only for a period that is over.
    #[arg(long)]
    issue: bool,
    /// With --issue: a journal whose gateway is gone for good, by its id; may be given several times. What it did not
    /// ship is lost, and the invoice does not wait for it.
    #[arg(long = "ignore-journal", value_name = "ID", requires = "issue")]
    ignored: Vec<JournalId>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
    Pdf,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let tenant = open::tenant(&ledger, &arguments.tenant).await?;
    let period = usage::period_of(&ledger, &tenant, arguments.period.as_deref()).await?;
    let now = SystemClock.now();
    if arguments.issue {
        refuse_unshipped(config, &ledger, &period).await?;
        ledger.check_complete(period.end(), &arguments.ignored.iter().copied().collect()).await?;
    }
    let invoice: Invoice = match arguments.issue {
        true => issue(config, &ledger, &tenant, &period).await?,
        false => invoice::preview(&ledger, &tenant, &period, now).await?,
    };
    let rendered = match arguments.format {
        Format::Text => invoice.to_text().into_bytes(),
        Format::Json => invoice.to_json()?.into_bytes(),
        Format::Html => invoice.to_html()?.into_bytes(),
        Format::Pdf => pdf(&ledger, &invoice).await?,
    };
    out::give_to(arguments.output.as_deref(), &rendered)
}

/// The invoice as a PDF; an issued one with what was paid since.
async fn pdf(ledger: &Ledger, invoice: &Invoice) -> Result<Vec<u8>, CliError> {
    let standing = match &invoice.number {
        Some(number) => ledger.invoice_standing(number, SystemClock.now()).await?,
        None => None,
    };
    web::invoice_pdf(invoice, standing.as_ref()).map_err(|error| CliError::Usage(error.to_string()))
}

/// Issues it, and signs its statement when there is a key to.
async fn issue(
    config: &Config,
    ledger: &Ledger,
    tenant: &Tenant,
    period: &Period,
) -> Result<Invoice, CliError> {
    let invoice = invoice::issue(ledger, tenant, period, SystemClock.now()).await?;
    if let Some(number) = &invoice.number {
        statement::signed(config, ledger, number).await?;
    }
    Ok(invoice)
}

/// An issued invoice never changes, so nothing of its period may still be on its way to the ledger.
///
/// It looks at this machine's journal from the ledger's cursor on, which says how many wait. What every gateway's
/// journal has told the ledger comes after: it also covers requests that still run, and other machines.
///
/// Errors: records that finished before the period's end and are not shipped; a journal that no longer has the
/// record after the cursor; damage behind the cursor.
async fn refuse_unshipped(config: &Config, ledger: &Ledger, period: &Period) -> Result<(), CliError> {
    let folder = config.journal_folder();
    if !folder.exists() {
        return Ok(());
    }
    let shipped = ledger.journal_cursor(journal::identity(&folder)?).await?.sequence;
    let mut waiting: u64 = 0;
    for record in journal::read_after(&folder, shipped)? {
        let (journaled, _) = record?;
        if journaled.record.finished_at < period.end() {
            waiting += 1;
        }
    }
    let (records, are, them) = match waiting {
        0 => return Ok(()),
        1 => ("record", "is", "it"),
        _ => ("records", "are", "them"),
    };
    Err(CliError::Usage(format!(
        "{waiting} usage {records} from before the period's end {are} in the journal and not yet in the ledger; \
         start `tallygate serve`, which ships {them}, and issue the invoice then"
    )))
}
