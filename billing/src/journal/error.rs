//! What can go wrong with a journal: while it runs, and in the bytes it left on disk.
//! Never a request's text and never a retry: each error says what the caller may still do.
//! Returned by every part of `journal`; `fault()` is what the gateway maps to an answer.

use std::{fmt, io, path::PathBuf, sync::Arc};

use domain::{Fault, JournalId, RecordHash, RequestId};

use super::{LINE_BYTES_MAX, OPEN_REQUESTS_MAX, QUEUE_ENTRIES_MAX};

/// Why the journal did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process, or another `Journal` of this one, has the folder open.
    #[error("{}: in use by {holder}; one journal folder serves one process", folder.display())]
    Locked {
        /// The journal's folder.
        folder: PathBuf,
        /// Who holds it, as far as it is known.
        holder: String,
    },
    /// A limit in the configuration cannot work.
    #[error("journal {field} must be at least {min}, not {found}")]
    BadConfig {
        /// The field of `JournalConfig`.
        field: &'static str,
        /// The smallest value that works.
        min: u64,
        /// The value given.
        found: u64,
    },
    /// What is on disk is not what a journal may look like after any crash.
    #[error(transparent)]
    Damaged(#[from] VerifyError),
    /// The operating system refused something while opening, reading or pruning.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// A write or a sync failed earlier. Nothing is accepted until the process starts again: after a
    /// failed sync the system may have dropped the bytes, so trying again would prove nothing.
    #[error("the journal failed ({action}: {kind}) and accepts nothing until a restart")]
    Failed {
        /// What was attempted when it failed.
        action: &'static str,
        /// The system's answer.
        kind: io::ErrorKind,
    },
    /// The disk has no room. The record is not stored; the request stays open and may be closed again.
    #[error("the journal's disk is full")]
    DiskFull,
    /// More records wait for the ledger than the bound allows.
    #[error("{unshipped_bytes} bytes of the journal are not yet in the ledger; the bound is {bytes_max}")]
    Full {
        /// Bytes that are not in the ledger.
        unshipped_bytes: u64,
        /// The configured bound.
        bytes_max: u64,
    },
    /// The writer is behind.
    #[error("{QUEUE_ENTRIES_MAX} entries wait for the journal's disk already")]
    QueueFull,
    /// Too many requests are open at once.
    #[error("{OPEN_REQUESTS_MAX} requests are open in the journal already")]
    TooManyOpen,
    /// The journal was shut down.
    #[error("the journal was shut down")]
    Stopped,
    /// The request id was opened before and not closed.
    #[error("request {request_id} is open already")]
    AlreadyOpen {
        /// The request.
        request_id: RequestId,
    },
    /// The request was never opened here, or has its record already.
    #[error("request {request_id} is not open: it was never opened, or it is closed already")]
    NotOpen {
        /// The request.
        request_id: RequestId,
    },
    /// A close of the request is on its way to the disk.
    #[error("request {request_id} is being closed already")]
    Closing {
        /// The request.
        request_id: RequestId,
    },
    /// The entry does not fit in a line.
    #[error("the entry of request {request_id} takes {bytes} bytes; a journal line holds {LINE_BYTES_MAX}")]
    TooLong {
        /// The request.
        request_id: RequestId,
        /// The length it would have.
        bytes: usize,
    },
    /// The entry cannot be written as JSON.
    #[error("the entry of request {request_id} cannot be written as JSON")]
    Encode {
        /// The request.
        request_id: RequestId,
        /// The encoder's answer.
        source: Arc<serde_json::Error>,
    },
    /// The records asked for were released and their segments removed.
    #[error("records up to {first} were removed; reading after {sequence} is no longer possible", first = first_sequence.saturating_sub(1))]
    Pruned {
        /// The sequence asked for.
        sequence: u64,
        /// The first record that is still here.
        first_sequence: u64,
    },
    /// The caller knows of records that this journal does not have: it lost its tail, or another journal is meant.
    #[error("sequence {sequence} was named, but the journal's last record is {last_sequence}")]
    Ahead {
        /// The sequence named.
        sequence: u64,
        /// The last durable record.
        last_sequence: u64,
    },
}

