//! The configuration read again while requests run: what counts at once, what is refused, and that no stream ends.
//! Never asserts how long anything took: fake upstreams are slow enough that streams outlive the change.
//! Run by `cargo xtask test`, one at a time.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::harness::{Admin, At, Behaviour, Chat, HarnessError, Installation, Outcome, Server, Upstream};

/// A running server hears a signal at once; a busy machine takes longer.
const HEARD_MAX: Duration = Duration::from_secs(10);

/// Probes every 50 ms: what is still probed shows soon.
const PROBED: &str = "health_interval_ms = 50\n";

/// Texts of a stream that takes five seconds.
const TEXTS: usize = 50;

/// A gateway whose configuration changes.
struct Stand {
    installation: Installation,
    server: Server,
    admin: Admin,
    chat: Chat,
}

impl Stand {
    async fn new(config: &str) -> Outcome<Self> {
        let mut installation = Installation::new(config)?;
        let server = installation.start().await?;
        let banner = server.banner();
        let token = banner.operator_token.clone().unwrap_or_default();
        let chat = server.chat(&banner.api_key.clone().unwrap_or_default());
        Ok(Self { installation, admin: server.admin(&token), server, chat })
    }

    fn write(&self, config: &str) -> Outcome {
        let file = self.installation.folder().join("tallygate.toml");
        fs::write(file, config).map_err(HarnessError::io("tallygate.toml"))
    }

    /// Writes a configuration and gives the settings that a reload took over.
    async fn take_over(&self, config: &str) -> Outcome<Value> {
        self.write(config)?;
        let answer = self.admin.post("/reload", &Value::Null).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Ok(answer.body["sections"].clone())
    }

    /// Writes a configuration that a reload refuses: status, code, message.
    async fn refuse(&self, config: &str) -> Outcome<(u16, String, String)> {
        self.write(config)?;
        let answer = self.admin.post("/reload", &Value::Null).await?;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default().to_owned();
        Ok((answer.status.as_u16(), answer.code().to_owned(), message))
    }

    /// Sends a whole request and gives the status and what was said.
    async fn ask(&self) -> Outcome<(u16, String)> {
        let answer = self.chat.send(&Chat::request("hello", 5)).await?;
        let text = answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default();
        Ok((answer.status.as_u16(), text.to_owned()))
    }

