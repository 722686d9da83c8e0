//! One journal line: `<crc32c, 8 hex digits> <kind> <json>\n`, written and read back.
//! Never touches files and never knows which line follows which: that is `scan` and `writer`.
//! The checksum covers `<kind> <json>`; the chain hashes exactly the JSON bytes of `close` lines.

use domain::{JournalId, JournaledRecord, RecordHash};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    FORMAT, LINE_BYTES_MAX,
    entry::{CheckpointEntry, OpenEntry},
    error::Damage,
};

/// Eight hex digits and a space.
const CHECKSUM_BYTES: usize = 9;

/// The kinds of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Open,
    Checkpoint,
    Close,
    Synced,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Header, Self::Open, Self::Checkpoint, Self::Close, Self::Synced];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Open => "open",
            Self::Checkpoint => "checkpoint",
            Self::Close => "close",
            Self::Synced => "synced",
        }
    }
}

/// First line of a segment: where the chain stood when the segment began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    pub(super) journal_id: JournalId,
    pub(super) segment: u64,
    pub(super) next_sequence: u64,
    pub(super) previous_hash: RecordHash,
}

/// First line of each batch: how many bytes of this segment were known to be on disk when it was written.
/// It tells damage that a crash may leave (after those bytes) from damage that it may not (within them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Synced {
    pub(super) bytes: u64,
}

/// A line that was read.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Header(Header),
    Open(Box<OpenEntry>),
    Checkpoint(Box<CheckpointEntry>),
    Close(Box<JournaledRecord>, RecordHash),
    Synced(Synced),
}

/// Where the chain stands: what the next record will be and whom it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) next_sequence: u64,
    pub(super) last_hash: RecordHash,
}

impl Chain {
    pub(super) const START: Self = Self { next_sequence: 1, last_hash: RecordHash::GENESIS };

    pub(super) const fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Checks that `next` follows, and moves on.
    pub(super) fn follow(&mut self, next: &JournaledRecord, hash: RecordHash) -> Result<(), Damage> {
        self.check(next.sequence, next.previous_hash)?;
        *self = Self { next_sequence: next.sequence + 1, last_hash: hash };
        Ok(())
    }

    /// Checks that a link with this sequence and predecessor stands in its place.
    pub(super) fn check(&self, sequence: u64, previous_hash: RecordHash) -> Result<(), Damage> {
        if sequence != self.next_sequence {
            return Err(Damage::SequenceGap { expected: self.next_sequence, found: sequence });
        }
        if previous_hash != self.last_hash {
            return Err(Damage::Chain {
                sequence: self.last_sequence(),
                expected: self.last_hash,
                found: previous_hash,
            });
        }
        Ok(())
    }
}

/// Appends a line of `kind` with `value` as its JSON.
pub(super) fn push_value<T: Serialize>(
    buffer: &mut Vec<u8>,
    kind: Kind,
    value: &T,
) -> Result<(), serde_json::Error> {
    let start = begin(buffer, kind);
    serde_json::to_writer(&mut *buffer, value)?;
    finish(buffer, start);
    Ok(())
}

/// Writes `close` lines: the record's JSON is made by the caller, its place in the chain here.
#[derive(Debug)]
pub(super) struct CloseEncoder {
    prefix: String,
}

impl CloseEncoder {
    /// What every close line has besides record and numbers, at most: checksum, kind, field names, id, hash.
    pub(super) const OVERHEAD_BYTES: usize = 256;

    pub(super) fn new(journal_id: JournalId) -> Self {
        Self { prefix: format!("{{\"journal_id\":\"{journal_id}\",\"sequence\":") }
    }

