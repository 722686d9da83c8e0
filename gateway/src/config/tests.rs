//! What a file and variables become together, and which place a complaint names.
//! Never a model loaded or a ledger opened.
//! Run by `cargo test`.

use std::{ffi::OsString, io::Write as _, os::unix::ffi::OsStringExt as _};

use super::*;

fn variables(environment: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    environment.iter().map(|&(name, text)| (name.into(), text.into())).collect()
}

fn read(file: &[u8], environment: Vec<(OsString, OsString)>) -> Result<Config, String> {
    let mut temporary = tempfile::NamedTempFile::new().expect("a temporary file");
    temporary.write_all(file).expect("written");
    let path = temporary.path();
    load(Some(path), environment).map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
}

pub(super) fn check(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    read(file.as_bytes(), variables(environment))
}

/// The names and sources of the models.
pub(super) fn models(config: &Config) -> Vec<(&str, ModelSource)> {
    config.models.iter().map(|model| (model.name.as_str(), model.source)).collect()
}

#[test]
fn the_empty_file_is_the_default() {
    let config = check("", &[]).expect("defaults");
    assert_eq!(models(&config), [("demo", ModelSource::Demo)]);
    assert_eq!(config.ledger_url(), "sqlite://tallygate-data/ledger.sqlite");
    assert!(load(None, []).is_ok());
}

#[test]
fn variables_override_the_file() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n[[model]]\nname = \"a\"\nsource = \"sim\"\n";
    let environment = [
        ("TALLYGATE__SERVER__LISTEN", "127.0.0.1:2"),
        ("TALLYGATE__SERVER__WORKERS", "3"),
        ("TALLYGATE__MODEL__0__SIM__SEED", "7"),
        ("OTHER__SERVER__WORKERS", "x"),
    ];
    let config = check(file, &environment).expect("good");
    assert_eq!((config.server.listen.port(), config.server.workers), (2, 3));
    assert_eq!(config.models[0].sim.as_ref().map(|sim| sim.seed), Some(7));
    assert_eq!(models(&config), [("a", ModelSource::Sim)]);
}

#[test]
fn variables_describe_whole_models() {
    use ModelSource::{Demo, Sim};
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, ModelSource)]);
    let file = "[[model]]\nname = \"a\"\nsource = \"sim\"\n";
    let rows: &[Row<'_>] = &[
        // Without a model in the file, entry 0 begins as the demo model.
        ("", &[("MODEL__0__THREADS", "1")], &[("demo", Demo)]),
        ("", &[("MODEL__0__NAME", "small")], &[("small", Demo)]),
        ("", &[("MODEL__0__NAME", "small"), ("MODEL__0__SOURCE", "sim")], &[("small", Sim)]),
        ("", &[("MODEL__1__NAME", "b"), ("MODEL__1__SOURCE", "sim")], &[("demo", Demo), ("b", Sim)]),
        ("", &[("MODEL", "[{name = \"b\", source = \"sim\"}]"), ("MODEL__0__THREADS", "2")], &[("b", Sim)]),
        // A variable may give what the file's entry lacks.
        ("[[model]]\nname = \"a\"\n", &[("MODEL__0__SOURCE", "sim")], &[("a", Sim)]),
        (file, &[("MODEL__1__SOURCE", "sim"), ("MODEL__1__NAME", "b")], &[("a", Sim), ("b", Sim)]),
        (file, &[("MODEL__01__SOURCE", "sim"), ("model__1__Name", "b")], &[("a", Sim), ("b", Sim)]),
        // A name of digits, of a date, of a truth value is text all the same.
        (file, &[("MODEL__0__NAME", "7")], &[("7", Sim)]),
        (file, &[("MODEL__0__NAME", "2026-01-01")], &[("2026-01-01", Sim)]),
        (file, &[("MODEL__0__NAME", "true")], &[("true", Sim)]),
    ];
    for (file, environment, expected) in rows {
        let named: Vec<_> =
            environment.iter().map(|&(name, text)| (format!("TALLYGATE__{name}"), text)).collect();
        let named: Vec<_> = named.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let config = check(file, &named).unwrap_or_else(|error| panic!("{environment:?}: {error}"));
        assert_eq!(models(&config), *expected, "{file:?} {environment:?}");
    }
}

