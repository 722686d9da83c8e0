//! `tallygate node-key`: makes the pair of keys by which engine nodes know a gateway.
//! Never prints the private key and never writes over a file.
//! Called by `Cli::run`.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{CliError, out};
use crate::node::KeyPair;

/// Longest name of a pair. Unit: bytes.
const NAME_BYTES_MAX: usize = 64;
/// A private key is for its owner alone.
const PRIVATE_MODE: u32 = 0o600;
/// A public key may be read by everyone.
const PUBLIC_MODE: u32 = 0o644;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a pair: NAME.key.pem for the gateway's signing_key, NAME.pub.pem for node.gateway_keys.
    Create(CreateArguments),
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The folder to write both files into; it must be there.
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
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_good) {
        let message = "--name must be 1 to 64 letters, digits, dashes and underscores";
        return Err(CliError::Usage(message.to_owned()));
    }
    if !folder.is_dir() {
        let message =
            format!("--out {}: there is no such folder; make it first, or give another", folder.display());
        return Err(CliError::Usage(message));
    }
    let private = folder.join(format!("{name}.key.pem"));
    let public = folder.join(format!("{name}.pub.pem"));
    // Before either is made, so that a half of an old pair does not end beside a half of a new one.
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            let message = format!("{} is there already; nothing was written", path.display());
            return Err(CliError::Usage(message));
        }
    }
    let pair = KeyPair::generate().map_err(|error| CliError::Usage(error.to_string()))?;
    write(&private, &pair.private_pem, PRIVATE_MODE)?;
    write(&public, &pair.public.to_pem(), PUBLIC_MODE)?;
    out::say(&format!("made the key {}", pair.public.id()));
    out::say("");
    out::say(&format!("  for the gateway  signing_key = {{ file = \"{}\" }}", private.display()));
    out::say(&format!("  for its nodes    gateway_keys = [\"{}\"]", public.display()));
    out::say("");
    out::say(
        "The first opens every node that has the second: keep it where the gateway's account alone reads it.",
    );
    Ok(())
}

/// A new file; one that is there, even a link to nowhere, is left alone.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let fault = |source| CliError::Io { what: path.display().to_string(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

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
        assert_eq!(mode & 0o777, PRIVATE_MODE);
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
        for no_folder in [path("none"), path("a.key.pem")] {
            let told = told(make(&no_folder, "d"));
            assert!(
                told.contains("--out ") && told.contains("there is no such folder; make it first"),
                "{told}"
            );
        }
    }
}
