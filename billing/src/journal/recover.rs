//! Opens a journal folder: creates it, or repairs what a crash may leave, and closes what was open.
//! Never guesses: what no crash can leave is refused with its place, and nothing is changed.
//! Called by `Journal::open`, before the writer's thread starts.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    path::Path,
    sync::Arc,
};

use domain::{Clock, JournalId, RequestId};

use super::{
    FORMAT, JournalConfig, LINE_BYTES_MAX, Recovery,
    disk::{Disk, DiskFile, Identity, create_folder, list_segments, lock, segment_path},
    entry::{CheckpointEntry, OpenEntry, crashed_record},
    error::{Damage, IdentityProblem, JournalError, Place, VerifyError},
    intake::{Entry, Index, Shared, Span},
    line::{Chain, Line},
    scan::{LineReader, Scan},
    writer::{DiskError, Writer},
};

/// The smallest segment: room for a header and one line of any length.
const SEGMENT_BYTES_MIN: u64 = 2 * LINE_BYTES_MAX as u64;

/// An opened journal whose writer does not run yet.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    pub(super) lock: File,
    pub(super) recovery: Recovery,
}

/// Takes the folder, repairs its tail, writes a `crashed` record for each open request, and syncs.
pub(super) fn open(
    config: JournalConfig,
    clock: &dyn Clock,
    disk: Arc<dyn Disk>,
) -> Result<Opened, JournalError> {
    check_config(&config)?;
    create_folder(&config.folder)?;
    let lock = lock(&config.folder)?;
    if Identity::read(&config.folder)?.is_none() {
        create(&config, clock, disk.as_ref())?;
    }
    let found = Found::read(&config.folder)?;
    let segment = found.last_segment;
    let path = segment_path(&config.folder, segment);
    let (file, bytes) = repair(&path, &found, disk.as_ref())?;
    let synced = disk.sync_folder(&config.folder);
    synced.map_err(JournalError::io("sync the journal folder", &config.folder))?;

    let shared = Arc::new(Shared::new(config, found.journal_id, found.index));
    let mut writer = Writer::new(Arc::clone(&shared), disk, segment, file, bytes);
    if bytes == 0 {
        writer.write_header().map_err(|error| startup_error(error, &path))?;
    }
    let crashed = found.open.len();
    close_crashed(&mut writer, found.open).map_err(|error| startup_error(error, &path))?;
    shared.intake().health.admits()?;
    let recovery = Recovery {
        journal_id: found.journal_id,
        records: shared.index().chain.last_sequence(),
        crashed,
        truncated_bytes: found.truncated_bytes,
    };
    Ok(Opened { shared, writer, lock, recovery })
}

fn check_config(config: &JournalConfig) -> Result<(), JournalError> {
    let rows = [
        ("segment_bytes_max", SEGMENT_BYTES_MIN, config.segment_bytes_max),
        ("bytes_max", config.segment_bytes_max, config.bytes_max),
    ];
    match rows.into_iter().find(|(_, min, found)| found < min) {
        Some((field, min, found)) => Err(JournalError::BadConfig { field, min, found }),
        None => Ok(()),
    }
}

fn startup_error(error: DiskError, path: &Path) -> JournalError {
    JournalError::io(error.action, path)(error.source)
}

/// Makes a new journal: the first segment, and only then the identity that makes the folder a journal.
fn create(config: &JournalConfig, clock: &dyn Clock, disk: &dyn Disk) -> Result<(), JournalError> {
    let folder = &config.folder;
    match list_segments(folder)?.as_slice() {
        [] => {}
        // A creation that died before its last step left one segment with nothing in it.
        [1] if is_blank(&segment_path(folder, 1))? => {
            let path = segment_path(folder, 1);
            disk.remove(&path).map_err(JournalError::io("remove an unfinished segment", path))?;
        }
        _ => {
            let lost = IdentityProblem::Lost;
            return Err(VerifyError::NotAJournal { path: folder.clone(), problem: lost }.into());
        }
    }
    let created_at = clock.now();
    let identity = Identity { format: FORMAT, journal_id: JournalId::generate(created_at), created_at };
    let path = segment_path(folder, 1);
    let file = disk.create(&path).map_err(JournalError::io("create a segment", &path))?;
    let shared = Arc::new(Shared::new(config.clone(), identity.journal_id, Index::new()));
    let mut writer = Writer::new(shared, Arc::new(super::disk::LocalDisk), 1, file, 0);
    writer.write_header().map_err(|error| startup_error(error, &path))?;
    disk.sync_folder(folder).map_err(JournalError::io("sync the journal folder", folder))?;
    identity.write(folder)
}