#[test]
fn the_eleventh_model_comes_after_the_second() {
    let entry = |index: usize| {
        let field =
            |field: &str, text: &str| (format!("TALLYGATE__MODEL__{index}__{field}"), text.to_owned());
        [field("NAME", &format!("m{index}")), field("SOURCE", "sim")]
    };
    let entries: Vec<_> = (0..=11).flat_map(entry).collect();
    let config = load(None, entries.into_iter().map(|(name, text)| (name.into(), text.into())));
    assert_eq!(config.expect("twelve models").models[11].name.as_str(), "m11");
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    let broken = || OsString::from_vec(b"3\xff".to_vec());
    let name = "TALLYGATE__SERVER__WORKERS";
    let found = load(None, [(name.into(), broken())]).expect_err("a broken value").to_string();
    assert_eq!(found, format!("environment variable {name}: its value is not UTF-8"));
    let broken_name = OsString::from_vec(b"TALLYGATE__SERVER__\xff".to_vec());
    let found = load(None, [(broken_name, "3".into())]).expect_err("a broken name").to_string();
    assert!(found.starts_with("environment variable TALLYGATE__SERVER__\u{fffd}: its name"), "{found}");
    assert!(load(None, [("OTHER".into(), broken())]).is_ok(), "not ours");
}

/// A file, variables, and how the complaint begins.
pub(super) type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

