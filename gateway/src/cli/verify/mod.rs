//! `tallygate verify`: an invoice, computed again from exported usage and plans by whoever has them.
//! Never reads a configuration, a ledger or a server: the files are all there is.
//! Called by `Cli::run`.

mod earlier;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use billing::{
    plan::{PLAN_BYTES_MAX, Plan},
    statement::PublicKey,
    verify::{self, Proof, VerifyError},
};
use clap::Args;

use super::{CliError, out};

/// The largest invoice that is read: some hundred thousand lines. Unit: bytes.
const INVOICE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A statement has a few kilobytes, and one line for each journal. Unit: bytes.
const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A key has some hundred bytes. Unit: bytes.
const KEY_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The invoice, as JSON.
    #[arg(long, value_name = "FILE")]
    invoice: PathBuf,
    /// The usage records of its period, as `tallygate usage TENANT --records --format json` exports them; - reads them
    /// from standard input.
    #[arg(long, value_name = "FILE")]
    usage: PathBuf,
    /// The usage events of its period, as `tallygate usage TENANT --events --format json` exports them; needed where the
    /// invoice counts any.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// A plan version that the invoice names (TOML or JSON); may be given several times.
    #[arg(long = "plan", value_name = "FILE", required = true)]
    plans: Vec<PathBuf>,
    /// The issuer's public key (PEM), from a way you trust: its signed statement is checked as well. May be given
    /// several times, as an issuer changes its keys.
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// The signed statement; without it, with a public key, the file beside the invoice that ends in .statement.json.
    #[arg(long, value_name = "FILE", requires = "public_keys")]
    statement: Option<PathBuf>,
    #[command(flatten)]
    earlier: earlier::EarlierArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let invoice = read(&arguments.invoice, INVOICE_BYTES_MAX)?;
    let plan = |file: &PathBuf| Ok(Plan::from_published(&shown(file), &read(file, PLAN_BYTES_MAX)?)?);
    let plans = arguments.plans.iter().map(plan).collect::<Result<Vec<Plan>, CliError>>()?;
    let (statement, keys) = (statement(arguments)?, public_keys(arguments)?);
    let proof = statement.as_deref().map(|statement| Proof { statement, keys: &keys });
    let mut events = arguments.events.as_deref().map(usage).transpose()?;
    let events: Option<&mut dyn BufRead> = match &mut events {
        Some(events) => Some(&mut **events),
        None => None,
    };
    let verified =
        verify::verify_with_events(&invoice, usage(&arguments.usage)?, events, plans.clone(), proof.as_ref());
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
    if verified.events > 0 {
        out::say(&format!("{} usage events were counted again by these plans", verified.events));
    }
    if let Some(key_id) = verified.key_id {
        out::say(&format!("its statement fits all of it, and is signed by the key {key_id}"));
    }
    for line in earlier::verify(&arguments.earlier, &invoice, plans)? {
        out::say(&line);
    }
    if verified.records_late > 0 {
        let late = verified.records_late;
        out::say(&format!("{late} usage records came after it was issued, and are not on it"));
    }
    if verified.events_late > 0 {
        let late = verified.events_late;
        out::say(&format!("{late} usage events came after it was issued, and are not on it"));
    }
    Ok(())
}

/// The signed statement; none where no key is given to check it with.
fn statement(arguments: &Arguments) -> Result<Option<String>, CliError> {
    if arguments.public_keys.is_empty() {
        return Ok(None);
    }
    let beside = || arguments.invoice.with_extension("statement.json");
    read(&arguments.statement.clone().unwrap_or_else(beside), STATEMENT_BYTES_MAX).map(Some)
}

fn public_keys(arguments: &Arguments) -> Result<Vec<PublicKey>, CliError> {
    let keys = arguments.public_keys.iter().map(|file| {
        let key = PublicKey::from_pem(&read(file, KEY_BYTES_MAX)?);
        key.map_err(|error| CliError::Usage(format!("{}: {error}", shown(file))))
    });
    keys.collect()
}

fn usage(file: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).map_err(|source| CliError::Io { what: shown(file), source })?;
    Ok(Box::new(BufReader::new(opened)))
}

/// Reads a file that may be anybody's, up to a bound.
fn read(file: &Path, bytes_max: usize) -> Result<String, CliError> {
    let io = |source| CliError::Io { what: shown(file), source };
    let opened = File::open(file).map_err(io)?;
    let mut text = Vec::new();
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(bound).read_to_end(&mut text).map_err(io)?;
    if text.len() > bytes_max {
        return Err(CliError::Usage(format!("{}: more than {bytes_max} bytes", shown(file))));
    }
    String::from_utf8(text).map_err(|_| CliError::Usage(format!("{}: not text in UTF-8", shown(file))))
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("invoice.json");
        fs::write(&file, "12345").expect("written");
        assert_eq!(read(&file, 5).expect("it fits"), "12345");
        let told = read(&file, 4).expect_err("too long").to_string();
        assert!(told.ends_with("invoice.json: more than 4 bytes"), "{told}");
        // Terabytes of nothing are not read either.
        fs::OpenOptions::new().write(true).open(&file).expect("open").set_len(1 << 40).expect("a hole");
        assert!(read(&file, KEY_BYTES_MAX).is_err());
        fs::write(&file, [0xff, 0xfe]).expect("written");
        let told = read(&file, 5).expect_err("no text").to_string();
        assert!(told.ends_with("invoice.json: not text in UTF-8"), "{told}");
    }
}