/// At most a header, whole or torn.
fn is_blank(path: &Path) -> Result<bool, VerifyError> {
    let mut reader = LineReader::open(path, 0, 0).map_err(VerifyError::io(path))?;
    let is_header = match reader.next().map_err(VerifyError::io(path))? {
        None => return Ok(true),
        Some(raw) => !raw.is_ended || matches!(raw.decode(), Ok(Line::Header(_)) | Err(_)),
    };
    Ok(is_header && reader.next().map_err(VerifyError::io(path))?.is_none())
}

/// What the folder holds.
struct Found {
    journal_id: JournalId,
    index: Index,
    last_segment: u64,
    /// The last segment's whole lines end here; `None` when there was no damage.
    cut_at: Option<u64>,
    truncated_bytes: u64,
    /// Requests without a record, in the order they were opened.
    open: Vec<(OpenEntry, Option<CheckpointEntry>)>,
}

impl Found {
    fn read(folder: &Path) -> Result<Self, JournalError> {
        let mut scan = Scan::open(folder)?;
        let mut index = Index::new();
        let mut open: HashMap<RequestId, (u64, OpenEntry, Option<CheckpointEntry>)> = HashMap::new();
        let mut opened = 0;
        while let Some(scanned) = scan.next()? {
            match scanned.line {
                Line::Header(header) => {
                    let span = Span { number: header.segment, first_sequence: header.next_sequence };
                    index.segments.push_back(span);
                }
                Line::Open(entry) => {
                    opened += 1;
                    open.insert(entry.request_id, (opened, *entry, None));
                }
                Line::Checkpoint(entry) => {
                    if let Some((_, _, checkpoint)) = open.get_mut(&entry.request_id) {
                        *checkpoint = Some(*entry);
                    }
                }
                Line::Close(record, _) => {
                    open.remove(&record.record.request_id);
                }
                Line::Synced(_) => {}
            }
            if let Some(chain) = scan.chain() {
                index.note_appended(scanned.bytes, chain);
            }
        }
        let last_segment = scan.segments().last().copied().unwrap_or(1);
        if index.segments.back().is_none_or(|span| span.number != last_segment) {
            index = begin_again(index, scan.chain(), folder, last_segment)?;
        }
        let mut open: Vec<_> = open.into_values().collect();
        open.sort_unstable_by_key(|(order, ..)| *order);
        Ok(Self {
            journal_id: scan.journal_id(),
            index,
            last_segment,
            cut_at: scan.torn().map(|torn| torn.offset),
            truncated_bytes: scan.torn().map_or(0, |torn| torn.bytes),
            open: open.into_iter().map(|(_, entry, checkpoint)| (entry, checkpoint)).collect(),
        })
    }
}

/// The last segment has no whole header: a rotation died there. The chain before it says what the header was.
/// Without a segment before it this is no crash: the first header is synced before the folder is a journal.
fn begin_again(
    mut index: Index,
    chain: Option<Chain>,
    folder: &Path,
    number: u64,
) -> Result<Index, VerifyError> {
    let Some(chain) = chain else {
        let place = Place { file: segment_path(folder, number), line: 1, offset: 0 };
        return Err(VerifyError::Damaged { place, damage: Damage::NoHeader });
    };
    index.segments.push_back(Span { number, first_sequence: chain.next_sequence });
    Ok(index)
}

/// Cuts the torn tail. What was read may be in the page cache only, so it is synced before it counts.
fn repair(path: &Path, found: &Found, disk: &dyn Disk) -> Result<(Box<dyn DiskFile>, u64), JournalError> {
    let mut file = disk.append(path).map_err(JournalError::io("open the last segment", path))?;
    let bytes = match found.cut_at {
        Some(offset) => {
            file.set_len(offset).map_err(JournalError::io("cut the torn tail", path))?;
            offset
        }
        None => std::fs::metadata(path).map_err(JournalError::io("measure the last segment", path))?.len(),
    };
    file.sync().map_err(JournalError::io("sync the last segment", path))?;
    Ok((file, bytes))
}

fn close_crashed(
    writer: &mut Writer,
    open: Vec<(OpenEntry, Option<CheckpointEntry>)>,
) -> Result<(), DiskError> {
    let mut closes = VecDeque::with_capacity(open.len());
    for (entry, checkpoint) in open {
        let request_id = entry.request_id;
        let json = serde_json::to_vec(&crashed_record(entry, checkpoint));
        let json =
            json.map_err(std::io::Error::other).map_err(DiskError::fatal("encode a crashed record"))?;
        closes.push_back(Entry::Close { request_id, json, waiter: None });
    }
    writer.write_all(&mut closes)
}
