//! Where a model's files come from: a folder, or the program itself.
//! Never interprets them, and never reads more than a bound.
//! Read by `config`, `weights` and `text` while a model is loaded.

use std::{
    borrow::Cow,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::ModelError;

/// The largest JSON file of a known model, a multilingual tokenizer, has 33 MB. Unit: bytes.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// Hub shards have 5 GB at most by default, single files some tens. Unit: bytes.
const WEIGHTS_BYTES_MAX: u64 = 256 << 30;

/// The files of the demo model, as they are in the repository.
const DEMO: [(&str, &[u8]); 5] = [
    ("config.json", include_bytes!("../../../models/demo/config.json")),
    ("generation_config.json", include_bytes!("../../../models/demo/generation_config.json")),
    ("model.safetensors", include_bytes!("../../../models/demo/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../models/demo/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../models/demo/tokenizer_config.json")),
];

/// See the file's header.
#[derive(Clone, Debug)]
pub(crate) enum ModelFiles {
    /// A folder.
    Folder(PathBuf),
    /// The demo model inside the program.
    Demo,
}

impl ModelFiles {
    /// The name of a file in messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(name),
            Self::Demo => Path::new("(demo model)").join(name),
        }
    }

    /// A JSON file's bytes, if it exists.
    pub(crate) fn find_json(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        self.find(name, JSON_BYTES_MAX)
    }

    /// A JSON file that need not exist, as a type.
    pub(crate) fn parse_if_there<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ModelError> {
        let Some(bytes) = self.find_json(name)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|error| ModelError::BadJson { file: self.path(name), error })
    }

    /// A JSON file that must exist, as a type.
    pub(crate) fn parse<T: DeserializeOwned>(&self, name: &str) -> Result<T, ModelError> {
        self.parse_if_there(name)?.ok_or_else(|| ModelError::MissingFile { file: self.path(name) })
    }

    /// A safetensors file's bytes.
    pub(crate) fn weights(&self, name: &str) -> Result<Cow<'static, [u8]>, ModelError> {
        let found = self.find(name, WEIGHTS_BYTES_MAX)?;
        found.ok_or_else(|| ModelError::MissingFile { file: self.path(name) })
    }

    fn find(&self, name: &str, bytes_max: u64) -> Result<Option<Cow<'static, [u8]>>, ModelError> {
        match self {
            Self::Folder(folder) => Ok(read_bounded(&folder.join(name), bytes_max)?.map(Cow::Owned)),
            Self::Demo => {
                let found = DEMO.iter().find(|(file, _)| *file == name);
                Ok(found.map(|(_, bytes)| Cow::Borrowed(*bytes)))
            }
        }
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, ModelError> {
    let unreadable = |error| ModelError::Unreadable { file: path.to_owned(), error };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    let expected = file.metadata().map_err(unreadable)?.len().min(bytes_max);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > bytes_max {
        return Err(ModelError::TooLarge { file: path.to_owned(), bytes_max });
    }
    Ok(Some(bytes))
}
