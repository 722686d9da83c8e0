//! The commands over the real program: what they print when all is well, and how they refuse what is not.
//! Never the ledger's own rules, which its tests have: only what a person at a terminal sees, and a script reads.
//! Run by `cargo xtask test`, one at a time.

use serde_json::{Value, json};
use tests::harness::{HarnessError, Installation, Outcome, Server};

const SIMULATED: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nseed = 1\ndecode_step_us = 1000\n";

/// What clap ends with when a line cannot be read at all.
const UNREADABLE: i32 = 2;
/// What a command ends with when it cannot do what it was asked.
const REFUSED: i32 = 1;

/// How a command that must not succeed ended.
struct Refusal {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn refusal(installation: &Installation, arguments: &[&str]) -> Outcome<Refusal> {
    match installation.run(arguments) {
        Err(HarnessError::Program { status, stdout, stderr, .. }) => {
            Ok(Refusal { code: status.code(), stdout, stderr })
        }
        Err(other) => Err(other),
        Ok(text) => Err(HarnessError::NotEvents { text: format!("{arguments:?} succeeded: {text}") }),
    }
}

/// The rows of a table as lists of cells; a cell has no two spaces in it.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(cells).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn audited(installation: &Installation) -> Outcome<Vec<Value>> {
    installation.run_json_lines(&["audit", "--limit", "1000"])
}

/// The public half of a key's text.
fn public(key: &str) -> &str {
    key.split('-').nth(1).unwrap_or_default()
}

#[test]
fn no_command_makes_a_ledger_by_accident() -> Outcome {
    let installation = Installation::new(SIMULATED)?;
    let commands: [&[&str]; 13] = [
        &["tenant", "list"],
        &["tenant", "create", "a"],
        &["key", "list"],
        &["key", "rotate", "AAAAAAAAAAAA"],
        &["project", "list", "demo"],
        &["project", "create", "demo", "research"],
        &["limit", "list", "demo"],
        &["limit", "set", "demo", "--concurrency", "1"],
        &["grant", "list", "demo"],
        &["grant", "add", "demo", "5"],
        &["audit"],
        &["usage", "demo"],
        &["invoice", "demo"],
    ];
    let path = installation.folder().join("data/ledger.sqlite").display().to_string();
    for arguments in commands {
        let Refusal { code, stdout, stderr } = refusal(&installation, arguments)?;
        assert_eq!((code, stdout.as_str()), (Some(REFUSED), ""), "{arguments:?}: {stderr}");
        let expected = format!(
            "error: there is no ledger at {path}; --config FILE or TALLYGATE__DATA__FOLDER selects another, and the \
             first `tallygate serve` makes one\n"
        );
        assert_eq!(stderr, expected, "{arguments:?}");
    }
    assert!(!installation.folder().join("data").exists(), "nothing was made");
    Ok(())
}

const NOBODY: &str = "there is no tenant \"nobody\"; `tallygate tenant list` shows all";
const NO_PROJECT: &str = "there is no project \"none\"; `tallygate project list demo` shows all";
const NOT_ONE: &str = "a limit must be at least 1";
const NO_AMOUNT: &str = "the amount: an amount must be a plain decimal such as 25";

/// Lines that can be read and not be done, and a part of why. GONE stands for a revoked key.
const REFUSALS: [(&str, &str); 27] = [
    ("project create nobody a", NOBODY),
    ("project list nobody", NOBODY),
    ("project create demo none/a", NO_PROJECT),
    ("project create demo Big", "a project name must be"),
    ("project create demo ", "a project name must be"),
    ("project create demo research", "there already is a project called \"research\""),
    ("project create demo a --concurrency 0", NOT_ONE),
    ("project disable demo none", NO_PROJECT),
    ("project enable demo none", NO_PROJECT),
    ("limit list nobody", NOBODY),
    ("limit set nobody --concurrency 1", NOBODY),
    ("limit set demo --concurrency 0", NOT_ONE),
    ("limit set demo --concurrency 18446744073709551615", NOT_ONE),
    ("limit set demo --project none --concurrency 1", NO_PROJECT),
    ("limit set demo --key AAAAAAAAAAAA --concurrency 1", "there is no key"),
    ("limit set demo --budget 5", "--budget needs --period: day, week, month or ever"),
    ("grant add nobody 5", NOBODY),
    ("grant list nobody", NOBODY),
    ("grant add demo five", NO_AMOUNT),
    ("grant add demo 1.0000000001", NO_AMOUNT),
    ("grant add demo 0", "a grant must be an amount other than zero"),
    ("grant add demo 6 --idempotency-key order7", "there already is a grant with"),
    ("key rotate AAAAAAAAAAAA", "there is no key called \"AAAAAAAAAAAA\""),
    ("key rotate GONE", "is revoked for good; create another"),
    ("key create demo --expires 0s", "a key must expire after the time at which it is made"),
    ("key create demo --project none", NO_PROJECT),
    ("audit --tenant nobody", NOBODY),
];

