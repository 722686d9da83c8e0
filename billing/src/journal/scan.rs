//! Reads a journal from disk, line by line, and checks every link: checksum, order, chain, segment.
//! Never writes, never keeps more than one line in memory, and never repairs: a torn tail is only reported.
//! Called by `recover`, `verify` and `ClosedRecords`; `tail` reads single lines with the same reader.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use domain::{JournalId, JournaledRecord, RecordHash};

use super::{
    LINE_BYTES_MAX,
    disk::{Identity, list_segments, segment_path},
    error::{Damage, IdentityProblem, Place, VerifyError},
    line::{self, Chain, Line},
};

/// One read of the file at a time; larger than most batches.
const READ_BUFFER_BYTES: usize = 128 * 1024;

/// A line as it stands in a file, not yet checked.
pub(super) struct RawLine<'a> {
    /// Without the newline.
    pub(super) bytes: &'a [u8],
    pub(super) number: u64,
    pub(super) offset: u64,
    /// False at the end of the file and for what is too long to be a line.
    pub(super) is_ended: bool,
}

impl RawLine<'_> {
    pub(super) fn decode(&self) -> Result<Line, Damage> {
        if !self.is_ended {
            return Err(Damage::NotALine);
        }
        let (kind, json) = line::split(self.bytes)?;
        line::parse(kind, json)
    }
}

/// Lines of one file from an offset on, in constant memory.
pub(super) struct LineReader {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    offset: u64,
    next_offset: u64,
}

impl LineReader {
    /// Begins at `offset`, before which `lines` lines stand.
    pub(super) fn open(path: &Path, offset: u64, lines: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            reader: BufReader::with_capacity(READ_BUFFER_BYTES, file),
            line: Vec::with_capacity(LINE_BYTES_MAX),
            number: lines,
            offset,
            next_offset: offset,
        })
    }

    /// Where the next line begins.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub(super) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let read = (&mut self.reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.offset = self.next_offset;
        self.next_offset += read as u64;
        self.number += 1;
        let (bytes, is_ended) = match self.line.strip_suffix(b"\n") {
            Some(bytes) => (bytes, true),
            None => (self.line.as_slice(), false),
        };
        Ok(Some(RawLine { bytes, number: self.number, offset: self.offset, is_ended }))
    }
}

/// What a crash left behind the last whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The last segment.
    pub file: PathBuf,
    /// Where the damage begins; everything before is whole.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
}

/// A line that stands in its place.
pub(super) struct Scanned {
    pub(super) place: Place,
    pub(super) segment: u64,
    /// Bytes of the line, newline included.
    pub(super) bytes: u64,
    pub(super) line: Line,
}

/// A walk over all lines of a journal.
pub(super) struct Scan {
    folder: PathBuf,
    journal_id: JournalId,
    segments: Vec<u64>,
    index: usize,
    reader: Option<LineReader>,
    chain: Option<Chain>,
    torn: Option<TornTail>,
}

impl Scan {
    /// Starts at the first segment that is there.
    pub(super) fn open(folder: &Path) -> Result<Self, VerifyError> {
        let not_a_journal = |problem| VerifyError::NotAJournal { path: folder.to_owned(), problem };
        let identity = Identity::read(folder)?.ok_or_else(|| not_a_journal(IdentityProblem::Missing))?;
        let segments = list_segments(folder)?;
        if segments.is_empty() {
            return Err(not_a_journal(IdentityProblem::NoSegments));
        }
        Ok(Self {
            folder: folder.to_owned(),
            journal_id: identity.journal_id,
            segments,
            index: 0,
            reader: None,
            chain: None,
            torn: None,
        })
    }

