//! Where a journal lives and how large it may grow.
//! Never checks the disk: opening the journal does.
//! Made by the command line from the configuration file.

use std::path::PathBuf;

/// 64 MiB: read in a fraction of a second, and small enough that pruning frees space steadily.
const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// 4 GiB: some four million requests, hours of a database outage at a thousand requests a second.
const BYTES_DEFAULT: u64 = 4 * 1024 * 1024 * 1024;

/// 256 MiB of shipped records stay, so that a ledger restored from last night's copy can be filled up again.
const RETAINED_SEGMENTS_DEFAULT: usize = 4;

/// Where a journal lives and how large it may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The journal's own folder; made if it is not there.
    pub folder: PathBuf,
    /// A segment is closed before it grows beyond this. Unit: bytes.
    pub segment_bytes_max: u64,
    /// Bytes that may wait for the ledger; beyond it new requests are refused.
    pub bytes_max: u64,
    /// Shipped segments that are kept.
    pub retained_segments: usize,
}

impl JournalConfig {
    /// The usual limits.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes_max: SEGMENT_BYTES_DEFAULT,
            bytes_max: BYTES_DEFAULT,
            retained_segments: RETAINED_SEGMENTS_DEFAULT,
        }
    }
}