    /// Waits until the server's output has this.
    async fn complains(&self, text: &str) {
        let asked = Instant::now();
        while !self.server.printed().contains(text) {
            assert!(asked.elapsed() < HEARD_MAX, "{text:?} is missing in {}", self.server.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// An upstream that streams for seconds and says a word of its own in whole answers.
async fn upstream(word: &str) -> Outcome<Upstream> {
    let upstream = Upstream::start().await?;
    let gap = Duration::from_millis(100);
    upstream.behave(Behaviour { gap, ..Behaviour::saying(&[word; TEXTS]) });
    Ok(upstream)
}

fn said(word: &str) -> (u16, String) {
    (200, word.repeat(5))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_its_backend_and_a_new_one_is_served() -> Outcome {
    let (old, new) = (upstream("a").await?, upstream("b").await?);
    let (with_old, with_new) = (old.config("old", PROBED), new.config("new", PROBED));
    let stand = Stand::new(&with_old).await?;
    let long = Chat::request("a story", u32::try_from(TEXTS).unwrap_or(u32::MAX));
    let mut stream = stand.chat.stream(&long).await?;
    assert!(stream.next().await?.is_some());
    assert_eq!(stand.take_over(&with_new).await?, json!(["backend"]));
    let (probes_of_old, probes_of_new) = (old.probes(), new.probes());
    assert_eq!(stand.ask().await?, said("b"));
    assert_eq!(new.seen().len(), 1);
    let asked = Instant::now();
    while new.probes() < probes_of_new + 5 {
        assert!(asked.elapsed() < HEARD_MAX, "the new backend is not probed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(old.probes() <= probes_of_old + 1, "the removed backend is still probed");
    // The same by signal, back again, while the stream still runs.
    stand.write(&with_old)?;
    stand.server.signal(libc::SIGHUP);
    stand.complains("configuration reloaded").await;
    assert_eq!(stand.ask().await?, said("a"));
    let received = stream.finish().await?;
    assert_eq!(
        (received.parts, received.text.len(), received.is_done),
        (TEXTS as u64, TEXTS, true),
        "{received:?}"
    );
    assert!(stand.server.stop().await?.success());
    let records = stand.installation.records("demo")?;
    let mut backends: Vec<_> = records.iter().map(|line| line["record"]["backend"].as_str()).collect();
    backends.sort_unstable();
    assert_eq!(backends, [Some("new"), Some("old"), Some("old")]);
    assert!(records.iter().all(|line| line["record"]["reason"] == "completed"), "{records:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_or_a_fixed_setting_changes_nothing() -> Outcome {
    let (old, new) = (upstream("a").await?, upstream("b").await?);
    let with_old = old.config("old", "");
    let with_new = new.config("new", "");
    let stand = Stand::new(&with_old).await?;
    // What stands behind a whole new backend, and what the refusal says of it. `LINE` is that of its last line.
    let missing = stand.installation.folder().join("none.pem").display().to_string();
    let faults = [
        ("weight = 0".to_owned(), "LINE: 0 is not between 1 and 10000"),
        ("[server]\nworkers = \"many\"".to_owned(), "LINE:"),
        ("[log]\nfilter = \"gateway=loud\"".to_owned(), "LINE:"),
        (
            format!(
                "[[backend]]\nname = \"x\"\nkind = \"openai\"\nurl = \"https://127.0.0.1:9/v1\"\nmodel = []\nca_file = \"{missing}\""
            ),
            "is not a file",
        ),
        (
            "[[backend]]\nname = \"new\"\nkind = \"openai\"\nmodel = []\nurl = \"http://127.0.0.1:9/v1\""
                .to_owned(),
            "backend new: the name is used twice",
        ),
        ("nonsense".to_owned(), "LINE:"),
    ];
    for (lines, expected) in faults {
        let config = format!("{}\n{lines}", with_new.trim_end());
        let line = config.lines().count();
        let (status, code, message) = stand.refuse(&config).await?;
        assert_eq!((status, code.as_str()), (400, "invalid_config"), "{message}");
        let expected = expected.replace("LINE:", &format!("tallygate.toml:{line}:"));
        // A column stands between line and reason.
        let has_all = expected.split(": ").all(|part| message.contains(part.trim_end_matches(':')));
        assert!(has_all && message.contains("tallygate.toml:"), "{message:?} does not say {expected:?}");
        assert_eq!(stand.ask().await?, said("a"), "{lines}");
    }
    let fixed = format!(
        "{with_new}\n[server]\nworkers = 3\nbody_bytes_max = 2048\n[ledger]\nurl = \"sqlite://elsewhere\"\n\
         [journal]\nretained_segments = 3\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n"
    );
    let (status, code, message) = stand.refuse(&fixed).await?;
    assert_eq!((status, code.as_str()), (409, "needs_restart"), "{message}");
    assert!(message.ends_with("server.workers, ledger, journal, model"), "{message}");
    assert_eq!(stand.ask().await?, said("a"));
    // By signal the log says it.
    stand.write(&format!("{with_new}\nweight = 0\n"))?;
    stand.server.signal(libc::SIGHUP);
    stand.complains("configuration not reloaded").await;
    assert!(stand.server.printed().contains("0 is not between 1 and 10000"), "{}", stand.server.printed());
    assert_eq!(stand.ask().await?, said("a"));
    assert!(new.seen().is_empty(), "nothing of the new backend was taken over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_and_times_count_for_what_comes_after() -> Outcome {
    let up = upstream("a").await?;
    let backend = up.config("up", "");
    let stand = Stand::new(&backend).await?;
    let long = Chat::request("a story", u32::try_from(TEXTS).unwrap_or(u32::MAX));
    let mut before = stand.chat.stream(&long).await?;
    assert!(before.next().await?.is_some());
    let bounds = "[server]\nrequest_seconds_max = 1\nbody_bytes_max = 2048\nresponse_days = 1\n\
                  stream_silence_ms_max = 500\nidempotency_seconds = 60\ndrain_seconds = 7\n";
    let taken = stand.take_over(&format!("{backend}\n{bounds}")).await?;
    let expected = json!([
        "server.body_bytes_max",
        "server.drain_seconds",
        "server.request_seconds_max",
        "server.idempotency_seconds",
        "server.stream_silence_ms_max",
        "server.response_days",
    ]);
    assert_eq!(taken, expected);
    let large = Chat::request(&"x".repeat(4_000), 5);
    assert_eq!(stand.chat.send(&large).await?.status, 413);
    up.behave(Behaviour { hangs: At::After(1), ..Behaviour::saying(&["a", "a"]) });
    let after = stand.chat.stream(&long).await?.finish().await?;
    assert!(!after.is_done && after.finish_reason.is_none(), "its time is up: {after:?}");
    let before = before.finish().await?;
    assert_eq!((before.parts, before.is_done), (TEXTS as u64, true), "it keeps the time it began with");
    // Back again: the body is taken.
    up.behave(Behaviour::saying(&["a"; 5]));
    stand.take_over(&backend).await?;
    assert_eq!(stand.chat.send(&large).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_at_once() -> Outcome {
    const NOTED: &str = "signed token refused";
    let simulated = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n";
    let stand = Stand::new(simulated).await?;
    let token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIn0.AAAA";
    assert_eq!(stand.server.chat(token).get("/models").await?.code(), "invalid_token");
    assert!(!stand.server.printed().contains(NOTED), "{}", stand.server.printed());
    let filter = "[log]\nfilter = \"warn,gateway=debug\"\n";
    let taken = stand.take_over(&format!("{simulated}{filter}")).await?;
    assert_eq!(taken, json!(["log.filter"]));
    assert_eq!(stand.server.chat(token).get("/models").await?.code(), "invalid_token");
    stand.complains(NOTED).await;
    // A new model that no plan prices is told as at a start.
    let unpriced = upstream("a").await?.config("up", "").replace("\"demo\"", "\"unpriced\"");
    let taken = stand.take_over(&format!("{simulated}{filter}{unpriced}")).await?;
    assert_eq!(taken, json!(["backend"]));
    stand.complains("no published plan prices this model").await;
    Ok(())
}
