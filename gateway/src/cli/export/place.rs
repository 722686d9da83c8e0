//! Where an export goes: standard output, a file, or an object in a bucket.
//! Never a half: a file gets its name, and an object its parts together, only when all is written.
//! Called by `export`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use billing::export::Export;

use super::{bucket, fault};
use crate::{cli::CliError, config::Config};

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
    /// An object.
    Bucket {
        /// The bucket.
        bucket: String,
        /// The object's name in it.
        name: String,
    },
}

impl Place {
    /// Reads the argument.
    ///
    /// Errors: a bucket or an object without a name.
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        if text == "-" {
            return Ok(Self::Stdout);
        }
        let Some(rest) = text.strip_prefix("s3://") else { return Ok(Self::File(PathBuf::from(text))) };
        match rest.split_once('/') {
            Some((bucket, name)) if !bucket.is_empty() && !name.is_empty() && !name.ends_with('/') => {
                Ok(Self::Bucket { bucket: bucket.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => {
                Err(CliError::Usage(format!("--to {text}: a bucket is named as s3://BUCKET/NAME")))
            }
        }
    }

    pub(super) fn is_stdout(&self) -> bool {
        *self == Self::Stdout
    }

    /// Takes all of an export and says how many bytes it had.
    ///
    /// Errors: what cannot be read or written; then nothing is left in the place.
    pub(super) async fn take(&self, config: &Config, export: Export) -> Result<u64, CliError> {
        match self {
            Self::Stdout => pieces(export, &mut io::stdout(), "standard output").await,
            Self::File(path) => file(path, export).await,
            Self::Bucket { bucket, name } => bucket::put(&config.exports.s3, (bucket, name), export).await,
        }
    }
}

async fn pieces(mut export: Export, into: &mut impl io::Write, what: &str) -> Result<u64, CliError> {
    let io = |source| CliError::Io { what: what.to_owned(), source };
    let mut bytes = 0;
    while let Some(piece) = export.next().await.map_err(fault)? {
        match into.write_all(&piece) {
            // A reader that has gone away, as `head` does, is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(bytes),
            written => written.map_err(io)?,
        }
        bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    }
    into.flush().map_err(io)?;
    Ok(bytes)
}

/// Written beside its place, and put there when it is whole.
async fn file(path: &Path, export: Export) -> Result<u64, CliError> {
    let shown = path.display().to_string();
    let io = |source| CliError::Io { what: shown.clone(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let outcome = async {
        let mut file = File::create(&beside).map_err(io)?;
        let bytes = pieces(export, &mut file, &shown).await?;
        file.sync_all().map_err(io)?;
        fs::rename(&beside, path).map_err(io)?;
        Ok(bytes)
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        // What was wrong is told; a half that cannot be removed is of no more use.
        fs::remove_file(&beside).ok();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        assert_eq!(Place::parse("-").expect("a place"), Place::Stdout);
        assert_eq!(Place::parse("a/b.csv").expect("a place"), Place::File(PathBuf::from("a/b.csv")));
        let bucket = Place::Bucket { bucket: "b".to_owned(), name: "x/y.parquet".to_owned() };
        assert_eq!(Place::parse("s3://b/x/y.parquet").expect("a place"), bucket);
        for text in ["s3://", "s3://b", "s3://b/", "s3:///x", "s3://b/x/"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
