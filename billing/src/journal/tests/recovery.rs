//! What a crash may leave is repaired to the last whole line; what it may not leave is refused, untouched.
//! Never a killed process: here the leavings are made by hand, byte by byte.
//! Run by `cargo test -p billing`.

use super::*;
use crate::journal::{Damage, VerifyError};

/// A folder as a killed process leaves it: `numbers` closed, the writer idle, no last words.
async fn left(numbers: std::ops::Range<u128>, config: impl Fn(&Path) -> JournalConfig) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    write(&journal, numbers).await;
    let copy = copy(folder.path());
    drop(journal);
    copy
}

fn refused_at(folder: &Path) -> (u64, Damage) {
    let before = fs::read(segment(folder, 1)).expect("read");
    let refused = open(config(folder)).expect_err("refused");
    let JournalError::Damaged(VerifyError::Damaged { place, damage }) = refused else { panic!("{refused}") };
    assert_eq!(place.file, segment(folder, 1));
    assert_eq!(fs::read(segment(folder, 1)).expect("read"), before, "nothing was changed");
    assert!(verify(folder, |_| {}).is_err());
    (place.line, damage)
}

/// Opens and expects `bytes` to be cut off; the records are those of `ids`, the last `crashed` of them crashed.
fn repaired(folder: &Path, bytes: u64, crashed: usize, ids: &[RequestId]) {
    let torn = check(folder).torn_tail.map(|torn| torn.bytes);
    assert_eq!(torn.unwrap_or(0), bytes);
    let (journal, recovery) = open(config(folder)).expect("open");
    assert_eq!((recovery.truncated_bytes, recovery.crashed), (bytes, crashed));
    drop(journal);
    let records = read(folder);
    let reasons: Vec<_> = records.iter().map(|(record, _)| record.record.reason).collect();
    let expected: Vec<_> = (0..ids.len())
        .map(|index| if index + crashed < ids.len() { EndReason::Completed } else { EndReason::Crashed })
        .collect();
    assert_eq!(reasons, expected);
    assert_eq!(records.iter().map(|(record, _)| record.record.request_id).collect::<Vec<_>>(), ids);
    assert_eq!((check(folder).torn_tail, check(folder).open_requests), (None, 0));
    let (_, again) = open(config(folder)).expect("open again");
    assert_eq!((again.truncated_bytes, again.crashed, again.records), (0, 0, ids.len() as u64));
}

#[tokio::test]
async fn a_line_torn_at_any_byte_is_cut() {
    let folder = left(1..4, config).await;
    let text = fs::read(segment(folder.path(), 1)).expect("read");
    let line_start = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
    repaired(copy(folder.path()).path(), 0, 0, &[id(1), id(2), id(3)]);
    for len in line_start..text.len() {
        let torn = copy(folder.path());
        fs::write(segment(torn.path(), 1), &text[..len]).expect("write");
        repaired(torn.path(), (len - line_start) as u64, 1, &[id(1), id(2), id(3)]);
    }
}

#[tokio::test]
async fn leavings_behind_the_last_line_are_cut() {
    let folder = left(1..3, config).await;
    let text = fs::read(segment(folder.path(), 1)).expect("read");
    let ids = [id(1), id(2)];
    let tails: [&[u8]; 8] = [
        b"\n",
        b"\0",
        &[0; 70_000],
        b"garbage",
        b"garbage\nmore garbage\n\n",
        b"00000000 close {}\n",
        &[0xff; 9_000],
        b"12345678 close {\"journal_id\":\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for tail in tails {
        let torn = copy(folder.path());
        fs::write(segment(torn.path(), 1), [&text, tail].concat()).expect("write");
        repaired(torn.path(), tail.len() as u64, 0, &ids);
    }
}

