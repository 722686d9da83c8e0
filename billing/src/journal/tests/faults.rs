//! A disk that is full, that fails to sync, or that writes less than asked.
//! Never a real full disk: the faults are injected between the journal and its files.
//! Run by `cargo test -p billing`.

use std::{
    io::{self, ErrorKind},
    sync::Mutex,
    time::Duration,
};

use domain::Fault;

use super::*;
use crate::journal::{
    JournalState,
    disk::{DiskFile, LocalDisk},
};

/// What the disk does next.
#[derive(Debug)]
struct Faults {
    /// Bytes that still fit; what does not fit is written in part and then refused.
    room_bytes: usize,
    /// Most bytes that one write takes.
    write_bytes_max: usize,
    write: Option<ErrorKind>,
    sync: Option<ErrorKind>,
    cut: Option<ErrorKind>,
    create: Option<ErrorKind>,
}

#[derive(Clone, Debug)]
struct FaultyDisk(Arc<Mutex<Faults>>);

impl FaultyDisk {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Faults {
            room_bytes: usize::MAX,
            write_bytes_max: usize::MAX,
            write: None,
            sync: None,
            cut: None,
            create: None,
        })))
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().expect("lock"));
    }
}

fn fault(kind: Option<ErrorKind>) -> io::Result<()> {
    kind.map_or(Ok(()), |kind| Err(kind.into()))
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        fault(self.0.lock().expect("lock").create)?;
        Ok(Box::new(FaultyFile(self.clone(), LocalDisk.create(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(self.clone(), LocalDisk.append(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(folder)
    }
}

struct FaultyFile(FaultyDisk, Box<dyn DiskFile>);

impl DiskFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut faults = self.0.0.lock().expect("lock");
        fault(faults.write)?;
        let len = bytes.len().min(faults.write_bytes_max).min(faults.room_bytes);
        if len == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let written = self.1.write(&bytes[..len])?;
        faults.room_bytes -= if faults.room_bytes == usize::MAX { 0 } else { written };
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        fault(self.0.0.lock().expect("lock").sync)?;
        self.1.sync()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        fault(self.0.0.lock().expect("lock").cut)?;
        self.1.set_len(bytes)
    }
}

#[tokio::test]
async fn short_writes_are_completed() {
    let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
    disk.set(|faults| faults.write_bytes_max = 7);
    let (journal, _) = open_on(small_segments(folder.path()), Arc::new(disk)).expect("open");
    write(&journal, 0..30).await;
    drop(journal);
    assert_eq!(check(folder.path()).records, 30);
}

#[tokio::test]
async fn a_failed_sync_ends_the_journal() {
    let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
    let (journal, _) = open_on(config(folder.path()), Arc::new(disk.clone())).expect("open");
    write(&journal, 0..3).await;
    for number in 3..6 {
        journal.open_request(opened(id(number))).expect("open");
    }
    // The opens are synced before the fault, so that the fault meets the closes.
    write(&journal, 6..7).await;
    disk.set(|faults| faults.sync = Some(ErrorKind::Other));
    let (a, b) = tokio::join!(journal.close(closed(id(3))), journal.close(closed(id(4))));
    for refused in [a, b] {
        let refused = refused.expect_err("not durable");
        assert_eq!(refused.fault(), Fault::Broken);
        assert!(matches!(refused, JournalError::Failed { kind: ErrorKind::Other, .. }), "{refused}");
    }
    // The disk is well again; the journal stays failed.
    disk.set(|faults| faults.sync = None);
    assert!(matches!(journal.close(closed(id(5))).await, Err(JournalError::Failed { .. })));
    assert!(matches!(journal.open_request(opened(id(9))), Err(JournalError::Failed { .. })));
    assert!(matches!(journal.is_writable(), Err(JournalError::Failed { .. })));
    let status = journal.status();
    assert_eq!(
        (status.state, status.last_error, status.records),
        (JournalState::Failed, Some(ErrorKind::Other), 4)
    );
    assert_eq!(journal.read_after(0, 10).expect("what is durable can still be read").len(), 4);
    assert!(matches!(journal.shutdown().await, Err(JournalError::Failed { .. })));
    drop(journal);

    let (_, recovery) = open(config(folder.path())).expect("restart");
    assert_eq!((recovery.crashed, recovery.truncated_bytes, recovery.records), (3, 0, 7));
    let crashed =
        read(folder.path()).into_iter().filter(|(record, _)| record.record.reason == EndReason::Crashed);
    assert_eq!(crashed.count(), 3, "what was refused was not recorded as completed");
}

#[tokio::test]
async fn a_failed_sync_of_lines_nobody_waits_for_ends_the_journal_too() {
    let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
    let (journal, _) = open_on(config(folder.path()), Arc::new(disk.clone())).expect("open");
    disk.set(|faults| faults.sync = Some(ErrorKind::Other));
    journal.open_request(opened(id(1))).expect("queued");
    wait_for(|| journal.status().state == JournalState::Failed).await;
    assert!(matches!(journal.close(closed(id(1))).await, Err(JournalError::Failed { .. })));
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    // Every way in which the next batch may not fit: not at all, in the middle of a line, between lines.
    for room_bytes in [0, 1, 40, 300, 900] {
        let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
        let (journal, _) = open_on(config(folder.path()), Arc::new(disk.clone())).expect("open");
        write(&journal, 0..3).await;
        journal.open_request(opened(id(3))).expect("open");
        write(&journal, 4..5).await;
        disk.set(|faults| faults.room_bytes = room_bytes);
        // This open meets the full disk, or the close after it does; either way it must not be lost.
        journal.open_request(opened(id(5))).expect("queued");
        let refused = journal.close(closed(id(3))).await.expect_err("no room");
        assert!(matches!(refused, JournalError::DiskFull), "{refused}");
        assert_eq!(refused.fault(), Fault::Overloaded);
        assert!(matches!(journal.is_writable(), Err(JournalError::DiskFull)));
        assert!(matches!(journal.open_request(opened(id(9))), Err(JournalError::DiskFull)));
        assert_eq!(journal.status().state, JournalState::DiskFull);
        assert_eq!(check(folder.path()).torn_tail, None, "the part that was written is gone again");

        disk.set(|faults| faults.room_bytes = usize::MAX);
        let closed_again = journal.close(closed(id(3))).await.expect("closes are tried at once");
        assert_eq!(closed_again.sequence(), 5);
        wait_for(|| journal.is_writable().is_ok()).await;
        drop(journal.close(closed(id(5))).await.expect("the open was kept"));
        write(&journal, 6..7).await;
        drop(journal);
        let report = check(folder.path());
        assert_eq!((report.records, report.open_requests), (7, 0), "room for {room_bytes} bytes");
    }
}

#[tokio::test]
async fn a_full_disk_at_rotation_keeps_the_old_segment() {
    let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
    let (journal, _) = open_on(small_segments(folder.path()), Arc::new(disk.clone())).expect("open");
    disk.set(|faults| faults.create = Some(ErrorKind::StorageFull));
    let mut number = 0;
    let refused = loop {
        journal.open_request(opened(id(number))).expect("open");
        match journal.close(closed(id(number))).await {
            Ok(journaled) => assert_eq!(journaled.sequence(), u64::try_from(number).expect("small") + 1),
            Err(refused) => break refused,
        }
        number += 1;
        assert!(number < 100, "the segment must fill up");
    };
    assert!(matches!(refused, JournalError::DiskFull), "{refused}");
    assert_eq!(journal.status().segments, 1);
    disk.set(|faults| faults.create = None);
    drop(journal.close(closed(id(number))).await.expect("close again"));
    wait_for(|| journal.is_writable().is_ok()).await;
    write(&journal, number + 1..number + 2).await;
    drop(journal);
    let report = check(folder.path());
    assert_eq!((report.segments, u128::from(report.records), report.open_requests), (2, number + 2, 0));
}

#[tokio::test]
async fn any_other_write_error_ends_the_journal() {
    let rows = [(None, Some(ErrorKind::Other)), (Some(ErrorKind::Other), None)];
    for (cut, write_fault) in rows {
        let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
        let (journal, _) = open_on(config(folder.path()), Arc::new(disk.clone())).expect("open");
        write(&journal, 0..1).await;
        journal.open_request(opened(id(1))).expect("open");
        write(&journal, 2..3).await;
        disk.set(|faults| {
            faults.write = write_fault;
            faults.cut = cut;
            // A write that fails for want of room and cannot be taken back leaves half a line.
            faults.room_bytes = if cut.is_some() { 100 } else { usize::MAX };
        });
        assert!(matches!(journal.close(closed(id(1))).await, Err(JournalError::Failed { .. })));
        drop(journal);
        let (_, recovery) = open(config(folder.path())).expect("restart");
        assert_eq!((recovery.crashed, recovery.records), (1, 3));
        assert_eq!(recovery.truncated_bytes > 0, cut.is_some());
        assert_eq!(check(folder.path()).torn_tail, None);
    }
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_refused_and_harmless() {
    let (folder, disk) = (tempfile::tempdir().expect("temp dir"), FaultyDisk::new());
    let (journal, _) = open(config(folder.path())).expect("open");
    journal.open_request(opened(id(1))).expect("open");
    drop(journal);
    disk.set(|faults| faults.room_bytes = 10);
    let refused = open_on(config(folder.path()), Arc::new(disk)).expect_err("no room for the crashed record");
    assert!(matches!(refused, JournalError::DiskFull), "{refused}");
    assert_eq!(open(config(folder.path())).expect("open").1.crashed, 1);
}

/// Waits for what another thread does; the test's own time limit ends a wait for nothing.
async fn wait_for(is_there: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it must happen within 20 seconds");
}
