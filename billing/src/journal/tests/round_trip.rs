//! What is written comes back, in order, once, as the same bytes the chain was hashed over.
//! Never a broken folder and never a failing disk: those have their own files.
//! Run by `cargo test -p billing`.

use std::{
    collections::HashSet,
    future::Future as _,
    os::unix::fs::PermissionsExt as _,
    task::{Context, Poll, Waker},
};

use domain::Fault;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::journal::{
    LINE_BYTES_MAX,
    line::{Chain, CloseEncoder},
};

#[tokio::test]
async fn records_come_back_in_order() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, recovery) = open(config(folder.path())).expect("open");
    assert_eq!((recovery.records, recovery.crashed, recovery.truncated_bytes), (0, 0, 0));
    journal.open_request(opened(id(1))).expect("open");
    journal.checkpoint(checkpointed(id(1), 10)).expect("checkpoint");
    let first = journal.close(closed(id(1))).await.expect("close");
    assert_eq!((first.sequence(), first.record()), (1, &closed(id(1))));
    write(&journal, 2..6).await;

    let records = journal.read_after(0, 100).expect("read");
    assert_eq!(records[0].1, first.hash());
    assert_eq!(records.iter().map(|(record, _)| record.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(records.iter().all(|(record, _)| record.journal_id == journal.id()));
    assert_eq!(*journal.tail().borrow(), 5);
    assert_eq!(journal.status().open_requests, 0);
    let id_before = journal.id();
    journal.shutdown().await.expect("shutdown");

    assert_eq!(read(folder.path()), records);
    let report = check(folder.path());
    assert_eq!((report.records, report.first_sequence, report.last_sequence), (5, Some(1), Some(5)));
    assert_eq!((report.last_hash, report.open_requests, report.torn_tail), (records[4].1, 0, None));
    let (journal, recovery) = open(config(folder.path())).expect("open again");
    assert_eq!((journal.id(), recovery.journal_id), (id_before, id_before));
    assert_eq!((recovery.records, recovery.crashed, recovery.truncated_bytes), (5, 0, 0));
    write(&journal, 6..7).await;
    assert_eq!(journal.read_after(5, 1).expect("read")[0].0.previous_hash, records[4].1);
}

#[tokio::test]
async fn an_open_line_is_written_once_its_guard_is_dropped_and_never_behind_its_record() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    let held = journal.open_request(opened(id(1))).expect("open");
    let _closed = journal.close(closed(id(1))).await.expect("close");
    drop(held);
    let kinds: Vec<String> = lines(&segment(folder.path(), 1))
        .iter()
        .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
        .collect();
    assert_eq!(kinds, ["header", "synced", "open", "close"]);
    drop(journal.open_request(opened(id(2))).expect("open"));
    // Nothing but the guard's end wakes the writer; a lost wake would leave the line out for ever.
    while lines(&segment(folder.path(), 1)).iter().filter(|line| line.contains(" open ")).count() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(journal.status().open_requests, 1);
}

#[test]
fn the_writer_spells_records_as_serde_does() {
    let journal_id = domain::JournalId::from_uuid(Uuid::from_u128(99));
    let mut chain = Chain { next_sequence: 41, last_hash: RecordHash::from_bytes([0xa5; 32]) };
    let record = closed(id(1));
    let whole =
        JournaledRecord { journal_id, sequence: 41, previous_hash: chain.last_hash, record: record.clone() };
    let expected = serde_json::to_vec(&whole).expect("json");
    let mut buffer = Vec::new();
    let json = serde_json::to_vec(&record).expect("json");
    let (sequence, hash) = CloseEncoder::new(journal_id).push(&mut buffer, &mut chain, &json);
    assert_eq!(sequence, 41);
    assert_eq!(hash, RecordHash::from_bytes(Sha256::digest(&expected).into()));
    let line = String::from_utf8(buffer).expect("text");
    assert_eq!(
        line,
        format!("{}\n", reseal(&format!("00000000 close {}", str::from_utf8(&expected).expect("text"))))
    );
    assert!(line.len() - json.len() <= CloseEncoder::OVERHEAD_BYTES - 13, "room for longer sequences");
}

