//! `tallygate node-key`: makes the pair of keys by which engine nodes know a gateway.
//! Never prints the private key and never writes over a file.
//! Called by `Cli::run`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, out, pair::PairFiles};
use crate::node::KeyPair;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a pair: NAME.key.pem for the gateway's signing_key, NAME.pub.pem for node.gateway_keys.
    Create(CreateArguments),
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The folder to write both files into; it is made when it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the files are called.
    #[arg(long, default_value = "gateway", value_name = "NAME")]
    name: String,
}

/// Runs the command.
///
/// Errors: a file is there already, or cannot be written.
pub(super) fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(arguments) => create(&arguments),
    }
}

fn create(CreateArguments { out: folder, name }: &CreateArguments) -> Result<(), CliError> {
    let files = PairFiles::new(folder, name)?;
    let pair = KeyPair::generate().map_err(|error| CliError::Usage(error.to_string()))?;
    files.write(&pair.private_pem, &pair.public.to_pem())?;
    out::say(&format!("made the key {}", pair.public.id()));
    out::say("");
    out::say(&format!("  for the gateway  signing_key = {{ file = \"{}\" }}", files.private.display()));
    out::say(&format!("  for its nodes    gateway_keys = [\"{}\"]", files.public.display()));
    out::say("");
    out::say(
        "The first opens every node that has the second: keep it where the gateway's account alone reads it.",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;
    use crate::node::{PublicKey, SigningKey};

    fn make(folder: &Path, name: &str) -> Result<(), CliError> {
        create(&CreateArguments { out: folder.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn a_pair_is_made_once_and_its_private_half_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        make(folder.path(), "a").expect("made");
        let mode = fs::metadata(path("a.key.pem")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let private = SigningKey::read(&path("a.key.pem")).expect("a private key");
        assert_eq!(private.id(), PublicKey::read(&path("a.pub.pem")).expect("a public key").id());
        // Neither half is written over, nor is a half added to what is there.
        let before = fs::read(path("a.key.pem")).expect("read");
        assert!(make(folder.path(), "a").is_err());
        fs::remove_file(path("a.pub.pem")).expect("removed");
        assert!(make(folder.path(), "a").is_err());
        assert_eq!(fs::read(path("a.key.pem")).expect("read"), before);
        assert!(!path("a.pub.pem").exists());
        fs::write(path("b.pub.pem"), "mine").expect("written");
        assert!(make(folder.path(), "b").is_err());
        assert!(!path("b.key.pem").exists());
        std::os::unix::fs::symlink("nowhere", path("c.key.pem")).expect("linked");
        assert!(make(folder.path(), "c").is_err());
        for name in ["", "../d", "d/e", "d.e", &"d".repeat(65)] {
            assert!(make(folder.path(), name).is_err(), "{name:?}");
        }
        let told = |outcome: Result<(), CliError>| outcome.expect_err("refused").to_string();
        for no_folder in [path("none/deeper"), path("a.key.pem")] {
            let told = told(make(&no_folder, "d"));
            assert!(told.contains(&format!("--out {}", no_folder.display())), "{told}");
        }
        make(&path("new"), "d").expect("made, and its folder");
        let mode = fs::metadata(path("new")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
