//! Writes a pair of keys as two files, the private one for its owner alone.
//! Never writes over a file, and never leaves half a pair where one was refused.
//! Called by the commands that make keys.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::CliError;

/// Longest name of a pair. Unit: bytes.
const NAME_BYTES_MAX: usize = 64;
/// A private key is for its owner alone.
const PRIVATE_MODE: u32 = 0o600;
/// A folder made for keys is for its owner alone.
const FOLDER_MODE: u32 = 0o700;
/// A public key may be read by everyone.
const PUBLIC_MODE: u32 = 0o644;

/// Where both halves go.
#[derive(Debug)]
pub(super) struct PairFiles {
    pub(super) private: PathBuf,
    pub(super) public: PathBuf,
}

impl PairFiles {
    /// NAME.key.pem and NAME.pub.pem in a folder, which is made when it is missing.
    ///
    /// Errors: a name that is none; a folder that cannot be made; a file that is there already.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self, CliError> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_good) {
            let message = "--name must be 1 to 64 letters, digits, dashes and underscores";
            return Err(CliError::Usage(message.to_owned()));
        }
        // Keys lie in a folder of their own, for its owner alone. Only the last part of a path is made: a path that
        // is mistyped is not.
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Ok(()) => {}
            Err(_) if folder.is_dir() => {}
            Err(source) => {
                return Err(CliError::Io { what: format!("--out {}", folder.display()), source });
            }
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
        Ok(Self { private, public })
    }

    /// Writes both.
    ///
    /// Errors: no room, no right.
    pub(super) fn write(&self, private_pem: &str, public_pem: &str) -> Result<(), CliError> {
        write(&self.private, private_pem, PRIVATE_MODE)?;
        write(&self.public, public_pem, PUBLIC_MODE)
    }
}

/// A new file; one that is there, even a link to nowhere, is left alone.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let fault = |source| CliError::Io { what: path.display().to_string(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)
}
