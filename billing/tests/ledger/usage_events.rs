//! Usage events in the ledger: each once for ever, in a chain, on the invoice of its time, proved to the tenant.
//! Never what is an event and what it counts for; that is tested beside the code.
//! Run on both databases.
//!
//! Long because each promise is shown on events, invoices and proofs together, and all of them share one plan.

use billing::{
    export::{Dataset, Export, Format, Request, Whose},
    invoice::{self, Invoice, LineKind},
    ledger::{HashedEvent, Ledger, LedgerError, Limits, NewProject, RecordFilter, Tenant, TenantBilling},
    plan::Plan,
    rate::MinorUnits,
    reconcile::{HandOver, Progress, Scope, reconcile},
    statement::{self, PublicKey, SigningKey},
    usage_event::UsageEvent,
    verify::{self, Proof, Verified},
};
use domain::{Period, Timestamp};
use serde_json::{Value, json};

use crate::{
    records::{Chain, HOUR_US, NOW, at, new_tenant, november, record},
    taxes::customer,
};

/// The demo plan with seconds at a cent and images in packages.
const EVENTS: &str = r#"
[[meter]]
name = "gpu_seconds"
event_type = "job"
aggregation = "sum"
value = "/gpu/seconds"
unit = "s"
decimals = 3
[[meter]]
name = "images"
event_type = "image"
aggregation = "count"
unit = "images"
[[charge]]
name = "gpu"
scheme = "unit"
meter = "gpu_seconds"
price = "0.01"
[[charge]]
name = "pictures"
scheme = "package"
meter = "images"
price = "0.10"
size = "3"
"#;

fn plan() -> Plan {
    let source = Plan::demo().expect("the demo plan").source().to_owned();
    Plan::from_text("t", &(source + EVENTS)).expect("a plan")
}

async fn tenant(ledger: &Ledger, name: &str) -> Tenant {
    ledger.publish_plan(&plan(), NOW).await.expect("published");
    ledger.create_tenant(&new_tenant(name, "demo", "UTC"), NOW).await.expect("a tenant")
}

fn event(id: &str, changes: &Value) -> UsageEvent {
    let mut event = json!({"specversion": "1.0", "id": id, "source": "/jobs", "type": "job", "subject": "acme",
        "time": "2026-11-12T12:00:00Z", "data": {"gpu": {"seconds": "1.5"}}});
    for (name, value) in changes.as_object().expect("an object") {
        event[name] = value.clone();
    }
    UsageEvent::from_json(&event.to_string()).expect("an event")
}

fn job(id: &str, seconds: &str, time: &str) -> UsageEvent {
    event(id, &json!({"time": time, "data": {"gpu": {"seconds": seconds}}}))
}

/// An event of a tenant that is made for it, under a plan with meters.
pub(crate) async fn take_one(ledger: &Ledger, name: &str) {
    let text = plan().source().replacen("\"demo\"", "\"gpu\"", 1);
    let plan = Plan::from_text("t", &text).expect("a plan");
    ledger.publish_plan(&plan, NOW).await.expect("published");
    ledger.create_tenant(&new_tenant(name, "gpu", "UTC"), NOW).await.expect("a tenant");
    let taken = take(ledger, &[event("one", &json!({"subject": name}))]).await;
    assert_eq!(taken[0].0.counts.values().sum::<u64>(), 1_500);
}

const LATER: &str = "2026-11-20T00:00:00Z";

async fn take(ledger: &Ledger, events: &[UsageEvent]) -> Vec<HashedEvent> {
    ledger.take_events(events, at(LATER)).await.expect("taken")
}

async fn refused(ledger: &Ledger, events: &[UsageEvent]) -> String {
    ledger.take_events(events, at(LATER)).await.expect_err("refused").to_string()
}

async fn export(ledger: &Ledger, tenant: &Tenant, period: &Period, dataset: Dataset) -> String {
    let request = Request {
        dataset,
        format: Format::JsonLines,
        whose: Whose::Tenant(Box::new(tenant.clone()), period.clone()),
        filter: RecordFilter::default(),
        provider: String::new(),
    };
    let mut export = Export::new(ledger.clone(), request).expect("begun");
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("a piece") {
        bytes.extend(piece);
    }
    String::from_utf8(bytes).expect("text")
}