pub(super) fn check_refusals(rows: &[Row<'_>]) {
    for (file, environment, expected) in rows {
        let found = check(file, environment).expect_err(file);
        assert!(found.starts_with(expected), "{file:?} {environment:?}\n  {found}\n  {expected}");
    }
}

#[test]
fn faults_name_their_place_in_the_file() {
    check_refusals(&[
        ("[server]\nlisten = 3\n", &[], "FILE:2:10: "),
        ("[server]\nworkers = 2000\n", &[], "FILE:2:11: 2000 is not between 0 and 1024"),
        ("[server]\nlisen = \"x\"\n", &[], "FILE:2:1: unknown field `lisen`"),
        ("[servr]\n", &[], "FILE:1:2: unknown field `servr`"),
        ("a = [1,\n", &[], "FILE:"),
        ("[ledger]\nurl = \"mysql://x\"\n", &[], "FILE:2:7: a ledger url must start with"),
        ("[ledger]\nurl = \"sqlite://\"\n", &[], "FILE:2:7: a ledger url sqlite:// needs the file's path"),
        ("\n[[model]]\nname = \"a\"\n", &[], "FILE:2:1: missing field `source`"),
        ("[[model]]\nname = \"a b\"\nsource = \"sim\"\n", &[], "FILE:2:8: a model name must be"),
        (
            "[[model]]\nname = \"a\"\nsource = \"sim\"\nthreads = 1025\n",
            &[],
            "FILE:4:11: 1025 is not between",
        ),
        (
            "[[model]]\nname = \"a\"\nsource = \"sim\"\nsequences_max = 0\n",
            &[],
            "FILE:4:17: 0 is not between",
        ),
        (
            "[[model]]\nname = \"a\"\nsource = \"sim\"\nsequences_max = 4294967295\n",
            &[],
            "FILE:4:17: 4294967295 is not between 1 and 4096",
        ),
        // The variable does not touch what is wrong.
        ("[server]\nworkers = 2000\n", &[("TALLYGATE__SERVER__DRAIN_SECONDS", "1")], "FILE:2:11: 2000"),
    ]);
    let found = read(b"[server]\n# \xff\nworkers = 1\n", Vec::new()).expect_err("not UTF-8");
    assert_eq!(found, "FILE:2:3: this byte is not UTF-8");
}

#[test]
fn broken_rules_name_their_place_in_the_file() {
    let sim = "[[model]]\nname = \"a\"\nsource = \"sim\"\n";
    let twice = format!("{sim}{sim}");
    let narrow_step = format!("{sim}sequences_max = 64\nstep_tokens_max = 63\n");
    let many_sequences = format!("{sim}sequences_max = 513\n");
    check_refusals(&[
        ("model = []\n", &[], "FILE:1:9: at least one [[model]] or [[backend]]"),
        (
            "[[model]]\nname = \"a\"\nsource = \"folder\"\n",
            &[],
            "FILE:3:10: model a: source = \"folder\" needs path",
        ),
        (
            "[[model]]\nname = \"a\"\nsource = \"folder\"\npath = \"/nowhere/at/all\"\n",
            &[],
            "FILE:4:8: model a: /nowhere/at/all is not a folder",
        ),
        (
            "[[model]]\nname = \"a\"\nsource = \"demo\"\n[model.sim]\nseed = 1\n",
            &[],
            "FILE:4:1: model a: [model.sim] belongs to",
        ),
        (
            "model = [{name = \"a\", source = \"sim\", path = \"p\"}]",
            &[],
            "FILE:1:46: model a: path belongs to",
        ),
        (&twice, &[], "FILE:5:8: model a: the name is used twice"),
        (&narrow_step, &[], "FILE:5:19: model a: step_tokens_max (63) must be at least sequences_max (64)"),
        // The other half of the rule is a default.
        (
            &many_sequences,
            &[],
            "FILE:4:17: model a: step_tokens_max (512) must be at least sequences_max (513)",
        ),
        (
            "[energy]\nidle_milliwatts = 20001\n",
            &[],
            "FILE:2:19: energy.busy_milliwatts (20000) must not be below energy.idle_milliwatts (20001)",
        ),
        (
            "[journal]\nsegment_mib_max = 64\nunshipped_mib_max = 63\n",
            &[],
            "FILE:3:21: journal.unshipped_mib_max (63) must not be below journal.segment_mib_max (64)",
        ),
    ]);
}

#[test]
fn broken_rules_of_limits_name_their_place() {
    check_refusals(&[
        ("[limits]\nstore = \"redis\"\n", &[], "FILE:2:9: limits.store = \"redis\" needs limits.redis.url"),
        (
            "[limits]\nstore = \"memory\"\n",
            &[],
            "FILE:2:9: unknown variant `memory`, expected `local` or `redis`",
        ),
        (
            "[limits.redis]\nurl = \"redis://127.0.0.1/\"\n",
            &[],
            "FILE:2:7: limits.redis.url belongs to limits.store = \"redis\"",
        ),
        (
            "[limits.redis]\nurl = \"127.0.0.1:6379\"\n",
            &[],
            "FILE:2:7: a Redis url must be redis://[user:password@]host[:port][/database]",
        ),
        (
            "[limits.redis]\nurl = \"rediss://127.0.0.1/#insecure\"\n",
            &[],
            "FILE:2:7: a Redis url must be redis://[user:password@]host[:port][/database]",
        ),
        (
            "[limits]\nstore = \"redis\"\n[limits.redis]\nurl = \"redis://127.0.0.1/\"\nca_file = \"x.pem\"\n",
            &[],
            "FILE:5:11: limits.redis.ca_file belongs to a url that begins with rediss://",
        ),
        (
            "[limits]\nstore = \"redis\"\n[limits.redis]\nurl = \"rediss://127.0.0.1/\"\nca_file = \"/no/such.pem\"\n",
            &[],
            "FILE:5:11: /no/such.pem is not a file",
        ),
        (
            "[limits]\non_redis_failure = \"open\"\n",
            &[],
            "FILE:2:20: unknown variant `open`, expected `closed` or `local`",
        ),
        ("[limits]\ngateways_expected = 0\n", &[], "FILE:2:21: 0 is not between 1 and 1000"),
        ("[limits]\ngateways_expected = 1001\n", &[], "FILE:2:21: 1001 is not between 1 and 1000"),
    ]);
}

#[test]
fn limits_can_be_shared_and_keep_their_secret() {
    use std::num::NonZeroU32;

    use crate::admit::AwayPolicy;
    let file = "[limits]\nstore = \"redis\"\non_redis_failure = \"local\"\ngateways_expected = 3\n";
    let url = ("TALLYGATE__LIMITS__REDIS__URL", "redis://:s3cret@127.0.0.1:6380/2");
    let config = check(file, &[url]).expect("good");
    assert_eq!(config.limits.store, LimitsStore::Redis);
    let gateways = NonZeroU32::new(3).expect("three");
    assert_eq!(config.limits.away_policy(), AwayPolicy::Local { gateways });
    assert_eq!(config.limits.redis.url.as_ref().map(RedisUrl::expose), Some(url.1));
    assert!(!format!("{config:?}").contains("s3cret"));
    let error = check(file, &[(url.0, "s3cret@127.0.0.1")]).expect_err("no address");
    assert!(!error.contains("s3cret"), "{error}");
    let config = check("", &[]).expect("defaults");
    assert_eq!((config.limits.store, config.limits.away_policy()), (LimitsStore::Local, AwayPolicy::Closed));
}

#[test]
fn faults_name_their_variable() {
    let sim = "[[model]]\nname = \"a\"\nsource = \"sim\"\n";
    let workers = "TALLYGATE__SERVER__WORKERS";
    check_refusals(&[
        ("", &[(workers, "many")], "environment variable TALLYGATE__SERVER__WORKERS: invalid type: string"),
        ("", &[(workers, "2000")], "environment variable TALLYGATE__SERVER__WORKERS: 2000 is not between"),
        ("", &[(workers, "1\nlisten = 2")], "environment variable TALLYGATE__SERVER__WORKERS: "),
        (
            "",
            &[("TALLYGATE__SERVER__NAME", "x")],
            "environment variable TALLYGATE__SERVER__NAME: unknown field",
        ),
        ("", &[("TALLYGATE__SERVER", "x")], "environment variable TALLYGATE__SERVER: "),
        ("", &[("TALLYGATE__", "x")], "environment variable TALLYGATE__: unknown field"),
        ("", &[("TALLYGATE__MODEL", "[]")], "environment variable TALLYGATE__MODEL: at least one [[model]]"),
        // Of several variables, the one that is wrong.
        (
            sim,
            &[
                ("TALLYGATE__MODEL__1__NAME", "b"),
                ("TALLYGATE__MODEL__1__SOURCE", "bogus"),
                (workers, "1"),
                ("TALLYGATE__ENERGY__SOURCE", "modelled"),
            ],
            "environment variable TALLYGATE__MODEL__1__SOURCE: unknown variant `bogus`",
        ),
        (
            sim,
            &[("TALLYGATE__MODEL__1__NAME", "b")],
            "environment variable TALLYGATE__MODEL__1__NAME: missing field `source`",
        ),
        (
            sim,
            &[("TALLYGATE__MODEL__2__NAME", "b")],
            "environment variable TALLYGATE__MODEL__2__NAME: list index 2 is beyond the 1 entries",
        ),
        (
            sim,
            &[("TALLYGATE__MODEL__X__NAME", "b")],
            "environment variable TALLYGATE__MODEL__X__NAME: \"x\" is not a list index",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n",
            &[("TALLYGATE__SERVER__LISTEN__PORT", "2")],
            "environment variable TALLYGATE__SERVER__LISTEN__PORT: \"port\" is below a plain value",
        ),
        (
            "",
            &[("TALLYGATE__MODEL", "[{name = 1.5, source = 1}]"), ("TALLYGATE__MODEL__0__THREADS", "1")],
            "environment variable TALLYGATE__MODEL: invalid type: floating point",
        ),
        // Rules over several settings.
        (
            sim,
            &[("TALLYGATE__MODEL__0__PATH", "p")],
            "environment variable TALLYGATE__MODEL__0__PATH: model a: path",
        ),
        (
            "[journal]\nsegment_mib_max = 64\n",
            &[("TALLYGATE__JOURNAL__UNSHIPPED_MIB_MAX", "1")],
            "environment variable TALLYGATE__JOURNAL__UNSHIPPED_MIB_MAX: journal.unshipped_mib_max (1)",
        ),
        (
            "[energy]\nbusy_milliwatts = 6000\n",
            &[("TALLYGATE__ENERGY__IDLE_MILLIWATTS", "7000")],
            "environment variable TALLYGATE__ENERGY__IDLE_MILLIWATTS: energy.busy_milliwatts (6000)",
        ),
    ]);
}

/// A backend `b` with one model `a`; each text is put into its place.
pub(super) fn backend(lines: &str, model_lines: &str) -> String {
    format!(
        "[[backend]]\nname = \"b\"\nkind = \"openai\"\nurl = \"http://h/v1\"\n{lines}\n\
         [[backend.model]]\nname = \"a\"\ncontext_tokens_max = 10\n{model_lines}\n"
    )
}

#[test]
fn backends_take_the_demo_models_place() {
    let config = check(&backend("", ""), &[]).expect("good");
    assert_eq!((models(&config).len(), config.backends.len()), (0, 1));
    let model = &config.backends[0].models[0];
    assert_eq!((model.name_there(), model.weight, model.capabilities.len()), ("a", 100, 2));
    let both = format!("[[model]]\nname = \"a\"\nsource = \"sim\"\n{}", backend("", ""));
    assert_eq!(models(&check(&both, &[]).expect("good")).len(), 1, "one name, two targets");
    let key = [("TALLYGATE__BACKEND__0__API_KEY", "sk-from-variable")];
    let config = check(&backend("", ""), &key).expect("good");
    assert_eq!(
        config.backends[0].api_key.as_ref().map(Secret::read),
        Some(Ok("sk-from-variable".to_owned()))
    );
    assert!(!format!("{config:?}").contains("sk-from-variable"));
}

#[test]
fn bad_backends_are_named_with_their_place() {
    let rows = [
        (backend("x = 1", ""), "FILE:5:1: unknown field `x`"),
        (backend("api_key = 7", ""), "FILE:5:11: a text, { variable"),
        (backend("api_key = { variable = \"A\", file = \"b\" }", ""), "FILE:5:11: a text, { variable"),
        (backend("api_key = \"\"", ""), "FILE:5:11: backend b: the secret is empty"),
        (backend("api_key = { file = \"/nowhere\" }", ""), "FILE:5:11: backend b: /nowhere: "),
        (backend("ca_file = \"/nowhere\"", ""), "FILE:5:11: backend b: /nowhere is not a file"),
        (backend("connections_max = 0", ""), "FILE:5:19: 0 is not between 1 and 65536"),
        (backend("health_path = \"health\"", ""), "FILE:5:15: health_path must be a path"),
        (backend("", "upstream_name = \"\""), "FILE:9:17: upstream_name must have"),
        (backend("", "capabilities = []"), "FILE:9:16: backend b: the model a needs at least one capability"),
        (backend("", "capabilities = [\"dance\"]"), "FILE:9:17: unknown variant `dance`"),
        (backend("", "mj_per_output_token = 0.35"), "FILE:9:23: a whole number, or a decimal as text"),
        (backend("", "mj_per_output_token = \"a\""), "FILE:9:23: energy must be a decimal number"),
        (backend("", "tokenizer = \"/nowhere\""), "FILE:9:13: backend b: /nowhere is not a file"),
        (backend("", "weight = 0"), "FILE:9:10: 0 is not between 1 and 10000"),
        (backend("", "").repeat(2), "FILE:11:8: backend b: the name is used twice"),
        (backend("", "").replace("name = \"b\"", "name = \"local\""), "FILE:2:8: a backend's name must be"),
        (
            backend("", "").replace("http://h/v1", "http://u:p@h/v1"),
            "FILE:4:7: a backend's url must have no user",
        ),
        (backend("", "").replace("kind = \"openai\"", "kind = \"x\""), "FILE:3:8: unknown variant `x`"),
        (
            backend("", "[[backend.model]]\nname = \"a\"\ncontext_tokens_max = 3"),
            "FILE:10:8: backend b: the model a is there twice",
        ),
        (
            "[[backend]]\nname = \"b\"\nkind = \"openai\"\nurl = \"http://h\"\nmodel = []\n".to_owned(),
            "FILE:5:9: backend b: at least one [[backend.model]] is needed",
        ),
    ];
    for (file, expected) in rows {
        let found = check(&file, &[]).expect_err(&file);
        assert!(found.starts_with(expected), "{file}\n  {found}\n  {expected}");
    }
}
