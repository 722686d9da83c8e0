//! Whoever edits, removes or reorders closed records is found, at the right place, even with right checksums.
//! Never a torn tail: what a crash may leave is in `recovery`.
//! Run by `cargo test -p billing`.

use super::*;
use crate::journal::{Damage, IdentityProblem, Place, VerifyError};

/// Three segments or more, some seven records each.
async fn written(folder: &Path) {
    let (journal, _) = open(small_segments(folder)).expect("open");
    write(&journal, 1..31).await;
    journal.shutdown().await.expect("shutdown");
    assert!(check(folder).segments >= 3);
}

/// The first difference, which opening must refuse in the same words.
fn difference(folder: &Path) -> (Place, Damage) {
    let found = verify(folder, |_| {}).expect_err("verify must find it");
    let read = read_all(folder).expect("journal").find_map(Result::err);
    let VerifyError::Damaged { place, damage } = found else { panic!("{found}") };
    if !matches!(damage, Damage::NeverOpened { .. }) {
        let refused = open(small_segments(folder)).expect_err("open must refuse it");
        assert_eq!(refused.to_string(), format!("{place}: {damage}"));
        assert_eq!(read.map(|error| error.to_string()), Some(refused.to_string()));
    }
    let text = fs::read(&place.file).expect("file");
    let before = usize::try_from(place.offset).expect("small");
    let newlines = text[..before].iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(place.line, newlines as u64 + 1, "line and offset name the same place");
    (place, damage)
}

#[tokio::test]
async fn an_edited_record_breaks_the_chain() {
    let folder = tempfile::tempdir().expect("temp dir");
    written(folder.path()).await;
    let (edited, path) = (copy(folder.path()), |copy: &tempfile::TempDir| segment(copy.path(), 2));
    let mut text = lines(&path(&edited));
    let closes = indexes(&text, "close");
    text[closes[1]] = reseal(&text[closes[1]].replace("\"energy_mj\":56789", "\"energy_mj\":56788"));
    write_lines(&path(&edited), &text);
    let (place, damage) = difference(edited.path());
    assert_eq!((place.file, place.line), (path(&edited), closes[2] as u64 + 1));
    let Damage::Chain { expected, found, .. } = damage else { panic!("{damage}") };
    assert_eq!(
        found,
        read(folder.path())
            .into_iter()
            .find(|(record, _)| { text[closes[1]].contains(&record.record.request_id.to_string()) })
            .expect("record")
            .1
    );
    assert_ne!(expected, found);

    // The last record of a segment is vouched for by the next segment's header.
    let edited = copy(folder.path());
    let mut text = lines(&path(&edited));
    let last = *indexes(&text, "close").last().expect("a record");
    text[last] = reseal(&text[last].replace("\"output_tokens\":34", "\"output_tokens\":33"));
    write_lines(&path(&edited), &text);
    let (place, damage) = difference(edited.path());
    assert_eq!((place.file, place.line, place.offset), (segment(edited.path(), 3), 1, 0));
    assert!(matches!(damage, Damage::Chain { .. }), "{damage}");
}

#[tokio::test]
async fn without_a_right_checksum_the_line_itself_is_named() {
    let folder = tempfile::tempdir().expect("temp dir");
    written(folder.path()).await;
    let count = lines(&segment(folder.path(), 1)).len();
    for index in 0..count {
        let edited = copy(folder.path());
        let mut text = lines(&segment(edited.path(), 1));
        let middle = text[index].len() / 2;
        let byte = if text[index].as_bytes()[middle] == b'1' { "2" } else { "1" };
        text[index].replace_range(middle..=middle, byte);
        write_lines(&segment(edited.path(), 1), &text);
        let (place, damage) = difference(edited.path());
        assert_eq!(place.line, index as u64 + 1);
        assert!(matches!(damage, Damage::Checksum { .. } | Damage::NotALine), "{damage}");
    }
}

#[tokio::test]
async fn a_missing_or_moved_record_leaves_a_gap() {
    let folder = tempfile::tempdir().expect("temp dir");
    written(folder.path()).await;
    let edited = copy(folder.path());
    let path = segment(edited.path(), 1);
    let mut text = lines(&path);
    let closes = indexes(&text, "close");
    text.remove(closes[2]);
    write_lines(&path, &text);
    let (_, damage) = difference(edited.path());
    assert_eq!(damage, Damage::SequenceGap { expected: 3, found: 4 });

    let edited = copy(folder.path());
    let path = segment(edited.path(), 1);
    let mut text = lines(&path);
    text.swap(closes[1], closes[3]);
    write_lines(&path, &text);
    let (place, damage) = difference(edited.path());
    assert_eq!((place.line, damage), (closes[1] as u64 + 1, Damage::SequenceGap { expected: 2, found: 4 }));

    // The last lines of a segment that is not the last one.
    let edited = copy(folder.path());
    let path = segment(edited.path(), 1);
    let mut text = lines(&path);
    text.truncate(closes[2]);
    write_lines(&path, &text);
    let (place, damage) = difference(edited.path());
    assert_eq!(place.file, segment(edited.path(), 2));
    assert!(matches!(damage, Damage::SequenceGap { expected: 3, .. }), "{damage}");

    let edited = copy(folder.path());
    fs::remove_file(segment(edited.path(), 2)).expect("remove");
    let (_, damage) = difference(edited.path());
    assert_eq!(damage, Damage::SegmentGap { expected: 2, found: 3 });

    let edited = copy(folder.path());
    fs::rename(segment(edited.path(), 1), edited.path().join("aside")).expect("rename");
    fs::copy(segment(edited.path(), 2), segment(edited.path(), 1)).expect("copy");
    let (_, damage) = difference(edited.path());
    assert_eq!(damage, Damage::SegmentGap { expected: 1, found: 2 });
}

