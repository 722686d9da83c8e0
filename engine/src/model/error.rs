//! What can be wrong with a model's files, said so that the reader can fix it.
//! Never says more than one thing at a time: the first fault found is reported.
//! Returned when an engine is started.

use std::path::PathBuf;

use domain::Fault;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file that must be there is not.
    #[error("{}: no such file", file.display())]
    MissingFile {
        /// The file.
        file: PathBuf,
    },
    /// The system would not read a file.
    #[error("{}: cannot be read: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// A file is larger than any sound one.
    #[error("{}: larger than {bytes_max} bytes", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most accepted.
        bytes_max: u64,
    },
    /// Not JSON, or a field is missing or of another kind; the parser names line and column.
    #[error("{}: {error}", file.display())]
    BadJson {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        #[source]
        error: serde_json::Error,
    },
    /// A value contradicts another or is out of range.
    #[error("{}: {field} {rule}", file.display())]
    BadValue {
        /// The file.
        file: PathBuf,
        /// Which field.
        field: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// The model asks for something this engine does not do.
    #[error("{}: {field} {found:?} is not supported; supported: {supported}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// Which field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        supported: &'static str,
    },
    /// The file is cut off, or is no safetensors file.
    #[error("{}: not a whole safetensors file: {error}", file.display())]
    BadSafetensors {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        #[source]
        error: safetensors::SafeTensorError,
    },
    /// No file has this tensor.
    #[error("{}: tensor {tensor} is missing", file.display())]
    MissingTensor {
        /// The file that should have it.
        file: PathBuf,
        /// Its name.
        tensor: String,
    },
    /// The tensor has another shape than `config.json` says.
    #[error("{}: tensor {tensor} has shape {found:?}; config.json asks for {expected:?}", file.display())]
    WrongShape {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it must have.
        expected: Vec<usize>,
    },
    /// The tensor has numbers that are infinite or not numbers.
    #[error("{}: tensor {tensor} has values that are not finite numbers", file.display())]
    NotFinite {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The index names a file outside the model's folder.
    #[error("{}: weight_map names {found:?}, which is not a plain file name", file.display())]
    BadShardName {
        /// The index.
        file: PathBuf,
        /// What it names.
        found: String,
    },
    /// The tokenizer cannot be read.
    #[error("{}: not a tokenizer: {what}", file.display())]
    BadTokenizer {
        /// The file.
        file: PathBuf,
        /// What the parser said.
        what: String,
    },
    /// The tokenizer makes ids that the model has no row for.
    #[error("{}: has token ids up to {id_max}, but the model's vocabulary has {vocabulary} entries", file.display())]
    TokenizerTooLarge {
        /// The file.
        file: PathBuf,
        /// The largest id.
        id_max: u32,
        /// Rows of the embedding.
        vocabulary: u32,
    },
    /// The chat template does not compile.
    #[error("{}: the chat template does not compile: {error}", file.display())]
    BadTemplate {
        /// The file.
        file: PathBuf,
        /// What the compiler said.
        #[source]
        error: minijinja::Error,
    },
    /// The tensor library refused the weights.
    #[error("the weights could not be prepared: {error}")]
    Tensor {
        /// What it said.
        #[source]
        error: candle_core::Error,
    },
    /// The threads of the forward pass could not be started.
    #[error("the threads of the forward pass could not be started: {error}")]
    Threads {
        /// What the system said.
        #[source]
        error: rayon::ThreadPoolBuildError,
    },
}

impl ModelError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::MissingFile { .. } => Fault::Missing,
            Self::Unreadable { .. } => Fault::Forbidden,
            Self::TooLarge { .. }
            | Self::BadJson { .. }
            | Self::BadValue { .. }
            | Self::Unsupported { .. }
            | Self::BadSafetensors { .. }
            | Self::MissingTensor { .. }
            | Self::WrongShape { .. }
            | Self::NotFinite { .. }
            | Self::BadShardName { .. }
            | Self::BadTokenizer { .. }
            | Self::TokenizerTooLarge { .. }
            | Self::BadTemplate { .. } => Fault::Invalid,
            Self::Tensor { .. } | Self::Threads { .. } => Fault::Broken,
        }
    }
}