#[tokio::test]
async fn damage_before_the_last_line_is_refused() {
    let folder = left(1..5, config).await;
    let text = lines(&segment(folder.path(), 1));
    // What the last `synced` line vouches for: `{"bytes":N}`.
    let last = &text[*indexes(&text, "synced").last().expect("a batch")];
    let vouched_bytes: usize = last[25..last.len() - 1].parse().expect("number");
    for index in 0..text.len() - 1 {
        let offset: usize = text[..index].iter().map(|line| line.len() + 1).sum();
        for byte in ["\u{0}", "~"] {
            let damaged = copy(folder.path());
            let mut text = text.clone();
            let middle = text[index].len() / 2;
            text[index].replace_range(middle..=middle, byte);
            write_lines(&segment(damaged.path(), 1), &text);
            // Zeros in what no later line vouches for are blocks that never reached the disk: the last batch.
            if byte == "~" || offset < vouched_bytes {
                assert_eq!(refused_at(damaged.path()).0, index as u64 + 1, "line {index}, byte {byte:?}");
            } else {
                let (_, recovery) = open(config(damaged.path())).expect("an unwritten block");
                assert!(recovery.truncated_bytes > 0);
            }
        }
        let damaged = copy(folder.path());
        let mut text = text.clone();
        text[index].truncate(20);
        write_lines(&segment(damaged.path(), 1), &text);
        assert_eq!(refused_at(damaged.path()).0, index as u64 + 1);
    }
}

/// A machine that loses power may write the last blocks of a batch and not the ones before.
#[tokio::test]
async fn unwritten_blocks_in_the_last_batch_are_cut() {
    let folder = left(1..8, config).await;
    let path = segment(folder.path(), 1);
    let all = lines(&path);
    let synced = indexes(&all, "synced");
    // Everything in one batch: only the first line vouches, and for nothing but the header.
    let batch: Vec<_> = (0..all.len())
        .filter(|index| *index == synced[0] || !synced.contains(index))
        .map(|index| all[index].clone())
        .collect();
    write_lines(&path, &batch);
    check(folder.path());
    let text = fs::read(&path).expect("read");
    let line = indexes(&batch, "close")[3];
    let start: usize = batch[..line].iter().map(|line| line.len() + 1).sum();
    let holed = |at: std::ops::Range<usize>| {
        let mut text = text.clone();
        text[at].fill(0);
        text
    };
    // The hole takes the line's newline and the next line's beginning with it.
    let hole = start + 100..start + batch[line].len() + 50;
    fs::write(&path, holed(hole.clone())).expect("write");
    repaired(copy(folder.path()).path(), (text.len() - start) as u64, 1, &[id(1), id(2), id(3), id(4)]);

    // The same hole is damage once a later line says that those bytes had reached the disk,
    let mut vouched = holed(hole);
    vouched.extend_from_slice(
        format!("{}\n", reseal(&format!("00000000 synced {{\"bytes\":{}}}", text.len()))).as_bytes(),
    );
    fs::write(&path, vouched).expect("write");
    assert_eq!(refused_at(folder.path()).0, line as u64 + 1);
    // in the header, and where nothing is missing but something else is there.
    fs::write(&path, holed(20..40)).expect("write");
    assert_eq!(refused_at(folder.path()).0, 1);
    let mut changed = text.clone();
    changed[start + 100] ^= 1;
    fs::write(&path, changed).expect("write");
    assert_eq!(refused_at(folder.path()).0, line as u64 + 1);
}

#[tokio::test]
async fn a_crash_between_segments_is_repaired() {
    let folder = left(1..6, small_segments).await;
    assert_eq!(check(folder.path()).segments, 1);
    let full = copy(folder.path());
    // The next segment's header, as the writer itself makes it.
    let header = {
        let (journal, _) = open(small_segments(full.path())).expect("open");
        write(&journal, 6..20).await;
        drop(journal);
        lines(&segment(full.path(), 2))[0].clone() + "\n"
    };
    let first = lines(&segment(full.path(), 1));
    for len in 0..=header.len() {
        let torn = copy(folder.path());
        write_lines(&segment(torn.path(), 1), &first);
        fs::write(segment(torn.path(), 2), &header[..len]).expect("write");
        let records = check(torn.path()).records;
        let (journal, recovery) = open(small_segments(torn.path())).expect("open");
        let cut = if len == header.len() { 0 } else { len as u64 };
        assert_eq!((recovery.truncated_bytes, recovery.records), (cut, records + recovery.crashed as u64));
        write(&journal, 100..103).await;
        drop(journal);
        assert!(lines(&segment(torn.path(), 2))[0].clone() + "\n" == header, "the header is the same again");
        assert_eq!((check(torn.path()).open_requests, check(torn.path()).torn_tail), (0, None));
    }
    // Not the last segment: no crash empties it.
    fs::write(segment(full.path(), 1), "").expect("write");
    assert!(matches!(
        open(config(full.path())),
        Err(JournalError::Damaged(VerifyError::Damaged { damage: Damage::NoHeader, .. }))
    ));
}

