//! `tallygate verify`: an invoice, computed again from exported usage and plans by whoever has them.
//! Never reads a configuration, a ledger or a server: the files are all there is.
//! Called by `Cli::run`.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use billing::{
    plan::Plan,
    verify::{self, VerifyError},
};
use clap::Args;

use super::{CliError, out};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The invoice, as JSON.
    #[arg(long, value_name = "FILE")]
    invoice: PathBuf,
    /// The usage records of its period, as `tallygate usage TENANT --records --format json` exports them; - reads them
    /// from standard input.
    #[arg(long, value_name = "FILE")]
    usage: PathBuf,
    /// A plan version that the invoice names (TOML); may be given several times.
    #[arg(long = "plan", value_name = "FILE", required = true)]
    plans: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let invoice = read(&arguments.invoice)?;
    let plans = arguments.plans.iter().map(|file| Ok(Plan::from_text(&shown(file), &read(file)?)?));
    let plans = plans.collect::<Result<_, CliError>>()?;
    let verified = verify::verify(&invoice, usage(&arguments.usage)?, plans);
    let verified = verified.map_err(|error| {
        if let VerifyError::Io(source) = error {
            return CliError::Io { what: shown(&arguments.usage), source };
        }
        CliError::Usage(error.to_string())
    })?;
    let what = verified.number.map_or_else(|| "the draft".to_owned(), |number| format!("invoice {number}"));
    out::say(&format!(
        "{what} is what its usage and plans come to, byte for byte: {} usage records, {} lines, {} in total",
        verified.records, verified.lines, verified.total
    ));
    Ok(())
}

fn usage(file: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).map_err(|source| CliError::Io { what: shown(file), source })?;
    Ok(Box::new(BufReader::new(opened)))
}

fn read(file: &Path) -> Result<String, CliError> {
    fs::read_to_string(file).map_err(|source| CliError::Io { what: shown(file), source })
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}
