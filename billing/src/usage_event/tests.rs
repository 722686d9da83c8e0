//! What is an event and what is none, and what events count for, as tables.
//! Never a database and never HTTP.
//! Run by `cargo test`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::Plan;

const METERS: &str = "name = \"gpu\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"standard\"\n\
    [[meter]]\nname = \"gpu_seconds\"\nevent_type = \"job\"\naggregation = \"sum\"\nvalue = \"/gpu/seconds\"\n\
    unit = \"s\"\ndecimals = 3\n\
    [[meter]]\nname = \"jobs\"\nevent_type = \"job\"\naggregation = \"count\"\nunit = \"jobs\"\n\
    [[meter]]\nname = \"big_jobs\"\nevent_type = \"job\"\naggregation = \"count\"\nunit = \"jobs\"\n\
    [[meter.filter]]\nfield = \"size\"\nvalues = [\"big\", \"9\", \"true\"]\n\
    [[meter]]\nname = \"images\"\nevent_type = \"image\"\naggregation = \"sum\"\nvalue = \"n\"\nunit = \"images\"\n\
    [[charge]]\nname = \"gpu\"\nscheme = \"unit\"\nmeter = \"gpu_seconds\"\nprice = \"0.01\"\n";

fn plan() -> Plan {
    Plan::from_text("t", METERS).expect("a plan")
}

/// A whole event with some attributes changed; null takes one away.
fn event(changes: &Value) -> String {
    let mut event = json!({"specversion": "1.0", "id": "e1", "source": "/jobs", "type": "job", "subject": "acme",
        "time": "2026-11-24T12:00:00Z", "data": {"gpu": {"seconds": 1}}});
    for (name, value) in changes.as_object().expect("an object") {
        event[name] = value.clone();
    }
    event.to_string()
}

fn refusal(text: &str) -> String {
    UsageEvent::from_json(text).map(|event| event.to_json()).expect_err(text).to_string()
}

#[test]
fn an_event_has_one_way_of_being_written() {
    let text = r#"{ "type":"job", "source":"/jobs", "specversion":"1.0", "id":"e1", "subject":"acme/research",
        "time":"2026-11-24T13:00:00.5+01:00", "datacontenttype":"application/json; charset=utf-8", "number": 7,
        "flag": true, "none": null, "traceparent": "00-1", "data": {"b": 1.50, "a": [1e2, -0.0, "1.50"]} }"#;
    let read = UsageEvent::from_json(text).expect("an event");
    let expected = concat!(
        r#"{"data":{"a":[100,0,"1.50"],"b":1.5},"flag":"true","id":"e1","number":"7","source":"/jobs","#,
        r#""specversion":"1.0","subject":"acme/research","time":"2026-11-24T12:00:00.5Z","type":"job"}"#
    );
    assert_eq!(read.to_json(), expected);
    assert_eq!(UsageEvent::from_json(expected), Ok(read.clone()), "it reads back as itself");
    assert_eq!(read.time.map(Timestamp::unix_micros), Some(1_795_521_600_500_000));
    // The same, with its attributes apart: all of them are texts then.
    let attributes = [
        ("specversion", "1.0"),
        ("id", "e1"),
        ("source", "/jobs"),
        ("type", "job"),
        ("subject", "acme/research"),
        ("time", "2026-11-24T12:00:00.500Z"),
        ("number", "7"),
        ("flag", "true"),
        ("tracestate", "x"),
    ];
    let attributes = attributes.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    let data = r#"{"a":[100,0,"1.50"],"b":1.5}"#;
    assert_eq!(UsageEvent::from_parts(attributes, Some("application/json"), data), Ok(read));
}