    /// Appends the record as the chain's next link and moves the chain on.
    ///
    /// The bytes are those of `serde_json::to_vec(&JournaledRecord { .. })`; a test holds them equal.
    pub(super) fn push(
        &self,
        buffer: &mut Vec<u8>,
        chain: &mut Chain,
        record_json: &[u8],
    ) -> (u64, RecordHash) {
        let sequence = chain.next_sequence;
        let start = begin(buffer, Kind::Close);
        let json_start = buffer.len();
        buffer.extend_from_slice(self.prefix.as_bytes());
        push_decimal(buffer, sequence);
        buffer.extend_from_slice(b",\"previous_hash\":\"");
        push_hex(buffer, chain.last_hash.as_bytes());
        buffer.extend_from_slice(b"\",\"record\":");
        buffer.extend_from_slice(record_json);
        buffer.push(b'}');
        let hash = hash_json(&buffer[json_start..]);
        finish(buffer, start);
        *chain = Chain { next_sequence: sequence + 1, last_hash: hash };
        (sequence, hash)
    }
}

/// Splits a line (without its newline) into kind and JSON, if its checksum is right.
pub(super) fn split(line: &[u8]) -> Result<(Kind, &[u8]), Damage> {
    if line.len() <= CHECKSUM_BYTES || line.len() >= LINE_BYTES_MAX || line[CHECKSUM_BYTES - 1] != b' ' {
        return Err(Damage::NotALine);
    }
    let (checksum, body) = (&line[..CHECKSUM_BYTES - 1], &line[CHECKSUM_BYTES..]);
    let expected = checksum_hex(body);
    if checksum != expected {
        return Err(match std::str::from_utf8(checksum) {
            Ok(found) if found.bytes().all(|byte| byte.is_ascii_hexdigit()) => Damage::Checksum {
                expected: expected.iter().copied().map(char::from).collect(),
                found: found.to_owned(),
            },
            _ => Damage::NotALine,
        });
    }
    let space = body.iter().position(|byte| *byte == b' ').ok_or(Damage::UnknownKind)?;
    let (name, json) = (&body[..space], &body[space + 1..]);
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == name);
    Ok((kind.ok_or(Damage::UnknownKind)?, json))
}

/// Reads the JSON of a line.
pub(super) fn parse(kind: Kind, json: &[u8]) -> Result<Line, Damage> {
    Ok(match kind {
        Kind::Header => {
            let header: Header = decode(kind, json)?;
            if header.format != FORMAT {
                return Err(Damage::Version { found: header.format });
            }
            Line::Header(header)
        }
        Kind::Open => Line::Open(decode(kind, json)?),
        Kind::Checkpoint => Line::Checkpoint(decode(kind, json)?),
        Kind::Close => Line::Close(decode(kind, json)?, hash_json(json)),
        Kind::Synced => Line::Synced(decode(kind, json)?),
    })
}

fn decode<'a, T: Deserialize<'a>>(kind: Kind, json: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(json)
        .map_err(|error| Damage::Unreadable { kind: kind.as_str(), reason: error.to_string() })
}

/// The chain's hash of a record in its place.
///
/// Errors: none in practice.
pub fn hash_of(journaled: &JournaledRecord) -> Result<RecordHash, serde_json::Error> {
    serde_json::to_vec(journaled).map(|json| hash_json(&json))
}

/// The chain's hash of a `close` line's JSON.
pub(super) fn hash_json(json: &[u8]) -> RecordHash {
    RecordHash::from_bytes(Sha256::digest(json).into())
}

fn begin(buffer: &mut Vec<u8>, kind: Kind) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(b"00000000 ");
    buffer.extend_from_slice(kind.as_str().as_bytes());
    buffer.push(b' ');
    start
}

fn finish(buffer: &mut Vec<u8>, start: usize) {
    let checksum = checksum_hex(&buffer[start + CHECKSUM_BYTES..]);
    buffer[start..start + checksum.len()].copy_from_slice(&checksum);
    buffer.push(b'\n');
}

fn checksum_hex(body: &[u8]) -> [u8; 8] {
    let checksum = crc32c::crc32c(body);
    let mut digits = [0; 8];
    for (index, byte) in checksum.to_be_bytes().into_iter().enumerate() {
        digits[index * 2..index * 2 + 2].copy_from_slice(&hex_pair(byte));
    }
    digits
}

fn push_hex(buffer: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        buffer.extend_from_slice(&hex_pair(*byte));
    }
}

const fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

fn push_decimal(buffer: &mut Vec<u8>, number: u64) {
    buffer.extend_from_slice(number.to_string().as_bytes());
}
