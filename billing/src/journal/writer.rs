//! The one thread that writes: takes whatever has queued, one buffer, one write, one fdatasync, wakes all.
//! Never waits to gather more, never retries a sync, and never reads what it wrote.
//! Started by `recover`, fed through `intake`.
//!
//! Long because the order of write, sync, publish and failure is one argument and reads as one.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use domain::RecordHash;

use super::{
    FORMAT,
    disk::{Disk, DiskFile, segment_path},
    error::JournalError,
    intake::{Entry, Health, Shared, Span, Work},
    line::{self, Chain, CloseEncoder, Header, Kind, Synced},
};

/// Written and synced at once. A few milliseconds of a disk; larger batches would keep the first waiter longer.
pub(super) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A `synced` line is never longer.
const SYNCED_LINE_BYTES: u64 = 64;

/// How long lines nobody waits for (`open`, `checkpoint`) may stay unsynced. They survive the process's death
/// at once; a machine that dies within this time leaves no trace of a request that got no answer either.
const UNSYNCED_MAX: Duration = Duration::from_millis(10);

/// How often a full disk is tried again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What must fit on the disk before a full journal admits again: one batch.
const PROBE_BYTES: usize = BATCH_BYTES_MAX;

const PROBE_NAME: &str = "journal.probe";

/// A disk operation that went wrong.
#[derive(Debug)]
pub(super) struct DiskError {
    pub(super) action: &'static str,
    pub(super) source: io::Error,
    /// The file is as it was before: with room on the disk, the same may be tried again.
    is_undone: bool,
}

impl DiskError {
    pub(super) fn fatal(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, source, is_undone: false }
    }

    fn is_space(&self) -> bool {
        self.is_undone && matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    encoder: CloseEncoder,
    segment: u64,
    file: Box<dyn DiskFile>,
    /// Length of the segment, and how much of it is known to be on disk.
    written_bytes: u64,
    synced_bytes: u64,
    unsynced_since: Option<Instant>,
    /// Length of the segment's header: up to it the segment is empty.
    header_bytes: u64,
    /// When the disk is tried again; `None` while it has room.
    next_probe: Option<Instant>,
    chain: Chain,
    buffer: Vec<u8>,
    /// `open` lines that met a full disk: written before anything else once there is room.
    carried: Vec<Entry>,
}

