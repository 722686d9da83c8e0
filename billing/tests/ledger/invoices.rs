//! Previews and issued invoices over real usage: once per period, gapless, and equal to plain arithmetic.
//! Never a rendering; those are tested beside the code.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::{
    invoice::{self, Invoice, LineKind, Status},
    ledger::{Ledger, LedgerError, Tenant},
    plan::Plan,
    rate::RateError,
};
use domain::{EndReason, Period, Tokens, UsageRecord};

use crate::records::{Chain, NOW, at, new_tenant, november, record, some_records, tenant};

async fn ship(ledger: &Ledger, records: impl IntoIterator<Item = UsageRecord>) {
    let mut chain = Chain::new();
    let batch = chain.add_all(records);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
}

/// What `demo@1` charges for these records, in 10⁻¹² dollars, by whole numbers alone.
fn picodollars(records: &[UsageRecord]) -> i128 {
    let is_billed =
        |record: &&UsageRecord| matches!(record.reason, EndReason::Completed | EndReason::ClientGone);
    let each = records.iter().filter(is_billed).map(|record| {
        let cached = i128::from(record.cached_prompt_tokens.get());
        let computed = i128::from(record.prompt_tokens.get()) - cached;
        let output = i128::from(record.output_tokens.get());
        let late = output - i128::from(record.tokens_in_slo.get());
        // Per token: 0.15, 0.075 and 0.60 millionths of a dollar; half of the last back for a late one.
        computed * 150_000 + cached * 75_000 + output * 600_000 - late * 300_000
    });
    each.sum()
}

/// A decimal text as a whole number of 10⁻¹² units.
fn pico(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(decimals.len() <= 12, "{text}");
    sign * format!("{whole}{decimals:0<12}").parse::<i128>().expect("digits")
}

fn cents(text: &str) -> i128 {
    pico(text) / 10_000_000_000
}

/// Every line recomputed from its own fields, and the sums from the lines.
fn check_arithmetic(invoice: &Invoice) {
    for line in &invoice.lines {
        let Some(price) = &line.unit_price else {
            assert_eq!((pico(&line.exact), pico(&line.displayed)), (0, 0), "{line:?}");
            continue;
        };
        let product = i128::from(line.quantity) * pico(price);
        let divisor = i128::from(line.unit_price_per.expect("a price is per something"));
        let expected = match &line.percent {
            None => product / divisor,
            Some(percent) => -product * pico(percent) / pico("100") / divisor,
        };
        assert_eq!(pico(&line.exact), expected, "{line:?}");
    }
    let exact: i128 = invoice.lines.iter().map(|line| pico(&line.exact)).sum();
    let displayed: i128 = invoice.lines.iter().map(|line| cents(&line.displayed)).sum();
    assert_eq!((exact, displayed), (pico(&invoice.subtotal_exact), cents(&invoice.subtotal)));
    assert_eq!(invoice.total, invoice.subtotal);
    let half = 5_000_000_000;
    let rounded = (exact.abs() + half) / (2 * half) * exact.signum();
    assert_eq!(rounded, cents(&invoice.total));
}

async fn plan_two(ledger: &Ledger) {
    let source = Plan::demo().expect("the demo plan").source().to_owned();
    let source = source.replacen("version = 1", "version = 2", 1).replacen("\"0.60\"", "\"1.00\"", 1);
    let plan = Plan::from_text("two.toml", &source).expect("a plan");
    ledger.publish_plan(&plan, NOW).await.expect("published");
}