    /// Starts at the segment in which the record after `sequence` stands or will stand: earlier ones stay unread.
    ///
    /// Errors: those of `open`; the record after `sequence` is removed already.
    pub(super) fn open_after(folder: &Path, sequence: u64) -> Result<Self, VerifyError> {
        let mut scan = Self::open(folder)?;
        let next_sequence = sequence.saturating_add(1);
        // Backwards, as most often only the last segment is wanted.
        for index in (0..scan.segments.len()).rev() {
            let path = segment_path(folder, scan.segments[index]);
            // One that ends before its header, as a crash leaves it, is read on the way from the one before.
            let Some(begins_at) = first_sequence(&path)? else { continue };
            if begins_at <= next_sequence {
                scan.index = index;
                return Ok(scan);
            }
            if index == 0 {
                let place = Place { file: path, line: 1, offset: 0 };
                let damage = Damage::SequenceGap { expected: next_sequence, found: begins_at };
                return Err(VerifyError::Damaged { place, damage });
            }
        }
        // No header can be read: reading from the start names the damage.
        Ok(scan)
    }

    pub(super) fn journal_id(&self) -> JournalId {
        self.journal_id
    }

    pub(super) fn segments(&self) -> &[u64] {
        &self.segments
    }

    /// Where the chain stands after the lines read so far; `None` before the first header.
    pub(super) fn chain(&self) -> Option<Chain> {
        self.chain
    }

    /// What was found behind the last whole line; known once `next` returned `None`.
    pub(super) fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// The next line that stands in its place; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Scanned>, VerifyError> {
        while let Some(&segment) = self.segments.get(self.index) {
            let path = segment_path(&self.folder, segment);
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.begin_segment(segment, &path)?,
            };
            let Some(raw) = reader.next().map_err(VerifyError::io(&path))? else {
                self.end_segment(path, reader.next_offset())?;
                continue;
            };
            let place = Place { file: path, line: raw.number, offset: raw.offset };
            let (bytes, has_nul) = (raw.bytes.len() as u64 + 1, raw.bytes.contains(&0));
            let split = if raw.is_ended { line::split(raw.bytes) } else { Err(Damage::NotALine) };
            let decoded = match split {
                Ok((kind, json)) => line::parse(kind, json),
                Err(damage) if self.may_be_torn(&damage) => {
                    self.torn = Some(torn_tail(place, damage, has_nul, reader)?);
                    self.index = self.segments.len();
                    return Ok(None);
                }
                Err(damage) => Err(damage),
            };
            let checked = decoded.and_then(|line| self.check(segment, place.offset == 0, line));
            let line = checked.map_err(|damage| VerifyError::Damaged { place: place.clone(), damage })?;
            self.reader = Some(reader);
            return Ok(Some(Scanned { place, segment, bytes, line }));
        }
        Ok(None)
    }

    fn begin_segment(&self, segment: u64, path: &Path) -> Result<LineReader, VerifyError> {
        let before = self.index.checked_sub(1).map(|index| self.segments[index]);
        if let Some(expected) = before.map(|number| number + 1).filter(|number| *number != segment) {
            let place = Place { file: path.to_owned(), line: 1, offset: 0 };
            return Err(VerifyError::Damaged {
                place,
                damage: Damage::SegmentGap { expected, found: segment },
            });
        }
        LineReader::open(path, 0, 0).map_err(VerifyError::io(path))
    }

    /// Only the last segment is ever written, its first header is synced before the folder is a journal, and a
    /// line with a right checksum is a line that was written.
    fn may_be_torn(&self, damage: &Damage) -> bool {
        self.is_last() && self.chain.is_some() && !matches!(damage, Damage::UnknownKind)
    }

    fn is_last(&self) -> bool {
        self.index + 1 == self.segments.len()
    }

    /// A segment that ends before its header is what a crash between creating and filling it leaves.
    fn end_segment(&mut self, path: PathBuf, len: u64) -> Result<(), VerifyError> {
        if len == 0 && (!self.is_last() || self.chain.is_none()) {
            let place = Place { file: path, line: 1, offset: 0 };
            return Err(VerifyError::Damaged { place, damage: Damage::NoHeader });
        }
        if len == 0 {
            self.torn = Some(TornTail { file: path, offset: 0, bytes: 0 });
        }
        self.index += 1;
        Ok(())
    }

    fn check(&mut self, segment: u64, is_first: bool, line: Line) -> Result<Line, Damage> {
        match (&line, &mut self.chain) {
            (Line::Header(header), chain) if is_first => {
                check_id(self.journal_id, header.journal_id)?;
                check_segment(segment, header.segment)?;
                match chain {
                    None => {
                        *chain = Some(Chain {
                            next_sequence: header.next_sequence,
                            last_hash: header.previous_hash,
                        });
                    }
                    Some(chain) => {
                        chain.check(header.next_sequence, header.previous_hash)?;
                    }
                }
            }
            (Line::Header(_), _) => return Err(Damage::SecondHeader),
            (_, None) => return Err(Damage::NoHeader),
            (_, Some(_)) if is_first => return Err(Damage::NoHeader),
            (Line::Close(record, hash), Some(chain)) => {
                check_id(self.journal_id, record.journal_id)?;
                chain.follow(record, *hash)?;
            }
            (Line::Open(_) | Line::Checkpoint(_) | Line::Synced(_), Some(_)) => {}
        }
        Ok(line)
    }
}