/// Verifies as a tenant does, without the ledger.
fn verified(
    invoice: &str,
    usage: &str,
    events: &str,
    proof: Option<(&str, &PublicKey)>,
) -> Result<Verified, String> {
    let keys: Vec<PublicKey> = proof.iter().map(|(_, key)| **key).collect();
    let proof = proof.map(|(statement, _)| Proof { statement, keys: &keys });
    let mut events = events.as_bytes();
    let plans = vec![plan()];
    verify::verify_with_events(invoice, usage.as_bytes(), Some(&mut events), plans, proof.as_ref())
        .map_err(|error| error.to_string())
}

async fn issue(ledger: &Ledger, tenant: &Tenant, month: &str) -> Invoice {
    let period = Period::month(month, "UTC").expect("a month");
    invoice::issue(ledger, tenant, &period, period.end()).await.expect("issued")
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound.max(1)
    }
}

struct Quiet;

impl Progress for Quiet {
    fn compared(&mut self, _: HandOver, _: u64) {}
}

async fn findings(ledger: &Ledger) -> Vec<String> {
    let report = reconcile(ledger, &Scope::default(), &mut Quiet).await.expect("compared");
    report.findings.iter().map(ToString::to_string).collect()
}

const EVENTS_STORED: &str = "SELECT COUNT(*) FROM usage_events";
const COUNTED: &str = "SELECT CAST(COALESCE(SUM(counts), 0) AS BIGINT) FROM event_tallies_hourly";

