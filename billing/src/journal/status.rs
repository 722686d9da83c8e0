//! What a journal says about itself: what it found when it was opened, and how it does now.
//! Never a decision: these are numbers and names for people, readiness checks and metrics.
//! Filled by `Journal::open` and `Journal::status`.

use std::io;

use domain::JournalId;

/// What opening a journal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Which journal.
    pub journal_id: JournalId,
    /// Records it has, counted from its beginning: the last record's sequence.
    pub records: u64,
    /// Requests that were open and have a `crashed` record now.
    pub crashed: usize,
    /// Bytes of a torn tail that were cut off; none of them was ever acknowledged.
    pub truncated_bytes: u64,
}

/// Whether a journal accepts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It does.
    Open,
    /// Too much waits for the ledger.
    Full,
    /// The disk has no room; tried again every second.
    DiskFull,
    /// A write or sync failed; only a restart helps.
    Failed,
    /// It was shut down.
    Stopped,
}

/// The journal in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalStatus {
    /// Whether it accepts requests.
    pub state: JournalState,
    /// Bytes that are not in the ledger, to within 1 MiB above.
    pub unshipped_bytes: u64,
    /// Records, counted from the journal's beginning.
    pub records: u64,
    /// Records that were released.
    pub released_records: u64,
    /// Syncs since the start.
    pub commits: u64,
    /// Requests without a record.
    pub open_requests: usize,
    /// Segment files.
    pub segments: usize,
    /// What made it fail.
    pub last_error: Option<io::ErrorKind>,
}