#[tokio::test]
async fn a_creation_that_died_begins_again() {
    let whole = left(1..2, config).await;
    let header = lines(&segment(whole.path(), 1))[0].clone() + "\n";
    for len in 0..=header.len() {
        let folder = tempfile::tempdir().expect("temp dir");
        fs::write(segment(folder.path(), 1), &header[..len]).expect("write");
        fs::write(folder.path().join("journal.toml.new"), "form").expect("write");
        let (journal, recovery) = open(config(folder.path())).expect("open");
        assert_eq!((recovery.records, recovery.crashed), (0, 0));
        write(&journal, 1..2).await;
        drop(journal);
        assert_eq!(check(folder.path()).records, 1);
    }
    // Once the folder is a journal, an empty first segment is a loss.
    fs::write(segment(whole.path(), 1), "").expect("write");
    assert_eq!(refused_at(whole.path()), (1, Damage::NoHeader));
}

#[tokio::test]
async fn open_requests_become_crashed_records() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(config(folder.path())).expect("open");
    for number in [3, 1, 2] {
        journal.open_request(opened(id(number))).expect("open");
    }
    for (number, output_tokens) in [(1, 10), (2, 20), (1, 30)] {
        journal.checkpoint(checkpointed(id(number), output_tokens)).expect("checkpoint");
    }
    write(&journal, 4..5).await;
    drop(journal);
    assert_eq!(check(folder.path()).open_requests, 3);

    let (journal, recovery) = open(config(folder.path())).expect("open");
    assert_eq!((recovery.crashed, recovery.records, journal.status().open_requests), (3, 4, 0));
    let records: Vec<_> =
        journal.read_after(1, 10).expect("read").into_iter().map(|(record, _)| record.record).collect();
    let crashed = |number: u128, tokens: u64| {
        let checkpoint = checkpointed(id(number), tokens);
        UsageRecord {
            reason: EndReason::Crashed,
            cached_prompt_tokens: checkpoint.cached_prompt_tokens,
            output_tokens: checkpoint.output_tokens,
            reasoning_tokens: Tokens::ZERO,
            ttft: checkpoint.ttft,
            tpot: None,
            slo_met: false,
            tokens_in_slo: checkpoint.tokens_in_slo,
            energy: checkpoint.energy,
            energy_source: checkpoint.energy_source,
            client_stall: checkpoint.client_stall,
            queue: checkpoint.queue,
            finished_at: checkpoint.at,
            usage_source: UsageSource::Engine,
            charge: Nanos::ZERO,
            embeddings_tokens: Tokens::ZERO,
            ..closed(id(number))
        }
    };
    let nothing = UsageRecord {
        cached_prompt_tokens: Tokens::ZERO,
        ttft: None,
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::ZERO,
        ..crashed(3, 0)
    };
    assert_eq!(records, [nothing, crashed(1, 30), crashed(2, 20)]);
    drop(journal);
    assert_eq!(open(config(folder.path())).expect("open").1.crashed, 0, "once");
}

#[tokio::test]
async fn recovery_rotates_as_writing_does() {
    let folder = tempfile::tempdir().expect("temp dir");
    let (journal, _) = open(small_segments(folder.path())).expect("open");
    for number in 0..200 {
        journal.open_request(opened(id(number))).expect("open");
    }
    drop(journal);
    let (_, recovery) = open(small_segments(folder.path())).expect("open");
    assert_eq!((recovery.crashed, recovery.records), (200, 200));
    assert_eq!(request_ids(folder.path()), (0..200).map(id).collect::<Vec<_>>());
    let report = check(folder.path());
    assert_eq!((report.records, report.open_requests), (200, 0));
    for number in 1..=report.segments as u64 {
        assert!(fs::metadata(segment(folder.path(), number)).expect("metadata").len() <= 8_192);
    }
}
