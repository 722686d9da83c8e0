//! Walks over everything that a journal tells of requests: how they began, how far they were, how they ended.
//! Never writes and never keeps more than one line; a torn tail ends the walk.
//! Called by `reconcile`.

use std::path::Path;

use domain::{JournalId, JournaledRecord, RecordHash};

use super::{
    entry::{CheckpointEntry, OpenEntry},
    error::VerifyError,
    line::Line,
    scan::Scan,
};

/// What one line tells of a request.
#[derive(Clone, Debug)]
pub enum JournalLine {
    /// It was admitted.
    Open(Box<OpenEntry>),
    /// What its engine had counted so far.
    Checkpoint(Box<CheckpointEntry>),
    /// Its record.
    Close(Box<JournaledRecord>, RecordHash),
}

/// The lines of a journal folder, in order.
///
/// Errors: the first damage; nothing follows it.
pub struct JournalLines {
    scan: Scan,
    is_ended: bool,
}

impl JournalLines {
    /// Starts at the first line, in constant memory: changes nothing, takes no lock.
    ///
    /// Errors: the folder is not a journal.
    pub fn open(folder: &Path) -> Result<Self, VerifyError> {
        Ok(Self { scan: Scan::open(folder)?, is_ended: false })
    }

    /// Which journal it is.
    pub fn journal_id(&self) -> JournalId {
        self.scan.journal_id()
    }
}

impl Iterator for JournalLines {
    type Item = Result<JournalLine, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_ended {
            match self.scan.next() {
                Ok(Some(scanned)) => match scanned.line {
                    Line::Open(entry) => return Some(Ok(JournalLine::Open(entry))),
                    Line::Checkpoint(entry) => return Some(Ok(JournalLine::Checkpoint(entry))),
                    Line::Close(record, hash) => return Some(Ok(JournalLine::Close(record, hash))),
                    Line::Header(_) | Line::Synced(_) => {}
                },
                Ok(None) => self.is_ended = true,
                Err(error) => {
                    self.is_ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