/// Lines that cannot be read.
const UNREADABLES: [(&str, &str); 12] = [
    ("frobnicate", "unrecognized subcommand 'frobnicate'"),
    ("project create demo", "<PATH>"),
    ("limit set demo", "required"),
    ("limit set demo --concurrency many", "invalid value 'many'"),
    ("limit set demo --concurrency -1", "unexpected argument"),
    ("limit set demo --budget 0 --period day", "a budget must be more than zero"),
    ("limit set demo --budget 5 --period year", "invalid value 'year'"),
    ("limit set demo --project a --key GONE --concurrency 1", "cannot be used with"),
    ("key rotate GONE --overlap soon", "a span must be a whole number and s, m, h or d"),
    ("key create demo --scope everything", "invalid value 'everything'"),
    ("audit --limit 0", "invalid value '0'"),
    ("routes --format xml", "invalid value 'xml'"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_and_changes_nothing() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let server = installation.start().await?;
    installation.run(&["project", "create", "demo", "research"])?;
    installation.run(&["grant", "add", "demo", "5", "--idempotency-key", "order7"])?;
    let gone = installation.create_key("demo", &[])?;
    installation.run(&["key", "revoke", public(&gone)])?;
    let before = audited(&installation)?;
    let refused = REFUSALS.map(|(line, why)| (line, why, REFUSED));
    let unreadable = UNREADABLES.map(|(line, why)| (line, why, UNREADABLE));
    for (line, why, expected) in refused.into_iter().chain(unreadable) {
        let line = line.replace("GONE", public(&gone));
        let arguments: Vec<_> = line.split(' ').collect();
        let Refusal { code, stdout, stderr } = refusal(&installation, &arguments)?;
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{line}: {stderr}");
        assert!(stderr.contains(why), "{line}: {stderr}");
        // What a command finds wrong is one line; what cannot be read comes with the usage.
        let is_one_line = stderr.lines().count() == 1 && stderr.starts_with("error: ");
        assert!(expected == UNREADABLE || is_one_line, "{line}: {stderr}");
    }
    assert_eq!(audited(&installation)?, before, "nothing was changed");
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_limits_and_grants_are_listed_as_they_were_set() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let _server = installation.start().await?;
    let created = installation.run(&["project", "create", "demo", "research"])?;
    assert!(created.starts_with("created project research ("), "{created}");
    assert!(created.ends_with("next: tallygate key create demo --project research\n"), "{created}");
    let with_limits = ["--requests-per-minute", "9", "--budget", "1.50", "--period", "week"];
    installation.run(&[&["project", "create", "demo", "research/nlp"], &with_limits[..]].concat())?;
    installation.run(&["project", "disable", "demo", "research"])?;
    let listed = installation.run(&["project", "list", "demo"])?;
    let found: Vec<_> = rows(&listed).into_iter().map(|mut row| row.drain(..7).collect::<Vec<_>>()).collect();
    let expected = [
        ["research", "-", "-", "-", "-", "-", "disabled"],
        ["research/nlp", "9", "-", "-", "-", "1.50 per week", "active"],
    ];
    assert_eq!(found, expected, "{listed}");
    assert_eq!(installation.run(&["project", "enable", "demo", "research"])?, "enabled project research\n");

    let key = installation.create_key("demo", &["--project", "research/nlp"])?;
    let key = public(&key);
    let set = |more: &[&str]| installation.run(&[&["limit", "set", "demo"], more].concat());
    let printed = set(&["--tokens-per-minute", "1000", "--concurrency", "3"])?;
    let expected = "limits of tenant demo for all models:\n  requests/min  -\n  tokens/min    1000\n  \
                    requests/day  -\n  concurrency   3\n  budget        -\n";
    assert_eq!(printed, expected);
    set(&["--key", key, "--model", "demo", "--requests-per-day", "7"])?;
    set(&["--project", "research/nlp", "--requests-per-minute", "none"])?;
    set(&["--concurrency", "none"])?;
    let listed = installation.run(&["limit", "list", "demo"])?;
    let of_key = format!("key {key}");
    let mut found = rows(&listed);
    found.sort();
    let expected = [
        vec![of_key.as_str(), "demo", "-", "-", "7", "-", "-", "-"],
        vec!["project research/nlp", "all", "-", "-", "-", "-", "1.50 per week", "0.00"],
        vec!["tenant demo", "all", "-", "1000", "-", "-", "-", "-"],
    ];
    assert_eq!(found, expected, "{listed}");

    let add = |arguments: &[&str]| installation.run(&[&["grant", "add", "demo"], arguments].concat());
    let first = add(&["25", "--idempotency-key", "order 7", "--note", "welcome"])?;
    assert!(first.starts_with("granted 25.00 USD to tenant demo ("), "{first}");
    let again = add(&["25", "--idempotency-key", "order 7", "--note", "welcome"])?;
    assert!(again.starts_with("25.00 USD were granted to tenant demo before with this key ("), "{again}");
    assert!(again.contains("nothing changed\n"), "{again}");
    let back = add(&["-5.5"])?;
    assert!(back.ends_with("balance: 19.50 USD (19.50 granted, 0.00 charged)\n"), "{back}");
    let listed = installation.run(&["grant", "list", "demo"])?;
    assert!(listed.contains("25.00") && listed.contains("welcome") && listed.contains("-5.50"), "{listed}");
    assert!(listed.ends_with("balance: 19.50 USD (19.50 granted, 0.00 charged)\n"), "{listed}");

    let gift = ["3", "--kind", "promotional", "--priority", "7", "--expires", "30d", "--model", "demo"];
    assert!(add(&gift)?.contains("balance: 22.50 USD"));
    let terms = ["balance", "terms", "demo", "--overage", "2.5", "--recharge-below", "30"];
    let terms = installation.run(&terms)?;
    assert!(terms.contains("allowed up to 2.50 between two invoices"), "{terms}");
    let shown = installation.run(&["balance", "show", "demo"])?;
    assert!(shown.contains("left         22.50") && shown.contains("told below   30.00"), "{shown}");
    let transfers = installation.run(&["balance", "transfers", "demo"])?;
    assert_eq!(transfers.lines().count(), 4, "{transfers}");
    assert!(transfers.contains("take_back") && transfers.contains("issued"), "{transfers}");
    let proof = installation.run(&["balance", "verify", "demo"])?;
    assert!(
        proof.starts_with("3 transfers of tenant demo are what its grants and 0 records come to"),
        "{proof}"
    );
    Ok(())
}

/// Whether a key opens.
async fn status(server: &Server, key: &str) -> Outcome<u16> {
    Ok(server.chat(key).get("/models").await?.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_opens_beside_its_successor_for_a_while() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let server = installation.start().await?;
    let limits = ["--requests-per-minute", "50", "--scope", "models:read"];
    let old = installation.create_key("demo", &limits)?;
    let rotate = |key: &str, overlap: &str| -> Outcome<String> {
        let printed = installation.run(&["key", "rotate", public(key), "--overlap", overlap])?;
        assert!(
            printed.contains(&format!("in the place of {}, which opens until 2", public(key))),
            "{printed}"
        );
        assert!(printed.contains("It is shown this once; only its hash is stored."), "{printed}");
        let word = printed.split_whitespace().find(|word| word.starts_with("tg-"));
        Ok(word.unwrap_or_default().to_owned())
    };
    let second = rotate(&old, "1h")?;
    server.knows(&second).await?;
    assert_eq!((status(&server, &old).await?, status(&server, &second).await?), (200, 200));
    let third = rotate(&second, "0s")?;
    server.knows(&third).await?;
    assert_eq!((status(&server, &old).await?, status(&server, &second).await?), (200, 401));
    let listed = installation.run(&["key", "list", "demo"])?;
    let states = [(&old, "active"), (&second, "expired"), (&third, "active")];
    for (key, state) in states {
        let row = rows(&listed).into_iter().find(|row| row[0] == public(key)).unwrap_or_default();
        assert_eq!((row[5], row[6], row[9]), ("models:read", "50", state), "{listed}");
        assert!(!listed.contains(key.as_str()), "no secret is listed");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_names_who_what_and_when() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?.as_user("anna");
    let server = installation.start().await?;
    installation.run(&["project", "create", "demo", "research"])?;
    installation.run(&["project", "disable", "demo", "research"])?;
    let key = installation.create_key("demo", &[])?;
    let all = audited(&installation)?;
    let actions: Vec<_> = all.iter().take(3).filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["key.created", "project.changed", "project.created"], "{all:?}");
    let numbers: Vec<_> = all.iter().filter_map(|entry| entry["sequence"].as_u64()).collect();
    let count = u64::try_from(all.len()).unwrap_or_default();
    assert_eq!(numbers, (1..=count).rev().collect::<Vec<_>>(), "newest first, without a gap");
    let changed = &all[1];
    let who = (&changed["actor_kind"], &changed["actor"]);
    assert_eq!(who, (&json!("command_line"), &json!("anna")), "{changed}");
    assert_eq!(
        (&changed["before"]["disabled_unix_us"], &changed["request_id"]),
        (&Value::Null, &Value::Null)
    );
    assert!(changed["after"]["disabled_unix_us"].is_i64(), "{changed}");
    let secret = key.rsplit('-').next().unwrap_or_default();
    assert!(!format!("{all:?}").contains(secret), "no secret is in it");
    let of_key = installation.run_json_lines(&["audit", "--object", public(&key)])?;
    assert_eq!(of_key, [all[0].clone()]);
    let few = installation.run_json_lines(&["audit", "--tenant", "demo", "--limit", "2"])?;
    assert_eq!(few, all[..2]);
    assert!(server.stop().await?.success());
    Ok(())
}

#[test]
fn routes_are_the_same_as_text_and_as_json() -> Outcome {
    let installation = Installation::new(SIMULATED)?;
    let text = installation.run(&["routes"])?;
    let lines = installation.run_json_lines(&["routes", "--format", "json"])?;
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let cells = |line: &Value| ["method", "path", "dialect", "access", "scope"].map(|name| field(line, name));
    let expected: Vec<_> = lines.iter().map(cells).collect();
    assert!(expected.len() > 10, "{text}");
    assert_eq!(rows(&text), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_made_with_a_secret_that_is_shown_once() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let _server = installation.start().await?;
    let url = "https://example.invalid/hook";
    let made = installation.run(&["webhook", "add", url, "--tenant", "demo", "--event", "credit.low"])?;
    let id = made.split(' ').nth(1).unwrap_or_default().to_owned();
    let secret = made.lines().find_map(|line| line.trim().strip_prefix("secret  ")).unwrap_or_default();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{made}");
    let rotated = installation.run(&["webhook", "rotate-secret", &id])?;
    assert!(rotated.contains("whsec_") && !rotated.contains(secret), "{rotated}");
    // Below its threshold at once: an event, and a delivery that waits or was tried.
    installation.run(&["balance", "terms", "demo", "--recharge-below", "1"])?;
    let deliveries = installation.run(&["webhook", "deliveries", &id])?;
    assert!(deliveries.contains("credit.low") && deliveries.contains("pending"), "{deliveries}");
    let listed = installation.run(&["webhook", "list"])?;
    assert!(listed.contains(url) && !listed.contains("whsec_"), "{listed}");
    for refused in ["http://example.com/", "https://127.0.0.1/", "https://anna:x@example.com/", "nowhere"] {
        assert!(installation.run(&["webhook", "add", refused]).is_err(), "{refused}");
    }
    Ok(())
}