impl JournalError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Locked { .. } | Self::AlreadyOpen { .. } | Self::NotOpen { .. } | Self::Closing { .. } => {
                Fault::Conflict
            }
            Self::BadConfig { .. } | Self::TooLong { .. } => Fault::Invalid,
            Self::DiskFull | Self::Full { .. } | Self::QueueFull | Self::TooManyOpen | Self::Stopped => {
                Fault::Overloaded
            }
            Self::Pruned { .. } => Fault::Missing,
            Self::Ahead { .. } => Fault::Conflict,
            Self::Io { .. } | Self::Failed { .. } | Self::Encode { .. } => Fault::Broken,
            Self::Damaged(error) => error.fault(),
        }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: Arc::new(source) }
    }
}

/// Where in a journal something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// The line's first byte, counted from 0.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}, byte {}", self.file.display(), self.line, self.offset)
    }
}

/// Why a journal on disk could not be read to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VerifyError {
    /// The first difference between what is there and what was written.
    #[error("{place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong there.
        damage: Damage,
    },
    /// The folder is not a journal, or its identity file cannot be used.
    #[error("{}: {problem}", path.display())]
    NotAJournal {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: IdentityProblem,
    },
    /// The operating system refused something.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
}

impl VerifyError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Damaged { .. } => Fault::Broken,
            Self::NotAJournal { problem: IdentityProblem::Missing, .. } => Fault::Missing,
            Self::NotAJournal { .. } => Fault::Broken,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Fault::Missing,
            Self::Io { .. } => Fault::Broken,
        }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source: Arc::new(source) }
    }
}

/// What is wrong with a journal's identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityProblem {
    /// No identity file.
    #[error("there is no journal here (journal.toml is missing)")]
    Missing,
    /// Records without an identity file.
    #[error("there are segments, but journal.toml is missing; restore it or move the folder away")]
    Lost,
    /// An identity file without segments.
    #[error("journal.toml is there, but every segment is gone; restore them or move the folder away")]
    NoSegments,
    /// Unreadable identity file.
    #[error("not a journal identity: {reason}")]
    Unreadable {
        /// What the parser said.
        reason: String,
    },
    /// A newer or unknown format.
    #[error("format {found} is not known to this program")]
    Version {
        /// The format named.
        found: u32,
    },
}

/// What is wrong at one place of a journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Not `<crc> <kind> <json>` with a newline at its end.
    #[error("not a journal line")]
    NotALine,
    /// The checksum does not fit the line.
    #[error("checksum is {found}, the line's bytes give {expected}")]
    Checksum {
        /// The checksum of the bytes that are there.
        expected: String,
        /// The checksum that is written.
        found: String,
    },
    /// A right checksum over a line this program cannot read.
    #[error("the checksum is right, but the {kind} entry cannot be read: {reason}")]
    Unreadable {
        /// The kind of line.
        kind: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A right checksum over a kind that does not exist.
    #[error("the checksum is right, but the kind of line is not known")]
    UnknownKind,
    /// The first line of a segment is not a header.
    #[error("a segment must begin with a header")]
    NoHeader,
    /// A header in the middle of a segment.
    #[error("a header stands in the middle of a segment")]
    SecondHeader,
    /// A format this program does not know.
    #[error("format {found} is not known to this program")]
    Version {
        /// The format named.
        found: u32,
    },
    /// The line belongs to another journal.
    #[error("belongs to journal {found}, this is journal {expected}")]
    ForeignJournal {
        /// This journal.
        expected: JournalId,
        /// The journal named.
        found: JournalId,
    },
    /// A segment is missing, or a file was renamed.
    #[error("segment {expected} should stand here, not segment {found}")]
    SegmentGap {
        /// The number that should follow.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A record is missing, twice there, or out of order.
    #[error("record {expected} should stand here, not record {found}")]
    SequenceGap {
        /// The sequence that should follow.
        expected: u64,
        /// The sequence found.
        found: u64,
    },
    /// The chain is broken: a record was changed after it was written.
    #[error(
        "the chain breaks after record {sequence}: it hashes to {expected}, what follows names {found}; \
         the record or what follows was changed"
    )]
    Chain {
        /// The record before the break.
        sequence: u64,
        /// The hash of what is there.
        expected: RecordHash,
        /// The hash that the next link carries.
        found: RecordHash,
    },
    /// A record without an `open`, in a journal that was never pruned.
    #[error("request {request_id} is closed but was never opened")]
    NeverOpened {
        /// The request.
        request_id: RequestId,
    },
}
