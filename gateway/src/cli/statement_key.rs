//! `tallygate statement-key`: the keys under which an issuer states what its invoices are.
//! Never prints a private key and never writes over a file.
//! Called by `Cli::run`.

use std::{fs, path::PathBuf};

use billing::statement::{PublicKey, SigningKey};
use clap::{Args, Subcommand};

use super::{CliError, open, out, pair::PairFiles};
use crate::config::Config;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a pair: NAME.key.pem for statements.signing_key, NAME.pub.pem for tenants. To change keys, make another.
    Create(CreateArguments),
    /// Show a key's id and its public half; without a file, every key that has signed a statement of this ledger.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The folder to write both files into; it is made when it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the files are called.
    #[arg(long, default_value = "statement", value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// A private or a public key, as PEM.
    file: Option<PathBuf>,
}

/// Runs the command.
///
/// Errors: a file is there already, cannot be read or written, or is no such key.
pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(arguments) => create(&arguments),
        Command::Show(ShowArguments { file: Some(file) }) => show(&file),
        Command::Show(ShowArguments { file: None }) => show_used(config).await,
    }
}

fn create(CreateArguments { out: folder, name }: &CreateArguments) -> Result<(), CliError> {
    let files = PairFiles::new(folder, name)?;
    let (key, private_pem) = SigningKey::generate().map_err(|error| CliError::Usage(error.to_string()))?;
    files.write(&private_pem, &key.public().to_pem())?;
    out::say(&format!("made the key {}", key.public().id()));
    out::say("");
    let file = files.private.display();
    out::say(&format!(
        "  for the issuer   [statements]\n                   signing_key = {{ file = \"{file}\" }}"
    ));
    out::say(&format!("  for tenants      {}", files.public.display()));
    out::say("");
    out::say(
        "Whoever has the first can sign in the issuer's name. Give tenants the second by a way they trust.",
    );
    Ok(())
}

fn show(file: &PathBuf) -> Result<(), CliError> {
    let what = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| CliError::Io { what: what.clone(), source })?;
    let private = SigningKey::from_pem(&text).map(|key| key.public());
    let public = private.or_else(|_| PublicKey::from_pem(&text));
    let public = public.map_err(|error| CliError::Usage(format!("{what}: {error}")))?;
    out::say(&format!("key {}", public.id()));
    out::give(&public.to_pem());
    Ok(())
}

async fn show_used(config: &Config) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let keys = ledger.statement_keys().await?;
    if keys.is_empty() {
        out::say("no statement has been signed yet");
    }
    for key in keys {
        let (id, count) = (&key.key_id, key.statements);
        out::say(&format!("key {id}: {count} statements, from {} to {}", key.first_at, key.last_at));
        if let Some(public) = PublicKey::from_bytes(&key.public_key) {
            out::give(&public.to_pem());
        }
    }
    Ok(())
}

/// The key that the configuration names; none where it names none.
///
/// Errors: it cannot be read, or is no such key.
pub(super) fn configured(config: &Config) -> Result<Option<SigningKey>, CliError> {
    let Some(key) = &config.statements.signing_key else { return Ok(None) };
    let what = format!("statements.signing_key: {}", key.file.display());
    let text = fs::read_to_string(&key.file).map_err(|source| CliError::Io { what: what.clone(), source })?;
    let key = SigningKey::from_pem(&text).map_err(|error| CliError::Usage(format!("{what}: {error}")))?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn make(folder: &Path, name: &str) -> Result<(), CliError> {
        create(&CreateArguments { out: folder.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn a_statement_key_is_made_once_and_its_private_half_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        make(folder.path(), "a").expect("made");
        let mode = fs::metadata(path("a.key.pem")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = |name: &str| fs::read_to_string(path(name)).expect("read");
        let private = SigningKey::from_pem(&text("a.key.pem")).expect("a private key");
        assert_eq!(private.public(), PublicKey::from_pem(&text("a.pub.pem")).expect("a public key"));
        let before = text("a.key.pem");
        assert!(make(folder.path(), "a").is_err() && text("a.key.pem") == before);
        assert!(make(folder.path(), "../b").is_err() && make(&path("none/deeper"), "b").is_err());
        assert!(show(&path("a.key.pem")).is_ok() && show(&path("a.pub.pem")).is_ok());
        assert!(show(&path("none.pem")).is_err());
    }
}