#[tokio::test]
async fn what_contradicts_the_journal_is_refused() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    let refused = journal.close(closed(id(1))).await.expect_err("never opened");
    assert!(matches!(refused, JournalError::NotOpen { .. }), "{refused}");
    assert_eq!(refused.fault(), Fault::Conflict);
    assert!(journal.checkpoint(checkpointed(id(1), 1)).is_err());

    journal.open_request(opened(id(1))).expect("open");
    let twice = journal.open_request(opened(id(1))).expect_err("open twice");
    assert!(matches!(twice, JournalError::AlreadyOpen { .. }), "{twice}");
    let (one, other) = tokio::join!(journal.close(closed(id(1))), journal.close(closed(id(1))));
    assert_eq!(one.expect("the first stands").sequence(), 1);
    assert!(matches!(other, Err(JournalError::Closing { .. } | JournalError::NotOpen { .. })));
    assert!(matches!(journal.close(closed(id(1))).await, Err(JournalError::NotOpen { .. })));

    let long = OpenEntry { backend: "b".repeat(LINE_BYTES_MAX), ..opened(id(2)) };
    let long = journal.open_request(long).expect_err("too long");
    assert_eq!((long.fault(), journal.status().open_requests), (Fault::Invalid, 0));
    journal.open_request(opened(id(3))).expect("open");
    let long = UsageRecord { backend: "b".repeat(LINE_BYTES_MAX), ..closed(id(3)) };
    assert!(matches!(journal.close(long).await, Err(JournalError::TooLong { .. })));
    drop(journal.close(closed(id(3))).await.expect("still open"));
    journal.shutdown().await.expect("shutdown");
    assert!(matches!(journal.open_request(opened(id(4))), Err(JournalError::Stopped)));
    assert!(matches!(journal.is_writable(), Err(JournalError::Stopped)));
    assert_eq!(request_ids(folder.path()), [id(1), id(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_leave_one_chain() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) =
        open(JournalConfig { segment_bytes_max: 1 << 20, ..config(folder.path()) }).expect("open");
    let tasks: Vec<_> = (0..64_u128)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut sequences = Vec::new();
                for number in task * 500..(task + 1) * 500 {
                    journal.open_request(opened(id(number))).expect("open");
                    sequences.push(journal.close(closed(id(number))).await.expect("close").sequence());
                }
                sequences
            })
        })
        .collect();
    let mut sequences = Vec::new();
    for task in tasks {
        sequences.extend(task.await.expect("task"));
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=32_000).collect::<Vec<_>>());
    let commits = journal.status().commits;
    assert!(commits < 32_000, "{commits} syncs for 32,000 records: nothing was grouped");
    journal.shutdown().await.expect("shutdown");
    let report = check(folder.path());
    assert_eq!((report.records, report.open_requests), (32_000, 0));
    assert!(report.segments > 10);
    assert_eq!(request_ids(folder.path()).into_iter().collect::<HashSet<_>>().len(), 32_000);
}

#[tokio::test]
async fn a_close_outlives_its_future() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    for number in 0..20 {
        journal.open_request(opened(id(number))).expect("open");
        let mut close = Box::pin(journal.close(closed(id(number))));
        // The answer cannot be there yet more than rarely; either way the future is gone after one poll.
        let _: Poll<_> = close.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(close);
    }
    let mut tail = journal.tail();
    tail.wait_for(|sequence| *sequence == 20).await.expect("writer");
    assert_eq!(request_ids(folder.path()), (0..20).map(id).collect::<Vec<_>>());
    drop(journal);
    assert_eq!(check(folder.path()).open_requests, 0);
}

