//! The earlier invoices that an invoice speaks of: corrections of them, and parts that were billed before.
//! Never a file that was not named.
//! Called by `tallygate verify` when the invoice itself has been computed again.

use std::{io::BufRead, path::PathBuf, str::FromStr};

use billing::{
    plan::Plan,
    verify::{Corrections, Earlier, verify_corrections},
};
use clap::Args;

use super::{CliError, INVOICE_BYTES_MAX, read, usage};

#[derive(Debug, Args)]
pub(super) struct EarlierArguments {
    /// An earlier invoice that this one corrects, with the usage of its period as it was on the day of this one, and the
    /// usage events where it counts some; may be given several times. Without it, corrections are taken as stated.
    #[arg(long = "original", value_name = "INVOICE=USAGE[=EVENTS]")]
    originals: Vec<Original>,
    /// Another earlier invoice: one with corrections of the same period, or a part of a period; may be given several
    /// times.
    #[arg(long = "earlier", value_name = "INVOICE")]
    others: Vec<PathBuf>,
    /// The number of an earlier invoice that was void on the day of this one; may be given several times.
    #[arg(long = "void", value_name = "NUMBER")]
    void: Vec<String>,
}

#[derive(Clone, Debug)]
struct Original {
    invoice: PathBuf,
    usage: PathBuf,
    events: Option<PathBuf>,
}

impl FromStr for Original {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('=').map(PathBuf::from);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(invoice), Some(usage), events, None) => Ok(Self { invoice, usage, events }),
            (_, None, _, _) | (_, _, _, Some(_)) | (None, _, _, _) => {
                Err("give two files, or three: INVOICE=USAGE[=EVENTS]".to_owned())
            }
        }
    }
}

/// Computes what the invoice says of earlier ones, and says in words what came of it; nothing where it says nothing.
pub(super) fn verify(
    arguments: &EarlierArguments,
    invoice: &str,
    plans: Vec<Plan>,
) -> Result<Vec<String>, CliError> {
    let EarlierArguments { originals, others, void } = arguments;
    let mut earlier = Vec::new();
    for original in originals {
        let usage = usage(&original.usage)?;
        let events = match &original.events {
            Some(file) => Some(super::usage(file)?),
            None => None,
        };
        earlier.push(known(read(&original.invoice, INVOICE_BYTES_MAX)?, (Some(usage), events), void)?);
    }
    for file in others {
        earlier.push(known(read(file, INVOICE_BYTES_MAX)?, (None, None), void)?);
    }
    let found = verify_corrections(invoice, earlier, plans);
    let Corrections { computed, stated } = found.map_err(|error| CliError::Usage(error.to_string()))?;
    let mut words = Vec::new();
    if computed > 0 {
        words.push(format!("{computed} lines about earlier invoices are what those and their usage come to"));
    }
    if stated > 0 {
        words.push(format!(
            "{stated} lines about earlier invoices were taken as stated: give --original (and --earlier) to compute them"
        ));
    }
    Ok(words)
}

type Usage = Option<Box<dyn BufRead>>;

fn known(
    invoice: String,
    (usage, events): (Usage, Usage),
    void: &[String],
) -> Result<Earlier<'static>, CliError> {
    let read = billing::invoice::Invoice::from_issued(&invoice)?;
    let is_void = read.number.is_some_and(|number| void.contains(&number));
    Ok(Earlier { invoice, usage, events, is_void })
}