on_each_database! {
    async fn an_event_counts_once_for_ever(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        tenant(ledger, "globex").await;
        let batch = [event("a", &json!({})), event("b", &json!({"time": null})), event("a", &json!({}))];
        let first = take(ledger, &batch).await;
        assert_eq!(first[0], first[2], "the same event twice in one batch is one");
        assert_eq!((first[0].0.sequence, first[1].0.sequence), (1, 2));
        assert_eq!(first[1].0.previous_hash, first[0].1);
        assert_eq!((first[1].0.time, first[0].0.tenant_id), (at(LATER), acme.id));
        // Much later the answer is the same, and nothing is counted. Other spaces and tracing say nothing.
        let again = ledger.take_events(&batch, at("2027-11-20T00:00:00Z")).await.expect("taken");
        assert_eq!(again, first);
        let traced = event("a", &json!({"traceparent": "00-1"}));
        assert_eq!(take(ledger, &[traced]).await[0], first[0]);
        assert_eq!((database.number(EVENTS_STORED).await, database.number(COUNTED).await), (2, 3_000));
        // The same id with another body is a conflict that names the field.
        let rows = [
            (json!({"data": {"gpu": {"seconds": "1.6"}}}), "[0].data.gpu.seconds: event \"a\" of source \"/jobs\" is stored with \"1.5\" here, and not \"1.6\"; an id is used once"),
            (json!({"subject": "globex"}), "[0].subject: event \"a\" of source \"/jobs\" is stored with \"acme\" here, and not \"globex\"; an id is used once"),
            (json!({"time": null}), "[0].time: event \"a\" of source \"/jobs\" is stored with \"2026-11-12T12:00:00Z\" here, and not nothing; an id is used once"),
        ];
        for (changes, expected) in rows {
            assert_eq!(refused(ledger, &[event("a", &changes)]).await, expected);
        }
        let error = ledger.take_events(&[event("a", &json!({"data": 1}))], at(LATER)).await.expect_err("refused");
        assert_eq!(error.fault(), domain::Fault::Conflict);
        // Another source has ids of its own, and each tenant a chain of its own.
        let other = take(ledger, &[event("a", &json!({"source": "/other", "subject": "globex"}))]).await;
        assert_eq!(other[0].0.sequence, 1);
        assert_eq!(database.number(EVENTS_STORED).await, 3);
    }

    async fn what_is_refused_leaves_nothing(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        let project = ledger.create_project(acme.id, &NewProject { name: "research", parent_id: None, limits: Limits::default() }, NOW).await;
        let project = project.expect("a project");
        let rows = [
            (json!({"subject": "nobody"}), "[1].subject: there is no tenant \"nobody\"; a subject is a tenant's name or id, or with a project TENANT/PATH"),
            (json!({"subject": "acme/none"}), "[1].subject: the tenant has no project \"none\""),
            (json!({"time": "2026-11-20T00:05:01Z"}), "[1].time: 2026-11-20T00:05:01Z has not come: it is 2026-11-20T00:00:00Z"),
            (json!({"time": "2026-11-09T23:59:59Z"}), "[1].time: 2026-11-09T23:59:59Z is before acme was created, at 2026-11-10T00:00:00Z"),
            (json!({"type": "video"}), "[1].type: plan demo@1 has no [[meter]] for events of type \"video\"; it has: image, job"),
            (json!({"data": {}}), "[1].data.gpu.seconds: the meter gpu_seconds takes its value from here, and there is none"),
        ];
        for (changes, expected) in rows {
            let batch = [event("good", &json!({})), event("bad", &changes)];
            assert_eq!(refused(ledger, &batch).await, expected);
        }
        let conflict = [event("x", &json!({})), event("x", &json!({"data": {"gpu": {"seconds": 2}}}))];
        assert!(refused(ledger, &conflict).await.starts_with("[1].data.gpu.seconds: event \"x\""));
        assert_eq!(database.number(EVENTS_STORED).await, 0, "a batch is taken whole, or not at all");
        // Clocks differ a little, and a subject may be an id and name a project.
        let subject = format!("{}/research", acme.id);
        let good = event("good", &json!({"time": "2026-11-20T00:05:00Z", "subject": subject}));
        assert_eq!(take(ledger, &[good]).await[0].0.project_id, Some(project.id));
        // What a disabled tenant used before is owed all the same.
        ledger.disable_tenant(acme.id, at(LATER)).await.expect("disabled");
        take(ledger, &[event("late", &json!({}))]).await;
        let sums = ledger.meter_sums(acme.id, &november("UTC")).await.expect("sums");
        let sums: Vec<_> = sums.iter().map(|row| (row.project_id, row.sum.events, row.sum.counts)).collect();
        assert_eq!(sums, [(None, 1, 1_500), (Some(project.id), 1, 1_500)]);
    }

    async fn many_who_send_the_same_events_are_counted_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        tenant(ledger, "globex").await;
        let batch = |first: u64| {
            let subject = |number: u64| if number.is_multiple_of(2) { "acme" } else { "globex" };
            let one = |number: u64| event(&format!("e{number}"), &json!({"subject": subject(number)}));
            // Each sender in an order of its own.
            (0..20).map(|number| one((number * 7 + first) % 20)).collect::<Vec<_>>()
        };
        let tasks: Vec<_> = (0..8).map(|first| {
            let (ledger, batch) = (ledger.clone(), batch(first));
            tokio::spawn(async move { ledger.take_events(&batch, at(LATER)).await.expect("taken") })
        }).collect();
        let mut answers = Vec::new();
        for task in tasks {
            let mut answer = task.await.expect("it ran");
            answer.sort_by(|left, right| left.0.event.id.cmp(&right.0.event.id));
            answers.push(answer);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "everybody hears the same");
        assert_eq!((database.number(EVENTS_STORED).await, database.number(COUNTED).await), (20, 30_000));
        assert_eq!(ledger.meter_sums(acme.id, &november("UTC")).await.expect("sums")[0].sum.events, 10);
        assert_eq!(findings(ledger).await, Vec::<String>::new());
    }

    async fn events_never_change(database: &Database) {
        let ledger = &database.ledger;
        tenant(ledger, "acme").await;
        take(ledger, &[event("a", &json!({}))]).await;
        let changes = [
            "UPDATE usage_events SET body = '{}'",
            "DELETE FROM usage_events",
            "UPDATE usage_event_counts SET counts = 0",
            "DELETE FROM usage_event_counts",
            "UPDATE event_tallies_hourly SET counts = -1",
        ];
        for change in changes {
            assert!(database.raw(change).await.is_err(), "{change}");
        }
        let only = match database.is_sqlite() {
            true => [
                "INSERT OR REPLACE INTO usage_events SELECT tenant_id, sequence, source, event_id, event_type, 0, 0,
                    project_id, price_version, '{}', '{}', previous_hash, event_hash FROM usage_events",
                "INSERT OR REPLACE INTO usage_event_counts SELECT tenant_id, sequence, meter, time_unix_us, price_version,
                    project_id, 0 FROM usage_event_counts",
            ],
            false => ["TRUNCATE usage_events, usage_event_counts", "TRUNCATE usage_event_counts"],
        };
        for change in only {
            assert!(database.raw(change).await.is_err(), "{change}");
        }
        assert_eq!(database.number(COUNTED).await, 1_500);
    }

    async fn an_invoice_counts_the_events_of_its_time_and_proves_it(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        let mut chain = Chain::new();
        ledger.ship(chain.journal_id, &chain.add_all([record(&acme, 5, NOW)])).await.expect("shipped");
        let mut batch = vec![
            job("last", "0.001", "2026-11-30T23:59:59.999999Z"),
            job("next", "7", "2026-12-01T00:00:00Z"),
            job("half", "1.5", "2026-11-12T12:30:00Z"),
            event("seen", &json!({"time": null})),
        ];
        batch.extend((0..4).map(|number| event(&format!("i{number}"), &json!({"type": "image", "data": null}))));
        ledger.take_events(&batch, at("2026-12-01T00:00:00Z")).await.expect("taken");
        let november = november("UTC");
        // `seen` has no time of its own: it is of the moment in which it came, and so of December.
        let draft = invoice::preview(ledger, &acme, &november, at("2026-12-01T00:00:00Z")).await.expect("a draft");
        let issued = issue(ledger, &acme, "2026-11").await;
        assert_eq!(draft.lines, issued.lines);
        let charged: Vec<_> = issued.lines.iter().filter(|line| line.units.is_some())
            .map(|line| (line.item.as_str(), line.quantity, line.unit.as_str(), line.exact.as_str())).collect();
        assert_eq!(charged, [("gpu", 1_501, "0.001 s", "0.01501"), ("pictures", 4, "images", "0.20")]);
        assert_eq!(issued.events, 6);
        // The tenant computes it again, with and without the issuer's signed word.
        let (usage, events) = (
            export(ledger, &acme, &november, Dataset::Usage).await,
            export(ledger, &acme, &november, Dataset::Events).await,
        );
        let body = issued.to_json().expect("json");
        let (key, _) = SigningKey::generate().expect("a key");
        let number = issued.number.clone().expect("a number");
        let stated = statement::state(ledger, &number, &key, NOW).await.expect("signed").body;
        let proof = Some((stated.as_str(), &key.public()));
        for proof in [None, proof] {
            let good = verified(&body, &usage, &events, proof).expect("good");
            assert_eq!((good.events, good.events_late, good.total.as_str()), (6, 0, format!("{} USD", issued.total).as_str()));
        }
        // Every way to touch the events is noticed.
        let lines: Vec<&str> = events.lines().collect();
        let forged = [
            (events.replacen("\\\"1.5\\\"", "9", 1).replacen("\"seconds\":\"1.5\"", "\"seconds\":\"9\"", 1), "it was changed"),
            (events.replacen("\"gpu_seconds\":1500", "\"gpu_seconds\":1501", 1), "it was changed"),
            (lines[1..].join("\n"), "the invoice is not what its usage and plans come to"),
            (format!("{}\n{events}", lines[0]), "not in the order of the export"),
            (String::new(), "the invoice is not what its usage and plans come to"),
            (events.replacen("\"hash\":", "\"hush\":", 1), "unknown field"),
        ];
        for (forged, expected) in forged {
            assert_ne!(forged, events, "{expected}");
            let error = verified(&body, &usage, &forged, None).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let error = verify::verify(&body, usage.as_bytes(), vec![plan()], None).expect_err("no events");
        assert_eq!(error.to_string(), "the invoice counts 6 usage events: give their export with --events");
        // What comes later is on no statement of November; reconciling takes it for late.
        take(ledger, &[job("late", "2", "2026-11-15T00:00:00Z")]).await;
        let events = export(ledger, &acme, &november, Dataset::Events).await;
        let good = verified(&body, &usage, &events, proof).expect("good");
        assert_eq!((good.events, good.events_late), (6, 1));
        assert!(verified(&body, &usage, &events, None).is_err());
        let report = reconcile(ledger, &Scope::default(), &mut Quiet).await.expect("compared");
        assert_eq!((report.findings, report.records_late), (vec![], 1));
        // Every format of the export has the same events.
        for (format, expected) in [(Format::Csv, b"source," as &[u8]), (Format::Parquet, b"PAR1")] {
            let request = Request {
                dataset: Dataset::Events,
                format,
                whose: Whose::All("2026-11".to_owned()),
                filter: RecordFilter::default(),
                provider: String::new(),
            };
            let mut export = Export::new(ledger.clone(), request).expect("begun");
            let piece = export.next().await.expect("a piece").expect("something");
            assert!(piece.starts_with(expected));
        }
    }

    async fn late_events_come_onto_the_next_invoice_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        take(ledger, &[job("a", "100", "2026-11-12T00:00:00Z")]).await;
        assert_eq!(issue(ledger, &acme, "2026-11").await.subtotal, "1.00");
        take(ledger, &[job("b", "50", "2026-11-13T00:00:00Z")]).await;
        let december = issue(ledger, &acme, "2026-12").await;
        let extra: Vec<_> = december.lines.iter().filter(|line| line.kind == LineKind::Correction).collect();
        let [line] = extra[..] else { panic!("{:?}", december.lines) };
        assert_eq!((line.item.as_str(), line.quantity, line.unit.as_str()), ("gpu", 50_000, "0.001 s"));
        assert_eq!(line.formula.as_deref(), Some("1.50 - 1.00"));
        let of = line.correction.as_ref().expect("a correction");
        assert_eq!((of.records, of.events, december.total.as_str()), (0, 2, "0.50"));
        // Sent once more, it is due once.
        take(ledger, &[job("b", "50", "2026-11-13T00:00:00Z")]).await;
        assert_eq!(issue(ledger, &acme, "2027-01").await.total, "0.00");
        assert_eq!(findings(ledger).await, Vec::<String>::new());
    }

    async fn order_batches_and_repeats_change_nothing_that_is_due(database: &Database) {
        let ledger = &database.ledger;
        let events: Vec<_> = (0..40_i64).map(|number| {
            let time = Timestamp::from_unix_micros(NOW.unix_micros() + number * 7 * HOUR_US / 3);
            (number, time.to_string())
        }).collect();
        let of = |tenant: &str, (number, time): &(i64, String)| {
            event(&format!("{tenant}{number}"), &json!({"subject": tenant, "time": time,
                "data": {"gpu": {"seconds": format!("{number}.{number:03}")}}}))
        };
        let mut totals = Vec::new();
        // All at once; one by one from the last; in batches that overlap; half of them after the invoice.
        for (place, name) in ["one", "two", "three", "four"].into_iter().enumerate() {
            let own = tenant(ledger, name).await;
            let all: Vec<_> = events.iter().map(|row| of(name, row)).collect();
            match place {
                0 => drop(take(ledger, &all).await),
                1 => for event in all.iter().rev() { take(ledger, std::slice::from_ref(event)).await; },
                2 => for window in all.windows(7) { take(ledger, window).await; },
                _ => drop(take(ledger, &all[..20]).await),
            }
            issue(ledger, &own, "2026-11").await;
            take(ledger, &all).await;
            issue(ledger, &own, "2026-12").await;
            let invoices = ledger.invoices_page(own.id, None, 9).await.expect("read");
            let exact = invoices.iter().map(|issued| {
                let invoice = Invoice::from_issued(&issued.body).expect("reads");
                invoice.subtotal_exact.parse::<bigdecimal::BigDecimal>().expect("a decimal")
            });
            totals.push(exact.sum::<bigdecimal::BigDecimal>());
        }
        // 0 + 1.001 + … + 39.039 seconds are 780.78, at a cent each.
        assert!(totals.iter().all(|total| total.to_string() == "7.8078"), "{totals:?}");
        assert_eq!(findings(ledger).await, Vec::<String>::new());
    }

    async fn random_orders_batches_repeats_and_delays_change_nothing_that_is_due(database: &Database) {
        let ledger = &database.ledger;
        for seed in 1_u64..=12 {
            let name = format!("t{seed}");
            let own = tenant(ledger, &name).await;
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            // The same events for everybody: seconds in thousandths, and images.
            let mut events: Vec<_> = (0..60_u64).map(|number| {
                let hours = i64::try_from(number * 5).expect("small");
                let time = Timestamp::from_unix_micros(NOW.unix_micros() + hours * HOUR_US / 2).to_string();
                let data = json!({"gpu": {"seconds": format!("{}.{:03}", number % 7, number)}});
                let kind = if number % 3 == 0 { "image" } else { "job" };
                event(&format!("{seed}-{number}"), &json!({"subject": name, "time": time, "type": kind, "data": data}))
            }).collect();
            for place in (1..events.len()).rev() {
                events.swap(place, random.below(place + 1));
            }
            let mut sent = 0;
            let delayed = random.below(events.len());
            while sent < events.len() {
                if sent >= delayed && ledger.invoices_page(own.id, None, 1).await.expect("read").is_empty() {
                    issue(ledger, &own, "2026-11").await;
                }
                // Some of what was sent before comes again with what is new.
                let from = sent - random.below(sent.min(9) + 1);
                let end = (sent + 1 + random.below(13)).min(events.len());
                take(ledger, &events[from..end]).await;
                sent = end;
            }
            for month in ["2026-11", "2026-12"] {
                issue(ledger, &own, month).await;
            }
            let invoices = ledger.invoices_page(own.id, None, 9).await.expect("read");
            let exact = invoices.iter().map(|issued| {
                let invoice = Invoice::from_issued(&issued.body).expect("reads");
                invoice.subtotal_exact.parse::<bigdecimal::BigDecimal>().expect("a decimal")
            });
            let total = exact.sum::<bigdecimal::BigDecimal>();
            // 40 jobs of 116.2 seconds in all, at a cent a second; 20 images are 7 begun packages of 0.10.
            assert_eq!(total.normalized().to_plain_string(), "1.862", "seed {seed}");
        }
        assert_eq!(findings(ledger).await, Vec::<String>::new());
    }

    async fn a_running_period_is_billed_for_events_at_its_threshold(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        let billing = TenantBilling { threshold: Some(MinorUnits::new(600)), ..customer() };
        ledger.set_tenant_billing(acme.id, &billing).await.expect("set");
        take(ledger, &[job("a", "601", "2026-11-12T12:10:00Z")]).await;
        let report = invoice::issue_thresholds(ledger, at("2026-11-12T12:30:00Z")).await.expect("a report");
        assert_eq!((report.issued.len(), report.failed.len()), (1, 0), "{report:?}");
        // One from before the part was billed, and one from the same hour after it.
        take(ledger, &[job("b", "1", "2026-11-12T12:20:00Z"), job("c", "2", "2026-11-12T12:40:00Z")]).await;
        assert_eq!(issue(ledger, &acme, "2026-11").await.subtotal, "0.03");
        assert_eq!(issue(ledger, &acme, "2026-12").await.subtotal, "0.00");
    }

    async fn a_wrong_tally_of_events_is_named_and_mended(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        take(ledger, &[job("a", "100", "2026-11-12T00:10:00Z"), job("b", "1", "2026-11-13T00:10:00Z")]).await;
        let hour = at("2026-11-12T00:00:00Z").unix_micros() / HOUR_US;
        let change = format!("UPDATE event_tallies_hourly SET counts = counts + 41 WHERE unix_hour = {hour}");
        database.raw(&change).await.expect("tallies can be changed");
        let period = november("UTC");
        let error = invoice::issue(ledger, &acme, &period, period.end()).await.expect_err("nothing is issued");
        assert!(matches!(error, LedgerError::TallyDiffers { count: "counts", .. }), "{error}");
        assert_eq!(findings(ledger).await, ["ledger -> tallies: tenant acme, hour from 2026-11-12T00:00:00Z, \
            meter gpu_seconds, demo@1, no project: counts is 100000 before and 100041 after"]);
        let gone = at("2026-11-13T00:00:00Z").unix_micros() / HOUR_US;
        database.raw(&format!("DELETE FROM event_tallies_hourly WHERE unix_hour = {gone}")).await.expect("gone");
        let mut mended = Vec::new();
        while let Some(chunk) = ledger.rebuild_next().await.expect("looked at") {
            mended.extend(chunk.mended);
        }
        assert_eq!(mended.iter().map(|wrong| (wrong.tally, wrong.records)).collect::<Vec<_>>(),
            [(Some(100_041), 100_000), (None, 1_000)]);
        assert_eq!(findings(ledger).await, Vec::<String>::new());
        assert_eq!(issue(ledger, &acme, "2026-11").await.subtotal, "1.01");
    }

    async fn past_events_are_counted_by_another_plan(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme").await;
        take(ledger, &[job("a", "100", "2026-11-12T00:00:00Z"), event("i", &json!({"type": "image", "data": {"n": 9}}))]).await;
        let other = Plan::demo().expect("the demo plan").source().replacen("version = 1", "version = 2", 1);
        let other = other + "[[meter]]\nname = \"pixels\"\nevent_type = \"image\"\naggregation = \"sum\"\nvalue = \"n\"\n\
            unit = \"px\"\n[[charge]]\nname = \"px\"\nscheme = \"unit\"\nmeter = \"pixels\"\nprice = \"2\"\n";
        let other = Plan::from_text("t", &other).expect("a plan");
        let simulated = invoice::simulate(ledger, &acme, &november("UTC"), &other, at(LATER)).await.expect("rated");
        // 100 seconds and a begun package before; nine pixels, and no seconds, under the other plan.
        assert_eq!((simulated.actual.subtotal.as_str(), simulated.simulated.subtotal.as_str()), ("1.10", "18.00"));
        assert_eq!(simulated.difference().expect("a difference"), "16.90");
    }
}
