//! Meters of a plan's own as plans write them, the charges that name them, and what they are refused for.
//! Never an event; what is counted of one has tables of its own.
//! Run by `cargo test`.

use super::*;

const METERS: &str = r#"
[[meter]]
name = "gpu_seconds"
event_type = "job.finished"
aggregation = "sum"
value = "/gpu/seconds"
unit = "s"
decimals = 3
[[meter.filter]]
field = "region"
values = ["eu", "us"]
[[meter]]
name = "images"
event_type = "image.made"
aggregation = "count"
unit = "images"
[[charge]]
name = "gpu"
scheme = "unit"
meter = "gpu_seconds"
unit = { name = "h", counts = 3600, decimals = 6, rounding = "half_up" }
price = "1.80"
[[charge]]
name = "pictures"
scheme = "package"
meter = "images"
price = "0.10"
size = "100"
"#;

fn read(text: &str) -> Result<Plan, PlanError> {
    Plan::from_text("plan.toml", &format!("{GOOD}{text}"))
}

fn usage_of<'a>(plan: &'a Plan, name: &str) -> &'a UsageCharge {
    let charge = plan.charges().iter().find(|charge| charge.name == name).expect("the charge");
    let Basis::Usage(usage) = &charge.basis else { panic!("{charge:?}") };
    usage
}

#[test]
fn meters_are_read_and_charges_count_by_them() {
    let plan = read(METERS).expect("a good plan");
    let [gpu, images] = plan.meters() else { panic!("{:?}", plan.meters()) };
    assert_eq!(
        (gpu.name.as_str(), gpu.event_type.as_str(), gpu.unit.as_str()),
        ("gpu_seconds", "job.finished", "s")
    );
    let Aggregation::Sum(value) = &gpu.aggregation else { panic!("{gpu:?}") };
    assert_eq!((value.steps(), gpu.decimals), (["gpu".to_owned(), "seconds".to_owned()].as_slice(), 3));
    assert_eq!((gpu.filters[0].field.as_str(), gpu.filters[0].values.len()), ("region", 2));
    assert_eq!((images.aggregation.clone(), images.decimals), (Aggregation::Count, 0));
    let hours = usage_of(&plan, "gpu");
    assert_eq!((hours.meter, hours.counted.as_str()), (Meter::Custom(gpu.name), "0.001 s"));
    // An hour has 3,600 seconds, and so 3,600,000 counts of the meter.
    assert_eq!((hours.unit.name.as_str(), hours.unit.counts), ("h", 3_600_000));
    let pictures = usage_of(&plan, "pictures");
    assert_eq!(
        (pictures.counted.as_str(), pictures.unit.clone()),
        ("images", QuantityUnit::plain("images", 1))
    );
    // Charges for events sell no model, and are no part of caps.
    assert!(!plan.sells(&"unknown".parse().expect("a model")));
}

#[test]
fn a_meter_of_a_plan_is_a_term_of_it() {
    let plan = read(METERS).expect("a good plan");
    let other = read(&METERS.replace("values = [\"eu\", \"us\"]", "values = [\"eu\"]")).expect("a good plan");
    assert!(!plan.has_same_terms(&other));
    let changes = plan.changes_to(&other);
    let [TermChange { term, before, after }] = &changes[..] else { panic!("{changes:?}") };
    let texts = (term.as_str(), before.as_deref(), after.as_deref());
    assert_eq!(texts, ("meter.gpu_seconds.filter region", Some("eu, us"), Some("eu")));
    let json = r#"{"name": "gpu", "version": 1, "currency": "USD", "slo": {"class": "standard"},
        "meter": [{"name": "images", "event_type": "image.made", "aggregation": "count", "unit": "images"}],
        "charge": [{"name": "pictures", "scheme": "unit", "meter": "images", "price": "0.01"}]}"#;
    assert_eq!(Plan::from_text("plan.json", json).expect("a good plan").meters().len(), 1);
}

#[test]
fn bad_meters_are_refused_with_their_place() {
    let rows = [
        (
            ("name = \"images\"", "name = \"requests\""),
            "\"requests\" is a meter of the gateway; a [[meter]] needs another name",
        ),
        (
            ("name = \"images\"", "name = \"Images\""),
            "`name` must be 1 to 31 lower-case letters, digits or _, the first a letter, not \"Images\"",
        ),
        (("name = \"images\"", "name = \"gpu_seconds\""), "the meter \"gpu_seconds\" stands here twice"),
        (("event_type = \"image.made\"\n", ""), "[[meter]] needs the field `event_type`"),
        (
            ("event_type = \"image.made\"", "event_type = \"\""),
            "`event_type` must be 1 to 255 characters without line breaks, and no spaces around them",
        ),
        (("\"count\"", "\"max\""), "`aggregation` must be one of sum, count, not \"max\""),
        (
            ("\"count\"", "\"count\"\nvalue = \"n\""),
            "unknown field `value` in [[meter]]; it may have: name, event_type, aggregation, unit, filter",
        ),
        (("value = \"/gpu/seconds\"\n", ""), "[[meter]] needs the field `value`"),
        (
            ("\"/gpu/seconds\"", "\"/gpu/~5\""),
            "`value` must be a JSON pointer such as \"/gpu/seconds\", or the name of a field, not \"/gpu/~5\"",
        ),
        (("decimals = 3", "decimals = 10"), "`decimals` must be at most 9"),
        (("values = [\"eu\", \"us\"]", "values = []"), "[[meter.filter]] needs the field `values`"),
        (("values = [\"eu\", \"us\"]", "values = [\"eu\", \"eu\"]"), "the value \"eu\" stands here twice"),
        (
            ("meter = \"images\"", "meter = \"imagse\""),
            "`meter` must be one of input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, embeddings_tokens, requests, energy, gpu_seconds, images, not \"imagse\"",
        ),
        (
            ("meter = \"images\"", "meter = \"images\"\nmodels = [\"demo\"]"),
            "`models` chooses requests, and the meter \"images\" counts events; give its [[meter]] a [[meter.filter]]",
        ),
        (
            ("meter = \"images\"", "meter = \"images\"\nunit = \"kWh\""),
            "\"kWh\" is a unit of energy; the meter \"images\" takes a table such as { name = \"Mtok\", counts = 1000000 }",
        ),
        (("counts = 3600, ", "counts = 1000000000000000000, "), "`counts` must be at most 1000000000000000"),
    ];
    for ((from, to), expected) in rows {
        let text = METERS.replacen(from, to, 1);
        assert_ne!(text, METERS, "{from}");
        let error = read(&text).expect_err(to);
        assert_eq!(error.problem.to_string(), expected);
        assert!(error.line > 1, "{error}");
    }
}
