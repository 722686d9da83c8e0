//! `tallygate export`: usage records, usage events and invoice lines, to a file, standard output or a bucket.
//! Never all in memory: piece by piece, as `billing::export` gives them.
//! Called by `Cli::run`.

mod bucket;
mod place;

use billing::{
    export::{Dataset, Export, FocusVersion, Format, Request, Whose},
    ledger::RecordFilter,
};
use clap::{Args, ValueEnum};
use domain::{Clock as _, KeyId, ModelName, SystemClock};

use self::place::Place;
use super::{CliError, open, out, usage};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to export.
    #[arg(value_enum)]
    what: What,
    /// How. The FOCUS formats are for invoices.
    #[arg(long, value_enum, default_value_t = FormatName::Csv)]
    format: FormatName,
    /// How FOCUS is written.
    #[arg(long, value_enum, default_value_t = Encoding::Csv)]
    encoding: Encoding,
    /// Only this tenant: its name or id; all of them without it.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The month, as YYYY-MM in each tenant's zone; the running one, in UTC or the tenant's zone, without it.
    #[arg(long, value_name = "YYYY-MM")]
    period: Option<String>,
    /// Only records of this project and all below it: its path or id. Needs --tenant.
    #[arg(long, value_name = "PATH", requires = "tenant")]
    project: Option<String>,
    /// Only records of this key, by its id.
    #[arg(long, value_name = "ID")]
    key: Option<KeyId>,
    /// Only this model.
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// Where to: a file, s3://BUCKET/NAME, or - for standard output.
    #[arg(long, value_name = "PLACE", default_value = "-")]
    to: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Usage records.
    Usage,
    /// Usage events.
    Events,
    /// Lines of issued invoices, of those that became void, and of credit notes.
    Invoices,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Csv,
    Jsonl,
    Parquet,
    #[value(name = "focus-1.0")]
    Focus10,
    #[value(name = "focus-1.2")]
    Focus12,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoding {
    Csv,
    Jsonl,
    Parquet,
}

impl Encoding {
    fn to_format(self) -> Format {
        match self {
            Self::Csv => Format::Csv,
            Self::Jsonl => Format::JsonLines,
            Self::Parquet => Format::Parquet,
        }
    }
}

/// Exports.
///
/// Errors: what cannot be read or written. A file or object that is not whole is not left behind.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let place = Place::parse(&arguments.to)?;
    let tenant = match &arguments.tenant {
        Some(name) => Some(open::tenant(&ledger, name).await?),
        None => None,
    };
    let project = match (&tenant, &arguments.project) {
        (Some(tenant), Some(path)) => Some(open::project(&ledger, tenant, path).await?.id),
        (None, _) | (_, None) => None,
    };
    let whose = match tenant {
        Some(tenant) => {
            let period = usage::period_of(&ledger, &tenant, arguments.period.as_deref()).await?;
            Whose::Tenant(Box::new(tenant), period)
        }
        None => Whose::All(arguments.period.clone().unwrap_or_else(this_month)),
    };
    let (dataset, format) = what(&arguments)?;
    let filter = RecordFilter { project, key: arguments.key, model: arguments.model };
    let request = Request { dataset, format, whose, filter, provider: config.exports.provider.clone() };
    let export = Export::new(ledger, request).map_err(fault)?;
    let bytes = place.take(config, export).await?;
    if !place.is_stdout() {
        out::say(&format!("wrote {bytes} bytes to {}", arguments.to));
    }
    Ok(())
}

/// The running month, in UTC.
fn this_month() -> String {
    SystemClock.now().to_string().chars().take("2026-11".len()).collect()
}

fn what(arguments: &Arguments) -> Result<(Dataset, Format), CliError> {
    let focus = |version| match arguments.what {
        What::Invoices => Ok((Dataset::Focus(version), arguments.encoding.to_format())),
        What::Usage | What::Events => {
            let message = "FOCUS is for invoices: `tallygate export invoices --format focus-1.2`";
            Err(CliError::Usage(message.to_owned()))
        }
    };
    let plain = |format| {
        let dataset = match arguments.what {
            What::Usage => Dataset::Usage,
            What::Events => Dataset::Events,
            What::Invoices => Dataset::InvoiceLines,
        };
        Ok((dataset, format))
    };
    match arguments.format {
        FormatName::Csv => plain(Format::Csv),
        FormatName::Jsonl => plain(Format::JsonLines),
        FormatName::Parquet => plain(Format::Parquet),
        FormatName::Focus10 => focus(FocusVersion::V1_0),
        FormatName::Focus12 => focus(FocusVersion::V1_2),
    }
}

/// A failure of the export itself.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
pub(super) fn fault(error: billing::export::ExportError) -> CliError {
    CliError::Usage(format!("the export is not whole: {error}"))
}
