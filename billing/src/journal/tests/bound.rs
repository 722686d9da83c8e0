//! How much may wait for the ledger, what the ledger frees, and which segments go.
//! Never a shipper: the tests say what is in the ledger.
//! Run by `cargo test -p billing`.

use domain::Fault;

use super::*;
use crate::journal::JournalState;

fn segments(folder: &Path) -> Vec<u64> {
    crate::journal::disk::list_segments(folder).expect("folder")
}

#[tokio::test]
async fn beyond_the_bound_only_admitted_requests_end() {
    let folder = tempfile::tempdir().expect("temp dir");
    let limits = JournalConfig { bytes_max: 20_000, ..small_segments(folder.path()) };
    let (journal, _) = open(limits.clone()).expect("open");
    for number in 0..3 {
        journal.open_request(opened(id(number))).expect("open");
    }
    let mut number = 3;
    while journal.is_writable().is_ok() {
        write(&journal, number..number + 1).await;
        number += 1;
        assert!(number < 100, "the bound must be met");
    }
    let refused = journal.open_request(opened(id(number))).expect_err("full");
    assert!(matches!(refused, JournalError::Full { bytes_max: 20_000, .. }), "{refused}");
    assert_eq!((refused.fault(), journal.status().state), (Fault::Overloaded, JournalState::Full));
    assert!(journal.checkpoint(checkpointed(id(0), 1)).is_err());
    for number in 0..3 {
        drop(journal.close(closed(id(number))).await.expect("admitted requests end"));
    }
    let last = *journal.tail().borrow();
    // Bytes are counted in steps of a mebibyte: these records are one step.
    journal.release_through(last).expect("release");
    assert_eq!((journal.status().unshipped_bytes, journal.status().released_records), (0, last));
    write(&journal, number..number + 1).await;
    drop(journal);

    let (journal, _) = open(limits).expect("open");
    assert!(journal.is_writable().is_err(), "until the ledger says otherwise, nothing is shipped");
    journal.release_through(last + 1).expect("release");
    assert!(journal.is_writable().is_ok());
}

#[tokio::test]
async fn the_backlog_shrinks_as_records_are_released() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    let batch = 4_000_u128;
    for number in 0..batch {
        journal.open_request(opened(id(number))).expect("open");
    }
    let closes: Vec<_> = (0..batch)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.close(closed(id(number))).await.map(drop) })
        })
        .collect();
    for close in closes {
        close.await.expect("task").expect("close");
    }
    let bytes = journal.status().unshipped_bytes;
    assert!(bytes > 3 << 20, "{bytes}");
    let mut before = bytes;
    for sequence in (500..=4_000).step_by(500) {
        journal.release_through(sequence).expect("release");
        let now = journal.status().unshipped_bytes;
        let closes_left = (4_000 - sequence) * (bytes / 8_000);
        assert!(now <= before && now + (1 << 20) >= closes_left / 2, "{now} after {sequence}");
        before = now;
    }
    assert_eq!(before, 0);
    journal.release_through(1).expect("a lower sequence changes nothing");
    assert_eq!(journal.status().released_records, 4_000);
}

#[tokio::test]
async fn released_segments_go_oldest_first() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) =
        open(JournalConfig { retained_segments: 1, ..small_segments(folder.path()) }).expect("open");
    write(&journal, 1..40).await;
    let all = segments(folder.path());
    assert!(all.len() >= 5);
    let first_of = |number: u64| {
        let text = lines(&segment(folder.path(), number));
        let json: serde_json::Value = serde_json::from_str(&text[0][16..]).expect("header");
        json["next_sequence"].as_u64().expect("number")
    };
    let (third, fourth) = (first_of(3), first_of(4));
    journal.release_through(fourth - 2).expect("release");
    assert_eq!(segments(folder.path()), all[1..], "two are shipped, one of them is retained");
    journal.release_through(fourth - 1).expect("release");
    assert_eq!(segments(folder.path()), all[2..]);
    assert_eq!(journal.status().segments, all.len() - 2);

    let pruned = journal.read_after(0, 10).expect_err("gone");
    assert_eq!(pruned.fault(), Fault::Missing);
    assert!(matches!(pruned, JournalError::Pruned { sequence: 0, .. }), "{pruned}");
    assert_eq!(journal.read_after(third - 1, 1).expect("read")[0].0.sequence, third);
    journal.release_through(39).expect("release");
    assert_eq!(segments(folder.path()), all[all.len() - 2..], "the current one and one shipped");
    drop(journal);
    let report = check(folder.path());
    assert_eq!((report.last_sequence, report.segments), (Some(39), 2));
    let (journal, recovery) = open(small_segments(folder.path())).expect("a pruned journal opens");
    assert_eq!(recovery.records, 39);
    write(&journal, 40..41).await;
}

#[tokio::test]
async fn a_segment_stays_for_its_open_request() {
    let folder = tempfile::tempdir().expect("temp dir");
    let limits = JournalConfig { retained_segments: 0, ..small_segments(folder.path()) };
    let (journal, _) = open(limits.clone()).expect("open");
    write(&journal, 0..20).await;
    let before = segments(folder.path());
    journal.open_request(opened(id(100))).expect("open");
    write(&journal, 20..40).await;
    journal.release_through(40).expect("release");
    let kept = segments(folder.path());
    assert!(kept[0] > 1 && kept[0] <= before[before.len() - 1] + 1, "{before:?} {kept:?}");
    let left = copy(folder.path());
    let (_, recovery) = open(JournalConfig { folder: left.path().to_owned(), ..limits }).expect("recovery");
    assert_eq!(recovery.crashed, 1, "the request can still be recovered");
    drop(journal.close(closed(id(100))).await.expect("close"));
    journal.release_through(41).expect("release");
    assert_eq!(segments(folder.path()).len(), 1);
}

#[tokio::test]
async fn reading_goes_on_whatever_was_removed() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) =
        open(JournalConfig { retained_segments: 0, ..small_segments(folder.path()) }).expect("open");
    let mut shipped = 0;
    let mut number = 1;
    // Every length of read, so that some end exactly where a segment does.
    for step in (1..20).cycle().take(100) {
        write(&journal, number..number + step).await;
        number += step;
        let wanted = usize::try_from(step).expect("small");
        let records = journal.read_after(shipped, wanted).expect("read");
        assert_eq!(records.len(), wanted);
        assert_eq!(journal.read_after(shipped, wanted).expect("read once more"), records);
        assert_eq!(records[0].0.sequence, shipped + 1);
        shipped = records[records.len() - 1].0.sequence;
        if step % 3 == 0 {
            journal.release_through(shipped).expect("release");
        }
    }
    journal.release_through(shipped).expect("release");
    assert!(journal.read_after(shipped, 10).expect("nothing left").is_empty());
    assert!(journal.read_after(0, 0).is_err(), "removed, even if nothing is asked for");
    assert!(matches!(journal.read_after(shipped + 1, 1), Err(JournalError::Ahead { .. })));
    assert!(matches!(journal.release_through(u64::MAX), Err(JournalError::Ahead { .. })));
    assert!(matches!(journal.read_after(u64::MAX, 1), Err(JournalError::Ahead { .. })));
    assert_eq!(segments(folder.path()).len(), 1);
}