#[tokio::test]
async fn a_record_without_a_request_is_found() {
    let folder = tempfile::tempdir().expect("temp dir");
    written(folder.path()).await;
    let path = segment(folder.path(), 1);
    let mut text = lines(&path);
    text.remove(indexes(&text, "open")[1]);
    write_lines(&path, &text);
    assert_eq!(difference(folder.path()).1, Damage::NeverOpened { request_id: id(2) });
}

#[tokio::test]
async fn lines_of_another_journal_do_not_fit() {
    let (folder, other) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    written(folder.path()).await;
    written(other.path()).await;
    fs::copy(segment(other.path(), 2), segment(folder.path(), 2)).expect("copy");
    assert!(matches!(difference(folder.path()).1, Damage::ForeignJournal { .. }));
}

/// What no journal can show by itself: whole lines removed from its very end. The ledger's cursor shows it.
#[tokio::test]
async fn a_shortened_end_shows_only_beside_the_ledger() {
    let folder = tempfile::tempdir().expect("temp dir");
    written(folder.path()).await;
    let last = check(folder.path()).segments as u64;
    let path = segment(folder.path(), last);
    let mut text = lines(&path);
    let closes = indexes(&text, "close");
    text.truncate(*closes.last().expect("a record"));
    write_lines(&path, &text);
    let report = check(folder.path());
    assert_eq!((report.last_sequence, report.open_requests), (Some(29), 1));
    let (journal, recovery) = open(small_segments(folder.path())).expect("open");
    assert_eq!((recovery.crashed, recovery.records), (1, 30));
    let ahead = journal.release_through(31).expect_err("the ledger knows more");
    assert!(matches!(ahead, JournalError::Ahead { sequence: 31, last_sequence: 30 }), "{ahead}");
}

/// A forger who rewrites a record and everything after it leaves a whole chain, with another hash at each place.
#[tokio::test]
async fn a_rewritten_record_shows_beside_the_ledger_whatever_follows() {
    let hash_at = |folder: &Path, sequence| verify_at(folder, sequence, |_| {}).expect("whole").hash_at;
    let folder = tempfile::tempdir().expect("temp dir");
    // An empty journal of the same identity, in which the forger begins anew.
    let (journal, _) = open(small_segments(folder.path())).expect("open");
    let forged = copy(folder.path());
    write(&journal, 1..31).await;
    journal.shutdown().await.expect("shutdown");
    let (journal, _) = open(small_segments(forged.path())).expect("open");
    journal.open_request(opened(id(1))).expect("open");
    let cheaper = UsageRecord { reasoning_tokens: Tokens::ZERO, ..closed(id(1)) };
    drop(journal.close(cheaper).await.expect("close"));
    write(&journal, 2..31).await;
    journal.shutdown().await.expect("shutdown");
    assert_eq!(check(folder.path()).journal_id, check(forged.path()).journal_id);
    assert_eq!(check(folder.path()).hash_at, None, "nothing was asked for");
    let genuine = read(folder.path());
    assert_eq!(hash_at(folder.path(), 0), Some(RecordHash::GENESIS));
    for (record, hash) in &genuine {
        assert_eq!(hash_at(folder.path(), record.sequence), Some(*hash));
        assert_ne!(hash_at(forged.path(), record.sequence), Some(*hash), "record {}", record.sequence);
    }
    assert_eq!(hash_at(folder.path(), 31), None);

    // Where the first segment is gone, the last record in it is still vouched for by the next header.
    fs::remove_file(segment(folder.path(), 1)).expect("remove");
    let first = check(folder.path()).first_sequence.expect("a record");
    let gone = genuine.iter().find(|(record, _)| record.sequence == first - 1).map(|(_, hash)| *hash);
    assert_eq!(hash_at(folder.path(), first - 1), gone);
    assert!(gone.is_some());
    assert_eq!(hash_at(folder.path(), first - 2), None);
}

#[tokio::test]
async fn identity_and_segments_belong_together() {
    let folder = tempfile::tempdir().expect("temp dir");
    let problem = |folder: &Path| {
        let refused = open(config(folder)).expect_err("refused");
        let JournalError::Damaged(VerifyError::NotAJournal { problem, .. }) = refused else {
            panic!("{refused}")
        };
        problem
    };
    assert!(verify(folder.path(), |_| {}).is_err(), "no journal is no empty journal");
    written(folder.path()).await;

    let edited = copy(folder.path());
    fs::remove_file(edited.path().join("journal.toml")).expect("remove");
    assert_eq!(problem(edited.path()), IdentityProblem::Lost);

    let edited = copy(folder.path());
    fs::write(edited.path().join("journal.toml"), "format = \"one\"").expect("write");
    assert!(matches!(problem(edited.path()), IdentityProblem::Unreadable { .. }));

    let edited = copy(folder.path());
    let text = fs::read_to_string(edited.path().join("journal.toml")).expect("text");
    fs::write(edited.path().join("journal.toml"), text.replace("format = 1", "format = 2")).expect("write");
    assert_eq!(problem(edited.path()), IdentityProblem::Version { found: 2 });

    let edited = copy(folder.path());
    for number in 1..=check(folder.path()).segments as u64 {
        fs::remove_file(segment(edited.path(), number)).expect("remove");
    }
    assert_eq!(problem(edited.path()), IdentityProblem::NoSegments);
}