#[test]
fn what_is_no_event_is_told_with_its_place() {
    let long = "x".repeat(2_000);
    let rows = [
        (json!({"specversion": null}), "specversion: is required"),
        (json!({"specversion": "0.3"}), "specversion: must be \"1.0\", not \"0.3\""),
        (json!({"specversion": 1}), "specversion: must be a text, not a number"),
        (json!({"id": null}), "id: is required"),
        (json!({"id": ""}), "id: must be 1 to 255 bytes without control characters"),
        (json!({"id": 7}), "id: must be a text, not a number"),
        (json!({"source": ""}), "source: must be 1 to 1024 bytes without control characters"),
        (json!({"source": "a b"}), "source: must be a URI reference such as \"/jobs/gpu\", not \"a b\""),
        (json!({"source": "/a%2"}), "source: must be a URI reference such as \"/jobs/gpu\", not \"/a%2\""),
        (json!({"type": null}), "type: is required"),
        (json!({"type": "a\u{7}"}), "type: must be 1 to 255 bytes without control characters"),
        (json!({"subject": null}), "subject: is required"),
        (json!({"subject": long}), "subject: must be 1 to 1024 bytes without control characters"),
        (
            json!({"time": "2026-11-24"}),
            "time: must be an instant as RFC 3339 has it, such as \"2026-11-24T12:00:00Z\", not \"2026-11-24\"",
        ),
        (
            json!({"time": "2026-11-24T12:00:00"}),
            "time: must be an instant as RFC 3339 has it, such as \"2026-11-24T12:00:00Z\", not \"2026-11-24T12:00:00\"",
        ),
        (json!({"time": 1_795_521_600}), "time: must be a text, not a number"),
        (json!({"datacontenttype": "text/csv"}), "datacontenttype: data must be JSON, not \"text/csv\""),
        (json!({"data_base64": "AA=="}), "data_base64: data must be JSON, not \"data_base64\""),
        (
            json!({"Extension": "x"}),
            "Extension: is no name of an attribute: they have 1 to 64 lower-case letters and digits",
        ),
        (json!({"other": [1]}), "other: must be a text, a whole number, true or false, not a list"),
    ];
    for (changes, expected) in rows {
        assert_eq!(refusal(&event(&changes)), expected, "{changes}");
    }
    assert_eq!(refusal("[]"), "an event is a JSON object, not a list");
    assert!(refusal("{").starts_with("not JSON: "), "{}", refusal("{"));
    let twice = r#"{"specversion":"1.0","data":{"a":1,"a":2}}"#;
    assert_eq!(refusal(twice), "the field \"a\" stands there twice");
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(refusal(&deep), "more than 16 levels of objects and lists");
    assert_eq!(refusal(&event(&json!({"data": "x".repeat(70_000)}))), "an event has at most 65536 bytes");
    // What is a little unusual, and good.
    let good = [
        json!({"source": "https://example.com/a?b#c%20d"}),
        json!({"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"}),
        json!({"source": "büro"}),
        json!({"time": null}),
        json!({"time": "2026-11-24t12:00:00.123456789z"}),
        json!({"data": null}),
        json!({"datacontenttype": "application/vnd.jobs+json"}),
        json!({"dataschema": "https://example.com/schema"}),
    ];
    for changes in good {
        let read = UsageEvent::from_json(&event(&changes));
        assert!(read.is_ok(), "{changes}: {read:?}");
    }
}

#[test]
fn a_batch_is_good_as_a_whole() {
    let batch = |events: &[String]| UsageEvent::batch_from_json(&format!("[{}]", events.join(",")));
    let good = event(&json!({}));
    assert_eq!(batch(&[good.clone(), good.clone()]).map(|events| events.len()), Ok(2));
    let refused = |events: &[String]| batch(events).expect_err("not good").to_string();
    assert_eq!(refused(&[]), "a batch has at least one event");
    assert_eq!(refused(&vec![good.clone(); 1_001]), "a batch has at most 1000 events, not 1001");
    assert_eq!(refused(&[good.clone(), event(&json!({"id": null}))]), "[1].id: is required");
    assert_eq!(refused(&[good.clone(), "7".to_owned()]), "[1]: an event is a JSON object, not a number");
    let one = UsageEvent::batch_from_json(&good).expect_err("not a list");
    assert_eq!(one.to_string(), "a batch is a JSON list of events, not an object");
}

