//! A process that is killed at a random instant loses nothing it acknowledged and counts nothing twice.
//! Never simulated: the test starts itself as another process and sends it SIGKILL.
//! Run by `cargo test -p billing`; the seed is printed, `TALLYGATE_TEST_SEED` repeats it.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use domain::Clock as _;

use super::*;

const CHILD_FOLDER: &str = "TALLYGATE_JOURNAL_CHILD_FOLDER";
const SEED: &str = "TALLYGATE_TEST_SEED";

/// How often a process is killed over the same folder.
const KILLS: u64 = 8;

/// The same test is both processes: with the folder in its environment it is the one that will be killed.
#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("temp dir");
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        u64::from(since.subsec_nanos())
    });
    println!("seed {seed}: set {SEED} to repeat it");
    let mut acknowledged = Vec::new();
    let mut crashed = 0;
    for kill in 0..KILLS {
        // splitmix64: one number for each kill.
        let mut chance = seed.wrapping_add((kill + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance = (chance ^ (chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        acknowledged.extend(run_and_kill(folder.path(), Duration::from_micros(chance % 150_000)));
        let (journal, recovery) = open(small_segments(folder.path())).expect("a killed journal opens");
        crashed += recovery.crashed;
        drop(journal);
        let ids = request_ids(folder.path());
        let unique: HashSet<_> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len(), "a request has two records");
        let lost: Vec<_> = acknowledged.iter().filter(|id| !unique.contains(id)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let report = check(folder.path());
        assert_eq!((report.open_requests, report.torn_tail), (0, None));
        assert_eq!(report.records, ids.len() as u64);
    }
    assert!(acknowledged.len() > 100, "only {} requests were acknowledged", acknowledged.len());
    assert!(crashed > 0, "no request was open at any of {KILLS} kills");
    println!("{} acknowledged, {crashed} crashed, {KILLS} kills", acknowledged.len());
}

/// Starts the writer, waits for its first acknowledgement and then for `delay`, kills it, and returns what it
/// had acknowledged.
fn run_and_kill(folder: &Path, delay: Duration) -> Vec<RequestId> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "journal::tests::crash::nothing_acknowledged_is_lost_by_a_kill", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let output = BufReader::new(child.stdout.take().expect("pipe"));
    let (first, is_first) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut ids = Vec::new();
        for line in output.split(b'\n') {
            let line = String::from_utf8(line.expect("pipe")).expect("text");
            // The last line may be cut; an id that is whole was acknowledged.
            if let Some(id) = line.strip_prefix("acknowledged ").and_then(|id| id.strip_suffix('.')) {
                ids.push(id.parse().expect("id"));
                // The receiver takes the first and leaves.
                let _ = first.send(());
            }
        }
        ids
    });
    is_first.recv_timeout(Duration::from_secs(60)).expect("the writer must acknowledge something");
    std::thread::sleep(delay);
    child.kill().expect("kill");
    child.wait().expect("wait");
    reader.join().expect("reader")
}

fn write_until_killed(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
    runtime.block_on(async {
        let (journal, _) = open(small_segments(folder)).expect("open");
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    loop {
                        let request_id = RequestId::generate(SystemClock.now());
                        journal.open_request(opened(request_id)).expect("open");
                        journal.checkpoint(checkpointed(request_id, 3)).expect("checkpoint");
                        let journaled = journal.close(closed(request_id)).await.expect("close");
                        let line = format!("acknowledged {}.\n", journaled.record().request_id);
                        std::io::stdout().write_all(line.as_bytes()).expect("pipe");
                    }
                })
            })
            .collect();
        for task in tasks {
            let () = task.await.expect("killed before this");
        }
    });
}