fn check_id(expected: JournalId, found: JournalId) -> Result<(), Damage> {
    if expected == found { Ok(()) } else { Err(Damage::ForeignJournal { expected, found }) }
}

fn check_segment(expected: u64, found: u64) -> Result<(), Damage> {
    if expected == found { Ok(()) } else { Err(Damage::SegmentGap { expected, found }) }
}

/// Decides whether damage in the last segment is what a crash may leave.
///
/// It is, when no whole line follows. Whole lines may follow only where blocks in the middle of the last,
/// never synced, bytes did not reach the disk and read as zeros; and never when a later `synced` line vouches
/// for the damaged bytes, nor after a header, which is synced before anything follows it.
fn torn_tail(
    place: Place,
    damage: Damage,
    mut has_nul: bool,
    mut reader: LineReader,
) -> Result<TornTail, VerifyError> {
    while let Some(raw) = reader.next().map_err(VerifyError::io(&place.file))? {
        has_nul |= raw.bytes.contains(&0);
        let Ok(line) = raw.decode() else { continue };
        let is_vouched = matches!(line, Line::Synced(synced) if synced.bytes > place.offset);
        if is_vouched || place.offset == 0 || !has_nul {
            return Err(VerifyError::Damaged { place, damage });
        }
    }
    let bytes = reader.next_offset() - place.offset;
    Ok(TornTail { file: place.file, offset: place.offset, bytes })
}

/// Where the chain stood when a segment began; `None` without a whole header.
fn first_sequence(path: &Path) -> Result<Option<u64>, VerifyError> {
    let mut reader = LineReader::open(path, 0, 0).map_err(VerifyError::io(path))?;
    let line = reader.next().map_err(VerifyError::io(path))?;
    Ok(match line.map(|raw| raw.decode()) {
        Some(Ok(Line::Header(header))) => Some(header.next_sequence),
        _ => None,
    })
}

/// Closed records of a journal folder in order, each with its hash; ends before a torn tail.
///
/// Errors: the first damage; nothing follows it.
pub struct ClosedRecords {
    scan: Scan,
    after: u64,
    is_ended: bool,
}

impl ClosedRecords {
    pub(super) fn open(folder: &Path) -> Result<Self, VerifyError> {
        Ok(Self { scan: Scan::open(folder)?, after: 0, is_ended: false })
    }

    pub(super) fn open_after(folder: &Path, sequence: u64) -> Result<Self, VerifyError> {
        Ok(Self { scan: Scan::open_after(folder, sequence)?, after: sequence, is_ended: false })
    }
}

impl Iterator for ClosedRecords {
    type Item = Result<(JournaledRecord, RecordHash), VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_ended {
            match self.scan.next() {
                Ok(Some(Scanned { line: Line::Close(record, hash), .. })) if record.sequence > self.after => {
                    return Some(Ok((*record, hash)));
                }
                Ok(Some(_)) => {}
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