#[tokio::test]
async fn one_folder_serves_one_journal() {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("deep/journal");
    let (journal, _) = open(config(&path)).expect("open");
    let refused = open(config(&path)).expect_err("second opener");
    assert_eq!(refused.fault(), Fault::Conflict);
    let text = refused.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    write(&journal, 0..1).await;
    let clone = journal.clone();
    drop(journal);
    assert!(open(config(&path)).is_err(), "a clone is still there");
    drop(clone);
    let (journal, _) = open(config(&path)).expect("free again");
    journal.shutdown().await.expect("shutdown");
    open(config(&path)).expect("free after shutdown, though the journal is still in scope");
    for entry in fs::read_dir(&path).expect("folder") {
        let entry = entry.expect("entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().expect("temp dir");
    let rows = [(0, 1 << 32), (8_191, 1 << 32), (1 << 20, 1 << 10)];
    for (segment_bytes_max, bytes_max) in rows {
        let config = JournalConfig { segment_bytes_max, bytes_max, ..config(&folder.path().join("new")) };
        let refused = open(config).expect_err("bad limits");
        assert_eq!(refused.fault(), Fault::Invalid);
        assert!(!folder.path().join("new").exists(), "nothing was made");
    }
}

#[tokio::test]
async fn verify_works_while_the_journal_is_written() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(small_segments(folder.path())).expect("open");
    write(&journal, 0..1).await;
    let path = folder.path().to_owned();
    let checker = std::thread::spawn(move || {
        (0..50).map(|_| verify(&path, |_| {}).expect("whole").records).collect::<Vec<_>>()
    });
    let mut number = 1;
    while !checker.is_finished() {
        write(&journal, number..number + 10).await;
        number += 10;
    }
    let counts = checker.join().expect("checker");
    assert!(counts.is_sorted() && counts[0] >= 1, "{counts:?}");
}

#[tokio::test]
async fn reading_after_a_record_skips_what_stands_before_it() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(small_segments(folder.path())).expect("open");
    write(&journal, 1..31).await;
    journal.shutdown().await.expect("shutdown");
    let whole = read(folder.path());
    let after = |folder: &Path, sequence| {
        read_after(folder, sequence).expect("journal").collect::<Result<Vec<_>, _>>()
    };
    for sequence in 0..=30_u64 {
        let count = usize::try_from(sequence).expect("small");
        assert_eq!(after(folder.path(), sequence).expect("records"), whole[count..], "after {sequence}");
    }
    assert_eq!(after(folder.path(), 31).expect("nothing"), []);
    assert_eq!(after(folder.path(), u64::MAX).expect("nothing"), []);

    // What is skipped is not read: damage there is not found. What follows is checked.
    let second = segment(folder.path(), 2);
    let first = lines(&second).iter().find_map(|line| {
        let (_, rest) = line.split_once("\"next_sequence\":")?;
        rest.split(',').next()?.parse::<u64>().ok()
    });
    let first = first.expect("a header");
    let edited = copy(folder.path());
    fs::write(segment(edited.path(), 1), "nothing of a journal\n").expect("write");
    let count = usize::try_from(first).expect("small");
    assert_eq!(after(edited.path(), first).expect("records"), whole[count..]);
    assert_eq!(after(edited.path(), first - 1).expect("records"), whole[count - 1..]);
    assert!(after(edited.path(), first - 2).is_err(), "that one stands in the damaged segment");

    // A last segment without a whole header is what a crash leaves: reading passes through the one before.
    let torn = copy(folder.path());
    fs::write(segment(torn.path(), check(folder.path()).segments as u64 + 1), "").expect("write");
    assert_eq!(after(torn.path(), 30).expect("nothing"), []);
    assert_eq!(after(torn.path(), 29).expect("records"), whole[29..]);

    // A record that is no longer there was never handed on by this journal, so its place is named.
    fs::remove_file(segment(folder.path(), 1)).expect("remove");
    let gap = read_after(folder.path(), first - 2).err().expect("refused");
    assert!(
        gap.to_string().contains(&format!("record {} should stand here, not record {first}", first - 1)),
        "{gap}"
    );
    assert_eq!(after(folder.path(), first - 1).expect("records"), whole[count - 1..]);
}