on_each_database! {
    async fn an_invoice_is_the_sum_of_its_records(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let other = tenant(ledger, "other", "UTC").await;
        let records = some_records(&acme, 500);
        ship(ledger, records.clone()).await;
        ship(ledger, some_records(&other, 77)).await;
        // The day before and the day after do not count.
        ship(ledger, [record(&acme, 5, at("2026-10-31T23:59:59.999999Z")), record(&acme, 5, at("2026-12-01T00:00:00Z"))]).await;
        let invoice = invoice::preview(ledger, &acme, &november("UTC"), NOW).await.expect("a preview");
        check_arithmetic(&invoice);
        assert_eq!(pico(&invoice.subtotal_exact), picodollars(&records));
        assert_eq!((invoice.status, invoice.records, invoice.period.has_ended), (Status::Draft, 500, false));
        let energy: u64 = invoice.lines.iter().filter(|line| line.kind == LineKind::Energy).map(|line| line.quantity).sum();
        assert_eq!(energy, records.iter().map(|record| record.energy.get()).sum::<u64>());
        let input_not_billed: u64 = invoice.lines.iter()
            .filter(|line| line.kind == LineKind::NotBilled && line.item == "input").map(|line| line.quantity).sum();
        let expected: u64 = records.iter()
            .filter(|record| !matches!(record.reason, EndReason::Completed | EndReason::ClientGone))
            .map(|record| record.prompt_tokens.get()).sum();
        assert_eq!(input_not_billed, expected);
    }

    async fn a_zone_moves_the_bounds_of_a_bill(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        let (before, first) = (at("2026-10-31T18:29:59.999999Z"), at("2026-10-31T18:30:00Z"));
        let (last, after) = (at("2026-11-30T18:29:59.999999Z"), at("2026-11-30T18:30:00Z"));
        let billed = |number, at| UsageRecord { reason: EndReason::Completed, ..record(&acme, number, at) };
        let inside = [billed(46, first), billed(47, last)];
        ship(ledger, inside.iter().cloned().chain([billed(48, before), billed(49, after)])).await;
        let invoice = invoice::preview(ledger, &acme, &november("Asia/Kolkata"), NOW).await.expect("a preview");
        check_arithmetic(&invoice);
        assert_eq!((invoice.records, pico(&invoice.subtotal_exact)), (2, picodollars(&inside)));
        assert_eq!(invoice.period.start, "2026-11-01T00:00:00+05:30");
    }

    async fn issuing_twice_gives_the_same_bytes(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ship(ledger, some_records(&acme, 50)).await;
        let period = november("UTC");
        let early = invoice::issue(ledger, &acme, &period, at("2026-11-30T23:59:59.999999Z")).await;
        assert!(matches!(early, Err(LedgerError::PeriodRunning { end }) if end == period.end()));
        let first = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        check_arithmetic(&first);
        assert_eq!((first.status, first.number.as_deref()), (Status::Issued, Some("TG-000001")));
        let again = invoice::issue(ledger, &acme, &period, at("2027-05-05T05:05:05Z")).await.expect("the same");
        assert_eq!(again, first);
        assert_eq!(again.to_json().expect("json"), first.to_json().expect("json"));
        assert_eq!((again.to_text(), again.to_html().expect("html")), (first.to_text(), first.to_html().expect("html")));
        let stored = ledger.find_invoice("TG-000001").await.expect("read").expect("there");
        assert_eq!(stored.body, first.to_json().expect("json"));
        assert_eq!(ledger.invoices_page(acme.id, None, 100).await.expect("read"), [stored]);
        // The lines in SQL say the same as the body.
        let displayed = database.number("SELECT CAST(SUM(displayed_minor) AS BIGINT) FROM invoice_lines").await;
        assert_eq!(i128::from(displayed), cents(&first.total));
        let lines = database.number("SELECT COUNT(*) FROM invoice_lines").await;
        assert_eq!(usize::try_from(lines).expect("positive"), first.lines.len());
    }

    async fn a_period_is_charged_by_the_terms_of_its_own_time(database: &Database) {
        let ledger = &database.ledger;
        let seat = |name: &str, version: u32, amount: u32| {
            let source = Plan::demo().expect("the demo plan").source()
                .replacen("name = \"demo\"", &format!("name = \"{name}\""), 1)
                .replacen("version = 1", &format!("version = {version}"), 1);
            let charge = format!("[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"{amount}\"\n");
            Plan::from_text("seat.toml", &format!("{source}\n{charge}")).expect("a plan")
        };
        let january = at("2020-01-15T00:00:00Z");
        ledger.publish_plan(&seat("silver", 1, 25), january).await.expect("published");
        let acme = ledger.create_tenant(&new_tenant("acme", "silver", "UTC"), january).await.expect("a tenant");
        ledger.publish_plan(&seat("gold", 1, 7), january).await.expect("published");
        ledger.publish_plan(&seat("silver", 2, 99), at("2020-02-02T00:00:00Z")).await.expect("published");
        // By the database's clock, which is past all of these months but the last.
        ledger.set_tenant_plan(acme.id, "gold").await.expect("set");
        let acme = ledger.find_tenant("acme").await.expect("read").expect("there");
        let rows = [("2019-12", "0.00"), ("2020-01", "25.00"), ("2020-02", "99.00"), ("2990-01", "7.00")];
        for (month, expected) in rows {
            let period = Period::month(month, "UTC").expect("a month");
            let invoice = invoice::preview(ledger, &acme, &period, NOW).await.expect("a preview");
            assert_eq!(invoice.total, expected, "{month}");
        }
    }

    async fn a_refused_issue_uses_no_number(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let unknown = UsageRecord { price_version: "ghost@7".parse().expect("a version"), ..record(&acme, 1, NOW) };
        ship(ledger, [unknown]).await;
        let end = november("UTC").end();
        let error = invoice::issue(ledger, &acme, &november("UTC"), end).await.expect_err("refused");
        assert!(matches!(&error, LedgerError::Rate(RateError::UnknownPriceVersion { .. })), "{error}");
        let other = tenant(ledger, "other", "UTC").await;
        let unpriced = UsageRecord { model: "grand".parse().expect("a model"), reason: EndReason::Completed, ..record(&other, 1, NOW) };
        ship(ledger, [unpriced]).await;
        let error = invoice::issue(ledger, &other, &november("UTC"), end).await.expect_err("refused");
        assert!(matches!(&error, LedgerError::Rate(RateError::Unpriced { .. })), "{error}");
        let third = tenant(ledger, "third", "UTC").await;
        let issued = invoice::issue(ledger, &third, &november("UTC"), end).await.expect("issued");
        assert_eq!(issued.number.as_deref(), Some("TG-000001"));
    }

    async fn tallies_that_are_not_the_records_are_not_billed(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        let end = november("Asia/Kolkata").end();
        // Half hours at both ends come from the records themselves; an hour outside is nobody's business here.
        let edges = ["2026-10-31T18:10:00Z", "2026-10-31T18:50:00Z", "2026-11-30T18:10:00Z", "2026-11-30T18:50:00Z", "2026-12-09T10:00:00Z"];
        let edges = edges.iter().zip(5..).map(|(instant, number)| record(&acme, number, at(instant)));
        ship(ledger, some_records(&acme, 60).into_iter().chain(edges)).await;
        // The hour of the first of them, from 2026-11-03T10:00:00Z: one completed request.
        let hour = 498_250;
        let tampered = [
            ("output_tokens = output_tokens + 1000, tokens_in_slo = tokens_in_slo + 1000", "output_tokens = output_tokens - 1000, tokens_in_slo = tokens_in_slo - 1000", "has 1000 output tokens, and its usage records come to 0;"),
            ("output_tokens = output_tokens + 7, late_tokens = late_tokens + 7", "output_tokens = output_tokens - 7, late_tokens = late_tokens - 7", "output tokens, and its usage records come to"),
            ("requests = requests + 1", "requests = requests - 1", "requests, and its usage records come to"),
            ("prompt_tokens = prompt_tokens + 3", "prompt_tokens = prompt_tokens - 3", "prompt tokens, and its usage records come to"),
            ("prompt_tokens = prompt_tokens + 1, cached_prompt_tokens = cached_prompt_tokens + 1", "prompt_tokens = prompt_tokens - 1, cached_prompt_tokens = cached_prompt_tokens - 1", "prompt tokens, and its usage records come to"),
            ("energy_mj = energy_mj + 9", "energy_mj = energy_mj - 9", "millijoules, and its usage records come to"),
            // The same totals under another name: what is billed changes, the sum over all does not.
            ("reason = 'deadline'", "reason = 'completed'", "requests"),
            ("price_version = 'demo@2'", "price_version = 'demo@1'", "requests"),
            ("model = 'grand'", "model = 'demo'", "requests"),
            ("unix_hour = unix_hour - 240", "unix_hour = unix_hour + 240", "has no requests, and its usage records come to 1;"),
        ];
        for (change, undo, count) in tampered {
            let moved = if change.starts_with("unix_hour") { hour - 240 } else { hour };
            database.raw(&format!("UPDATE tallies_hourly SET {change} WHERE unix_hour = {hour}")).await.expect("nothing stops it");
            let issued = invoice::issue(ledger, &acme, &november("Asia/Kolkata"), end).await;
            let error = issued.map(|invoice| invoice.number).expect_err(change);
            assert!(matches!(&error, LedgerError::TallyDiffers { .. }), "{change}: {error}");
            let text = error.to_string();
            assert!(text.contains(count) && text.contains("2026-11-03T10:00:00Z"), "{change}: {text}");
            database.raw(&format!("UPDATE tallies_hourly SET {undo} WHERE unix_hour = {moved}")).await.expect("put back");
        }
        let issued = invoice::issue(ledger, &acme, &november("Asia/Kolkata"), end).await.expect("they agree again");
        assert_eq!((issued.number.as_deref(), issued.records), (Some("TG-000001"), 62));
        let other = tenant(ledger, "other", "UTC").await;
        ship(ledger, some_records(&other, 5)).await;
        database.raw(&format!("DELETE FROM tallies_hourly WHERE unix_hour = {hour}")).await.expect("nothing stops it");
        let error = invoice::issue(ledger, &other, &november("UTC"), november("UTC").end()).await;
        assert!(matches!(error, Err(LedgerError::TallyDiffers { .. })), "{error:?}");
    }

    async fn a_month_before_the_tenant_uses_no_number(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let january = Period::month("2025-01", "UTC").expect("a month");
        let error = invoice::issue(ledger, &acme, &january, NOW).await.expect_err("refused");
        assert!(matches!(&error, LedgerError::PeriodBeforeTenant { created_at, .. } if *created_at == NOW), "{error}");
        assert_eq!(error.fault(), domain::Fault::Invalid);
        invoice::preview(ledger, &acme, &january, NOW).await.expect("looking is allowed");
        assert_eq!(ledger.invoices_page(acme.id, None, 100).await.expect("read"), []);
        // Usage of an earlier time, such as from a ledger that is being rebuilt, is billed all the same.
        ship(ledger, [record(&acme, 5, at("2025-01-15T12:00:00Z"))]).await;
        let issued = invoice::issue(ledger, &acme, &january, NOW).await.expect("issued");
        assert_eq!((issued.number.as_deref(), issued.records), (Some("TG-000001"), 1));
        // The month in which it was created may be empty.
        let november = invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
        assert_eq!(november.number.as_deref(), Some("TG-000002"));
    }

    async fn many_issuers_at_once_leave_no_gap(database: &Database) {
        let ledger = &database.ledger;
        let mut tenants = Vec::new();
        for number in 0..5 {
            let tenant = tenant(ledger, &format!("tenant-{number}"), "UTC").await;
            ship(ledger, some_records(&tenant, 20)).await;
            tenants.push(tenant);
        }
        let issue = |tenant: Tenant| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let period = november("UTC");
                invoice::issue(&ledger, &tenant, &period, period.end()).await.expect("issued").to_json().expect("json")
            })
        };
        // Each tenant's invoice is asked for three times at once.
        let tasks: Vec<_> = (0..3).flat_map(|_| tenants.iter().cloned()).map(issue).collect();
        let mut bodies = Vec::new();
        for task in tasks {
            bodies.push(task.await.expect("issued"));
        }
        let distinct: BTreeSet<_> = bodies.iter().collect();
        assert_eq!(distinct.len(), 5);
        let mut numbers = Vec::new();
        for tenant in &tenants {
            numbers.extend(ledger.invoices_page(tenant.id, None, 100).await.expect("read").into_iter().map(|invoice| invoice.number));
        }
        numbers.sort();
        assert_eq!(numbers, ["TG-000001", "TG-000002", "TG-000003", "TG-000004", "TG-000005"]);
    }

    async fn late_records_leave_an_issued_invoice_alone(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ship(ledger, some_records(&acme, 30)).await;
        let period = november("UTC");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let preview = invoice::preview(ledger, &acme, &period, period.end()).await.expect("a preview");
        assert_eq!((preview.late_records, preview.issued_as.as_deref()), (0, Some("TG-000001")));
        ship(ledger, some_records(&acme, 3)).await;
        let preview = invoice::preview(ledger, &acme, &period, period.end()).await.expect("a preview");
        assert_eq!((preview.late_records, preview.records, preview.status), (3, 33, Status::Draft));
        assert!(preview.to_text().contains("3 usage records came later"), "{}", preview.to_text());
        let again = invoice::issue(ledger, &acme, &period, at("2027-01-01T00:00:00Z")).await.expect("the same");
        assert_eq!(again, issued);
    }

    async fn no_instant_is_billed_twice(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let later = at("2027-06-01T00:00:00Z");
        invoice::issue(ledger, &acme, &november("UTC"), later).await.expect("issued");
        let other_zone = invoice::issue(ledger, &acme, &november("Asia/Kolkata"), later).await;
        assert!(matches!(other_zone, Err(LedgerError::PeriodOverlaps { number, .. }) if number == "TG-000001"));
        let december = Period::month("2026-12", "UTC").expect("a month");
        let issued = invoice::issue(ledger, &acme, &december, later).await.expect("the month after fits");
        assert_eq!(issued.number.as_deref(), Some("TG-000002"));
        // Two months at once cover both invoices.
        let both = Period::new(november("UTC").start(), december.end(), "UTC").expect("a period");
        assert!(matches!(invoice::issue(ledger, &acme, &both, later).await, Err(LedgerError::PeriodOverlaps { .. })));
        invoice::preview(ledger, &acme, &both, later).await.expect("looking is allowed");
    }

    async fn nothing_used_is_an_invoice_too(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let period = november("UTC");
        let invoice = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        assert_eq!((invoice.total.as_str(), invoice.lines.len(), invoice.records), ("0.00", 0, 0));
        assert!(invoice.to_text().contains("Nothing was used."));
        check_arithmetic(&invoice);
    }

    async fn each_part_of_a_month_has_its_own_price(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        plan_two(ledger).await;
        let billed = |version: &str, output| UsageRecord {
            reason: EndReason::Completed,
            price_version: version.parse().expect("a version"),
            output_tokens: Tokens::new(output),
            tokens_in_slo: Tokens::new(output),
            reasoning_tokens: Tokens::ZERO,
            ..record(&acme, 0, NOW)
        };
        ship(ledger, [billed("demo@1", 1_000_000), billed("demo@2", 1_000_000), billed("demo@1", 500_000)]).await;
        let invoice = invoice::preview(ledger, &acme, &november("UTC"), NOW).await.expect("a preview");
        check_arithmetic(&invoice);
        let outputs: Vec<_> = invoice.lines.iter().filter(|line| line.item == "output")
            .map(|line| (line.price_version.as_deref(), line.quantity, line.exact.as_str())).collect();
        assert_eq!(outputs, [(Some("demo@1"), 1_500_000, "0.90"), (Some("demo@2"), 1_000_000, "1.00")]);
    }

    async fn a_plan_in_another_currency_cannot_slip_in(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let source = Plan::demo().expect("the demo plan").source().to_owned();
        let euro = source.replacen("\"USD\"", "\"EUR\"", 1).replacen("name = \"demo\"", "name = \"euro\"", 1);
        ledger.publish_plan(&Plan::from_text("euro.toml", &euro).expect("a plan"), NOW).await.expect("published");
        let foreign = UsageRecord { price_version: "euro@1".parse().expect("a version"), ..record(&acme, 1, NOW) };
        ship(ledger, [foreign]).await;
        let error = invoice::preview(ledger, &acme, &november("UTC"), NOW).await.expect_err("refused");
        assert!(matches!(&error, LedgerError::Rate(RateError::MixedCurrencies { .. })), "{error}");
    }

    async fn yen_have_no_decimals(database: &Database) {
        let ledger = &database.ledger;
        let source = Plan::demo().expect("the demo plan").source().to_owned();
        let yen = source.replacen("\"USD\"", "\"JPY\"", 1).replacen("name = \"demo\"", "name = \"yen\"", 1).replacen("\"0.60\"", "\"90\"", 1);
        ledger.publish_plan(&Plan::from_text("yen.toml", &yen).expect("a plan"), NOW).await.expect("published");
        let new = new_tenant("edo", "yen", "Asia/Tokyo");
        let edo = ledger.create_tenant(&new, NOW).await.expect("a tenant");
        let used = UsageRecord {
            price_version: "yen@1".parse().expect("a version"),
            output_tokens: Tokens::new(50_000),
            tokens_in_slo: Tokens::new(50_000),
            prompt_tokens: Tokens::ZERO,
            cached_prompt_tokens: Tokens::ZERO,
            ..record(&edo, 0, NOW)
        };
        ship(ledger, [used]).await;
        let invoice = invoice::preview(ledger, &edo, &november("Asia/Tokyo"), NOW).await.expect("a preview");
        assert_eq!((invoice.subtotal_exact.as_str(), invoice.total.as_str()), ("4.5", "5"));
    }
}