#[test]
fn attributes_that_come_apart_are_held_to_the_same_rules() {
    let parts = |name: &str, text: &str, media_type: Option<&str>, data: &str| {
        let mut all: Vec<_> =
            [("specversion", "1.0"), ("id", "e"), ("source", "s"), ("type", "job"), ("subject", "a")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .to_vec();
        all.push((name.to_owned(), text.to_owned()));
        UsageEvent::from_parts(all, media_type, data)
            .map(|event| event.to_json())
            .map_err(|error| error.to_string())
    };
    let refused = |result: Result<String, String>| result.expect_err("not good");
    assert!(parts("x", "1", None, "").is_ok(), "no data is no fault here");
    assert_eq!(refused(parts("id", "f", None, "")), "the field \"id\" stands there twice");
    assert_eq!(
        refused(parts("data", "1", None, "")),
        "data: is no name of an attribute: they have 1 to 64 lower-case letters and digits"
    );
    assert_eq!(
        refused(parts("x", "1", Some("text/plain"), "hello")),
        "datacontenttype: data must be JSON, not \"text/plain\""
    );
    assert!(refused(parts("x", "1", Some("application/json"), "{")).starts_with("data: not JSON: "));
}

/// What an event of this type and data counts for, or why it is refused.
fn counted(event_type: &str, data: &Value) -> Result<String, String> {
    let text = event(&json!({"type": event_type, "data": data}));
    let read = UsageEvent::from_json(&text).map_err(|error| error.to_string())?;
    let counts = counts_of(&read, &plan()).map_err(|error| error.to_string())?;
    let counts: Vec<_> = counts.iter().map(|(meter, count)| format!("{meter} {count}")).collect();
    Ok(counts.join(", "))
}

#[test]
fn events_count_what_their_meters_say() {
    let seconds = |value: Value| json!({"gpu": {"seconds": value}});
    let big = |value: Value| json!({"gpu": {"seconds": 0}, "size": value});
    let rows = [
        ("job", seconds(json!(1)), "gpu_seconds 1000, jobs 1"),
        ("job", seconds(json!("1.25")), "gpu_seconds 1250, jobs 1"),
        ("job", seconds(json!(0)), "gpu_seconds 0, jobs 1"),
        ("job", seconds(json!("0.001")), "gpu_seconds 1, jobs 1"),
        ("job", seconds(json!("1.2500")), "gpu_seconds 1250, jobs 1"),
        ("job", seconds(json!(1_000_000_000)), "gpu_seconds 1000000000000, jobs 1"),
        // A filter takes texts, numbers and flags by their text; null and absence are no value.
        ("job", big(json!("big")), "big_jobs 1, gpu_seconds 0, jobs 1"),
        ("job", big(json!(9)), "big_jobs 1, gpu_seconds 0, jobs 1"),
        ("job", big(json!(true)), "big_jobs 1, gpu_seconds 0, jobs 1"),
        ("job", big(json!("small")), "gpu_seconds 0, jobs 1"),
        ("job", big(json!(["big"])), "gpu_seconds 0, jobs 1"),
        ("image", json!({"n": 3}), "images 3"),
        ("image", json!({"n": "3.0"}), "images 3"),
    ];
    for (event_type, data, expected) in rows {
        assert_eq!(counted(event_type, &data).as_deref(), Ok(expected), "{data}");
    }
    let refused = [
        (
            "job",
            json!({}),
            "data.gpu.seconds: the meter gpu_seconds takes its value from here, and there is none",
        ),
        (
            "job",
            json!(null),
            "data.gpu.seconds: the meter gpu_seconds takes its value from here, and there is none",
        ),
        (
            "job",
            seconds(json!(null)),
            "data.gpu.seconds: must be a number, or its digits as a text, not null",
        ),
        (
            "job",
            seconds(json!("many")),
            "data.gpu.seconds: must be a number, or its digits as a text, not \"many\"",
        ),
        (
            "job",
            seconds(json!("+1")),
            "data.gpu.seconds: must be a number, or its digits as a text, not \"+1\"",
        ),
        ("job", seconds(json!(-1)), "data.gpu.seconds: must not be below zero, as -1 is"),
        (
            "job",
            seconds(json!("0.0001")),
            "data.gpu.seconds: 0.0001 has more decimals than the 3 of meter gpu_seconds",
        ),
        (
            "job",
            seconds(json!(1_000_000_001)),
            "data.gpu.seconds: 1000000001 is more than the 1000000000 s that one event may say",
        ),
        ("image", json!({"n": "0.5"}), "data.n: 0.5 has more decimals than the 0 of meter images"),
        (
            "video",
            json!({}),
            "type: plan gpu@1 has no [[meter]] for events of type \"video\"; it has: image, job",
        ),
    ];
    for (event_type, data, expected) in refused {
        assert_eq!(counted(event_type, &data), Err(expected.to_owned()), "{data}");
    }
}

#[test]
fn numbers_are_read_from_their_digits() {
    // As a float, 0.1 + 0.2 is not 0.3, and 9007199254740993 is another number.
    let of = |digits: &str| {
        let text = event(&json!({})).replace("\"seconds\":1", &format!("\"seconds\":{digits}"));
        let read = UsageEvent::from_json(&text).expect("an event");
        counts_of(&read, &plan()).map_err(|error| error.to_string())
    };
    let seconds = |digits: &str| {
        let counts = of(digits).expect("counts");
        counts.iter().find(|(meter, _)| meter.as_str() == "gpu_seconds").map(|(_, count)| *count)
    };
    let rows = [
        ("0.3", 300),
        ("0.100", 100),
        ("1e3", 1_000_000),
        ("1.5E-2", 15),
        ("123456789.123", 123_456_789_123),
    ];
    for (digits, expected) in rows {
        assert_eq!(seconds(digits), Some(expected), "{digits}");
    }
    for digits in ["9007199254740993", "1e400", "1e-400", "0.0000001"] {
        assert!(of(digits).is_err(), "{digits}");
    }
}

#[test]
fn the_first_difference_is_named() {
    let read = |changes: &Value| UsageEvent::from_json(&event(changes)).expect("an event");
    let first = read(&json!({}));
    let rows = [
        (json!({"data": {"gpu": {"seconds": 2}}}), Some("data.gpu.seconds: 1, 2")),
        (json!({"data": {"gpu": {"seconds": 1}, "more": true}}), Some("data.more: nothing, true")),
        (json!({"data": null}), Some("data: {\"gpu\":{\"seconds\":1}}, nothing")),
        (json!({"type": "other", "subject": "b"}), Some("type: \"job\", \"other\"")),
        (json!({"subject": "b", "data": 1}), Some("subject: \"acme\", \"b\"")),
        (json!({"time": null}), Some("time: \"2026-11-24T12:00:00Z\", nothing")),
        (json!({"region": "eu"}), Some("region: nothing, \"eu\"")),
        (json!({"traceparent": "another"}), None),
        (json!({"datacontenttype": "application/json"}), None),
        (json!({"time": "2026-11-24T13:00:00+01:00"}), None),
    ];
    for (changes, expected) in rows {
        let found = first.first_difference(&read(&changes));
        let found = found.map(|(place, before, after)| format!("{place}: {before}, {after}"));
        assert_eq!(found.as_deref(), expected, "{changes}");
    }
}

#[test]
fn a_stored_event_is_hashed_whole() {
    let read = UsageEvent::from_json(&event(&json!({}))).expect("an event");
    let stored = StoredEvent {
        tenant_id: domain::TenantId::from_uuid(uuid::Uuid::from_u128(1)),
        sequence: 1,
        previous_hash: domain::RecordHash::GENESIS,
        received_at: Timestamp::from_unix_micros(9),
        time: read.time.expect("a time"),
        project_id: None,
        price_version: plan().id().clone(),
        counts: counts_of(&read, &plan()).expect("counts"),
        event: read,
    };
    let hash = stored.hash().expect("a hash");
    let line = stored.to_export(hash, Some("research")).expect("a line");
    let line = serde_json::to_string(&line).expect("json");
    let back: EventLine = serde_json::from_str(&line).expect("reads");
    assert_eq!(back.hash, Some(hash));
    assert_eq!(StoredEvent::from_line(&back).expect("an event"), stored);
    let others = [
        StoredEvent { sequence: 2, ..stored.clone() },
        StoredEvent { previous_hash: hash, ..stored.clone() },
        StoredEvent { received_at: Timestamp::from_unix_micros(8), ..stored.clone() },
        StoredEvent { counts: BTreeMap::new(), ..stored.clone() },
        StoredEvent { event: UsageEvent::from_json(&event(&json!({"id": "e2"}))).expect("one"), ..stored },
    ];
    for other in others {
        assert_ne!(other.hash().expect("a hash"), hash, "{other:?}");
    }
}

proptest! {
    /// Whatever the digits, they are counted to the last one, or refused.
    #[test]
    fn values_are_exact(whole in 0_u64..2_000_000_000, thousandths in 0_u64..1_000) {
        let digits = format!("{whole}.{thousandths:03}");
        let expected = whole * 1_000 + thousandths;
        let text = event(&json!({})).replace("\"seconds\":1", &format!("\"seconds\":{digits}"));
        let read = UsageEvent::from_json(&text).expect("an event");
        let counts = counts_of(&read, &plan());
        if expected > VALUE_COUNTS_MAX {
            prop_assert!(counts.is_err());
        } else {
            let meter = "gpu_seconds".parse().expect("a name");
            prop_assert_eq!(counts.expect("counts").get(&meter).copied(), Some(expected));
        }
    }

    /// Reading never panics, and what was read reads back as itself.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", name in "[a-z]{1,8}", value in "[ -~]{1,20}") {
        drop(UsageEvent::from_json(&text));
        drop(UsageEvent::batch_from_json(&text));
        if let Ok(read) = UsageEvent::from_json(&event(&json!({name: value}))) {
            prop_assert_eq!(UsageEvent::from_json(&read.to_json()), Ok(read));
        }
    }
}