impl Writer {
    /// Takes over a segment whose `synced_bytes` are whole and on disk.
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        segment: u64,
        file: Box<dyn DiskFile>,
        synced_bytes: u64,
    ) -> Self {
        let chain = shared.index().chain;
        Self {
            encoder: CloseEncoder::new(shared.journal_id),
            shared,
            disk,
            segment,
            file,
            written_bytes: synced_bytes,
            synced_bytes,
            unsynced_since: None,
            header_bytes: 0,
            next_probe: None,
            chain,
            buffer: Vec::new(),
            carried: Vec::new(),
        }
    }

    /// Works until the journal is stopped or fails.
    pub(super) fn run(mut self) {
        let _end = EndOfThread(Arc::clone(&self.shared));
        let mut pending = VecDeque::new();
        loop {
            let work = self.shared.wait(&mut pending, self.alarm());
            let done = match work {
                Work::Entries => self.write_all(&mut pending),
                Work::Alarm => self.on_alarm(Instant::now()),
                Work::Stop => self.finish(),
            };
            if let Err(error) = done {
                self.fail(&error, pending);
                return;
            }
            if work == Work::Stop {
                return;
            }
        }
    }

    /// Writes everything in `pending`, batch by batch.
    pub(super) fn write_all(&mut self, pending: &mut VecDeque<Entry>) -> Result<(), DiskError> {
        let segment_bytes_max = usize::try_from(self.shared.config.segment_bytes_max).unwrap_or(usize::MAX);
        // Half a segment, so that a batch fits behind the header of a new one.
        let batch_bytes_max = BATCH_BYTES_MAX.min(segment_bytes_max / 2);
        while let Some(first) = pending.pop_front() {
            let mut batch = std::mem::take(&mut self.carried);
            batch.push(first);
            let mut bytes: usize = batch.iter().map(Entry::bytes_max).sum();
            while let Some(entry) = pending.pop_front_if(|entry| bytes + entry.bytes_max() <= batch_bytes_max)
            {
                bytes += entry.bytes_max();
                batch.push(entry);
            }
            self.commit(batch)?;
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        self.file.sync().map_err(DiskError::fatal("sync a segment"))?;
        self.synced_bytes = self.written_bytes;
        self.unsynced_since = None;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Fills a segment's first line; the segment must be empty.
    pub(super) fn write_header(&mut self) -> Result<(), DiskError> {
        self.encode_header(self.segment)?;
        self.append()?;
        self.sync()?;
        self.header_bytes = self.written_bytes;
        Ok(())
    }

    fn commit(&mut self, batch: Vec<Entry>) -> Result<(), DiskError> {
        let bytes_max = batch.iter().map(Entry::bytes_max).sum();
        let mut chain = self.chain;
        let written = self.rotate_for(bytes_max).and_then(|()| self.write_batch(&batch, &mut chain));
        match written {
            Ok(links) => self.publish(batch, links, chain),
            Err(error) if error.is_space() => self.put_off(batch, &error),
            Err(error) => {
                refuse(batch, &JournalError::Failed { action: error.action, kind: error.source.kind() });
                return Err(error);
            }
        }
        Ok(())
    }

    /// One buffer, one write and, when somebody waits, one sync. Returns the place of each close.
    fn write_batch(
        &mut self,
        batch: &[Entry],
        chain: &mut Chain,
    ) -> Result<Vec<(u64, RecordHash)>, DiskError> {
        let mut links = Vec::with_capacity(batch.len());
        self.encode_synced()?;
        for entry in batch {
            match entry {
                Entry::Open { line, .. } | Entry::Checkpoint { line } => self.buffer.extend_from_slice(line),
                Entry::Close { json, .. } => links.push(self.encoder.push(&mut self.buffer, chain, json)),
            }
        }
        self.append()?;
        if links.is_empty() {
            self.unsynced_since.get_or_insert_with(Instant::now);
        } else {
            self.sync()?;
        }
        Ok(links)
    }

    /// Appends the buffer to the segment, wholly or not at all.
    fn append(&mut self) -> Result<(), DiskError> {
        if let Err(source) = write_fully(self.file.as_mut(), &self.buffer) {
            let is_undone = self.file.set_len(self.written_bytes).is_ok();
            return Err(DiskError { action: "write to a segment", source, is_undone });
        }
        self.written_bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Begins the next segment when this one has no room for a batch of `bytes`.
    fn rotate_for(&mut self, bytes: usize) -> Result<(), DiskError> {
        let is_empty = self.written_bytes <= self.header_bytes;
        if is_empty
            || self.written_bytes + SYNCED_LINE_BYTES + bytes as u64 <= self.shared.config.segment_bytes_max
        {
            return Ok(());
        }
        if self.unsynced_since.is_some() {
            self.sync()?;
        }
        let number = self.segment + 1;
        let path = segment_path(&self.shared.config.folder, number);
        let created = self.disk.create(&path);
        let mut file =
            created.map_err(|source| DiskError { action: "create a segment", source, is_undone: true })?;
        self.encode_header(number)?;
        if let Err(source) = write_fully(file.as_mut(), &self.buffer) {
            let is_undone = self.disk.remove(&path).is_ok();
            return Err(DiskError { action: "begin a segment", source, is_undone });
        }
        file.sync().map_err(DiskError::fatal("sync a new segment"))?;
        let synced = self.disk.sync_folder(&self.shared.config.folder);
        synced.map_err(DiskError::fatal("sync the journal folder"))?;
        self.file = file;
        self.segment = number;
        self.header_bytes = self.buffer.len() as u64;
        self.written_bytes = self.header_bytes;
        self.synced_bytes = self.header_bytes;
        let span = Span { number, first_sequence: self.chain.next_sequence };
        self.shared.index().segments.push_back(span);
        Ok(())
    }

    fn encode_header(&mut self, segment: u64) -> Result<(), DiskError> {
        let header = Header {
            format: FORMAT,
            journal_id: self.shared.journal_id,
            segment,
            next_sequence: self.chain.next_sequence,
            previous_hash: self.chain.last_hash,
        };
        self.buffer.clear();
        let pushed = line::push_value(&mut self.buffer, Kind::Header, &header);
        pushed.map_err(io::Error::other).map_err(DiskError::fatal("encode a header"))
    }

    fn encode_synced(&mut self) -> Result<(), DiskError> {
        self.buffer.clear();
        let synced = Synced { bytes: self.synced_bytes };
        let pushed = line::push_value(&mut self.buffer, Kind::Synced, &synced);
        pushed.map_err(io::Error::other).map_err(DiskError::fatal("encode a batch"))
    }

    /// What was written becomes visible: first to readers and counters, then to those who wait.
    fn publish(&mut self, batch: Vec<Entry>, links: Vec<(u64, RecordHash)>, chain: Chain) {
        self.chain = chain;
        let unshipped_bytes = {
            let mut index = self.shared.index();
            index.note_appended(self.buffer.len() as u64, chain);
            index.unshipped_bytes()
        };
        self.shared.unshipped_bytes.store(unshipped_bytes, Ordering::Release);
        {
            let mut intake = self.shared.intake();
            for entry in &batch {
                match entry {
                    Entry::Open { request_id, .. } => intake.note_opened(*request_id, self.segment),
                    Entry::Checkpoint { .. } => {}
                    Entry::Close { request_id, .. } => intake.note_closed(*request_id),
                }
            }
        }
        if !links.is_empty() {
            self.shared.tail.send_replace(chain.last_sequence());
        }
        let mut links = links.into_iter();
        for entry in batch {
            if let Entry::Close { waiter, .. } = entry
                && let (Some(link), Some(waiter)) = (links.next(), waiter)
            {
                // The caller may have left; its record is durable all the same.
                let _ = waiter.send(Ok(link));
            }
        }
    }

    /// No room: `open` lines are kept for later, closes are refused and may come again, checkpoints are dropped.
    fn put_off(&mut self, batch: Vec<Entry>, error: &DiskError) {
        if self.next_probe.is_none() {
            tracing::error!(error = %error.source, "the journal's disk is full: no new request is admitted");
        }
        self.next_probe = Some(Instant::now() + PROBE_INTERVAL);
        let mut closes = Vec::new();
        {
            let mut intake = self.shared.intake();
            intake.health = Health::DiskFull;
            for entry in batch {
                match entry {
                    Entry::Open { .. } => self.carried.push(entry),
                    Entry::Checkpoint { .. } => {}
                    Entry::Close { request_id, .. } => {
                        intake.note_not_closed(request_id);
                        closes.push(entry);
                    }
                }
            }
        }
        refuse(closes, &JournalError::DiskFull);
    }

    fn alarm(&self) -> Option<Instant> {
        let sync_at = self.unsynced_since.map(|since| since + UNSYNCED_MAX);
        [sync_at, self.next_probe].into_iter().flatten().min()
    }

    fn on_alarm(&mut self, now: Instant) -> Result<(), DiskError> {
        if self.unsynced_since.is_some_and(|since| since + UNSYNCED_MAX <= now) {
            self.sync()?;
        }
        if self.next_probe.is_some_and(|at| at <= now) {
            self.probe(now)?;
        }
        Ok(())
    }

    /// Tries whether a full disk has room again; if so, new requests are admitted.
    fn probe(&mut self, now: Instant) -> Result<(), DiskError> {
        self.next_probe = Some(now + PROBE_INTERVAL);
        if !self.has_room() {
            return Ok(());
        }
        let carried = std::mem::take(&mut self.carried);
        if !carried.is_empty() {
            self.commit(carried)?;
        }
        if self.carried.is_empty() {
            self.next_probe = None;
            self.shared.intake().health = Health::Good;
            tracing::info!("the journal's disk has room again: requests are admitted");
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let path = self.shared.config.folder.join(PROBE_NAME);
        // Left over from a probe that did not end; the creation below says whether it matters.
        let _ = self.disk.remove(&path);
        let written = self.disk.create(&path).and_then(|mut file| {
            write_fully(file.as_mut(), &vec![0; PROBE_BYTES])?;
            file.sync()
        });
        let removed = self.disk.remove(&path);
        written.is_ok() && removed.is_ok()
    }

    /// The last words: everything is on disk, and a line that vouches for it.
    fn finish(&mut self) -> Result<(), DiskError> {
        let carried = std::mem::take(&mut self.carried);
        if !carried.is_empty() {
            self.commit(carried)?;
        }
        if !self.carried.is_empty() {
            let requests = self.carried.len();
            tracing::error!(
                requests,
                "the disk is full: requests that were open leave no trace in the journal"
            );
        }
        if self.unsynced_since.is_some() {
            self.sync()?;
        }
        self.encode_synced()?;
        match self.append() {
            Ok(()) => self.sync(),
            Err(error) if error.is_space() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn fail(&mut self, error: &DiskError, pending: VecDeque<Entry>) {
        let kind = error.source.kind();
        tracing::error!(action = error.action, error = %error.source, "the journal failed: restart to recover");
        // What was never acknowledged must not come back from the page cache as if it were durable. If this
        // fails as well, recovery still finds whole lines or a torn tail.
        let _ = self.file.set_len(self.synced_bytes);
        let health = Health::Failed { action: error.action, kind };
        let queued = self.shared.intake().end(health);
        let failed = JournalError::Failed { action: error.action, kind };
        refuse(pending, &failed);
        refuse(queued, &failed);
    }
}

/// Tells all who wait for these entries.
fn refuse(entries: impl IntoIterator<Item = Entry>, error: &JournalError) {
    for entry in entries {
        if let Entry::Close { waiter: Some(waiter), .. } = entry {
            // The caller may have left; there is nobody else to tell.
            let _ = waiter.send(Err(error.clone()));
        }
    }
}

fn write_fully(file: &mut dyn DiskFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whatever ends the thread, even a panic: nobody waits for it any more.
struct EndOfThread(Arc<Shared>);

impl Drop for EndOfThread {
    fn drop(&mut self) {
        let mut intake = self.0.intake();
        let health = match intake.health {
            Health::Failed { .. } => intake.health,
            Health::Good | Health::DiskFull | Health::Stopped if std::thread::panicking() => {
                Health::Failed { action: "keep the writer alive", kind: ErrorKind::Other }
            }
            Health::Good | Health::DiskFull | Health::Stopped => Health::Stopped,
        };
        let left = intake.end(health);
        drop(intake);
        drop(left);
    }
}
