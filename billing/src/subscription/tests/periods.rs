//! Where periods begin and end: months, anniversaries, leap years, daylight saving, trials, cancellations.
//! Never an amount.
//! Run by `cargo test`.

use proptest::prelude::*;

use super::*;

/// A kind of period, its first day and the day after its last, in the zone's own time.
type Row = (&'static str, &'static str, &'static str);

/// The periods from an instant on, as many as there are rows.
fn check(story: &Story, from: &str, rows: &[Row]) {
    let timeline = story.timeline(Vec::new());
    let mut instant = midnight_of(from, story.zone);
    for (number, (kind, start, end)) in rows.iter().enumerate() {
        let period = timeline.at(instant).expect("a period");
        let found = (period.kind.as_str(), local(period.start, story.zone), local(period.end, story.zone));
        assert_eq!(found, (*kind, (*start).to_owned(), (*end).to_owned()), "row {number}");
        instant = period.end;
    }
}

#[test]
fn the_31st_comes_back_after_short_months() {
    let rows = [
        ("regular", "2026-01-31", "2026-02-28"),
        ("regular", "2026-02-28", "2026-03-31"),
        ("regular", "2026-03-31", "2026-04-30"),
        ("regular", "2026-04-30", "2026-05-31"),
        ("regular", "2026-05-31", "2026-06-30"),
    ];
    check(&Story::new(Cycle::Anniversary, "2026-01-31", "Europe/Berlin"), "2026-01-31", &rows);
}

#[test]
fn leap_years_have_a_29th() {
    let rows = [
        ("regular", "2028-01-31", "2028-02-29"),
        ("regular", "2028-02-29", "2028-03-31"),
        ("regular", "2028-03-31", "2028-04-30"),
    ];
    check(&Story::new(Cycle::Anniversary, "2028-01-31", "UTC"), "2028-01-31", &rows);
    // Begun on the 29th of February: the 29th of every month, and the 28th of the Februaries that have no 29th.
    let rows = [
        ("regular", "2028-12-29", "2029-01-29"),
        ("regular", "2029-01-29", "2029-02-28"),
        ("regular", "2029-02-28", "2029-03-29"),
        ("regular", "2029-03-29", "2029-04-29"),
    ];
    check(&Story::new(Cycle::Anniversary, "2028-02-29", "UTC"), "2028-12-31", &rows);
    let rows = [("regular", "2032-01-29", "2032-02-29"), ("regular", "2032-02-29", "2032-03-29")];
    check(&Story::new(Cycle::Anniversary, "2028-02-29", "UTC"), "2032-01-30", &rows);
}

#[test]
fn calendar_periods_are_months_and_the_first_is_cut() {
    let rows = [
        ("before", "2026-10-01", "2026-11-01"),
        ("before", "2026-11-01", "2026-11-20"),
        ("regular", "2026-11-20", "2026-12-01"),
        ("regular", "2026-12-01", "2027-01-01"),
        ("regular", "2027-01-01", "2027-02-01"),
    ];
    let story = Story::new(Cycle::Calendar, "2026-11-20", "America/New_York");
    check(&story, "2026-10-05", &rows);
    // The whole of which it is a part is the month: shares are of 30 days.
    let first = story.timeline(Vec::new()).at(midnight_of("2026-11-25", story.zone)).expect("a period");
    let whole = (local(first.full_start, story.zone), local(first.full_end, story.zone));
    assert_eq!(whole, ("2026-11-01".to_owned(), "2026-12-01".to_owned()));
    let rows = [("before", "2026-10-01", "2026-11-01"), ("regular", "2026-11-01", "2026-12-01")];
    check(&Story::new(Cycle::Calendar, "2026-11-01", "UTC"), "2026-10-31", &rows);
}

#[test]
fn anniversaries_cut_the_month_before_them() {
    let rows = [
        ("before", "2026-11-01", "2026-11-20"),
        ("regular", "2026-11-20", "2026-12-20"),
        ("regular", "2026-12-20", "2027-01-20"),
    ];
    check(&Story::new(Cycle::Anniversary, "2026-11-20", "Asia/Kathmandu"), "2026-11-03", &rows);
}

#[test]
fn bounds_follow_daylight_saving() {
    let rows = [
        // Hours of a month in which an hour is left out, and of one in which an hour comes twice.
        ("Europe/Berlin", "2026-03-01", 31 * 24 - 1),
        ("Europe/Berlin", "2026-10-01", 31 * 24 + 1),
        ("Europe/Berlin", "2026-12-01", 31 * 24),
        ("America/New_York", "2026-03-01", 31 * 24 - 1),
        ("Australia/Sydney", "2026-10-01", 31 * 24 - 1),
        ("Asia/Kolkata", "2026-10-01", 31 * 24),
    ];
    for (zone, first, hours) in rows {
        let story = Story::new(Cycle::Calendar, "2026-01-01", zone);
        let period = story.timeline(Vec::new()).at(midnight_of(first, zone)).expect("a period");
        let found = (period.end.unix_micros() - period.start.unix_micros()) / 3_600_000_000;
        assert_eq!(found, hours, "{zone} {first}");
    }
    // Where clocks go on at midnight, the day begins an hour late, and the period with it.
    let story = Story::new(Cycle::Anniversary, "2026-03-24", "Africa/Cairo");
    let rows = [("regular", "2026-03-24", "2026-04-24 01:00"), ("regular", "2026-04-24 01:00", "2026-05-24")];
    check(&story, "2026-03-24", &rows);
}

#[test]
fn a_trial_is_a_period_of_its_own_and_anniversaries_count_from_its_end() {
    let rows = [
        ("before", "2026-01-01", "2026-01-17"),
        ("trial", "2026-01-17", "2026-01-31"),
        ("regular", "2026-01-31", "2026-02-28"),
        ("regular", "2026-02-28", "2026-03-31"),
    ];
    check(&Story::new(Cycle::Anniversary, "2026-01-17", "UTC").until("2026-01-31"), "2026-01-01", &rows);
    let rows = [
        ("trial", "2026-01-17", "2026-02-16"),
        ("regular", "2026-02-16", "2026-03-01"),
        ("regular", "2026-03-01", "2026-04-01"),
    ];
    check(&Story::new(Cycle::Calendar, "2026-01-17", "UTC").until("2026-02-16"), "2026-01-20", &rows);
}

#[test]
fn a_trial_that_ends_early_is_cut_and_one_that_lasts_longer_has_another_period() {
    let story = || Story::new(Cycle::Anniversary, "2026-01-17", "UTC").until("2026-01-31");
    let trial = StoredPeriod {
        kind: PeriodKind::Trial,
        full_start: midnight_of("2026-01-17", "UTC"),
        start: midnight_of("2026-01-17", "UTC"),
        end: midnight_of("2026-01-31", "UTC"),
    };
    let stored = |until: &str| {
        let story = story();
        let end = story.end_of_trial(until);
        let timeline = story.and(at("2026-01-20T10:00:00Z"), EventKind::Trial(end)).timeline(vec![trial]);
        let mut instant = trial.start;
        let mut found = Vec::new();
        for _ in 0..3 {
            let period = timeline.at(instant).expect("a period");
            found.push(format!("{} {}", period.kind.as_str(), local(period.start, "UTC")));
            instant = period.end;
        }
        found
    };
    assert_eq!(stored("2026-01-25"), ["trial 2026-01-17", "regular 2026-01-25", "regular 2026-02-25"]);
    assert_eq!(stored("2026-02-05"), ["trial 2026-01-17", "trial 2026-01-31", "regular 2026-02-05"]);
}

#[test]
fn a_cancellation_cuts_its_period_and_calendar_months_follow() {
    let cancelled = |at| Story::new(Cycle::Anniversary, "2026-01-20", "UTC").and(at, EventKind::Cancel);
    // At once, in the middle of a day.
    let rows = [
        ("regular", "2026-01-20", "2026-02-20"),
        ("regular", "2026-02-20", "2026-03-02 15:30"),
        ("after", "2026-03-02 15:30", "2026-04-01"),
        ("after", "2026-04-01", "2026-05-01"),
    ];
    let story = cancelled(at("2026-03-02T15:30:00Z"));
    check(&story, "2026-01-20", &rows);
    // What was cut still is a part of its whole.
    let cut = story.timeline(Vec::new()).at(at("2026-03-01T00:00:00Z")).expect("a period");
    assert_eq!(local(cut.full_end, "UTC"), "2026-03-20");
    // With the period.
    let rows = [("regular", "2026-01-20", "2026-02-20"), ("after", "2026-02-20", "2026-03-01")];
    check(&cancelled(at("2026-02-20T00:00:00Z")), "2026-01-20", &rows);
    // Before it began.
    let rows = [("before", "2026-01-01", "2026-02-01")];
    check(&cancelled(at("2026-01-20T00:00:00Z")), "2026-01-05", &rows);
}

#[test]
fn another_subscription_cuts_the_month_between() {
    let again = midnight_of("2026-03-10", "UTC");
    let kind = EventKind::Start { cycle: Cycle::Anniversary, day: day("2026-03-10"), trial: None };
    let story = Story::new(Cycle::Calendar, "2026-02-10", "UTC")
        .and(at("2026-03-05T06:00:00Z"), EventKind::Cancel)
        .and(again, kind);
    let rows = [
        ("before", "2026-02-01", "2026-02-10"),
        ("regular", "2026-02-10", "2026-03-01"),
        ("regular", "2026-03-01", "2026-03-05 06:00"),
        ("after", "2026-03-05 06:00", "2026-03-10"),
        ("regular", "2026-03-10", "2026-04-10"),
    ];
    check(&story, "2026-02-05", &rows);
}

#[test]
fn what_is_stored_is_never_reckoned_again() {
    // As if the rules of the zone had been others when it was stored: an hour off.
    let story = Story::new(Cycle::Anniversary, "2026-01-31", "UTC");
    let stored = StoredPeriod {
        kind: PeriodKind::Regular,
        full_start: at("2026-01-31T00:00:00Z"),
        start: at("2026-01-31T00:00:00Z"),
        end: at("2026-02-28T01:00:00Z"),
    };
    let timeline = story.timeline(vec![stored]);
    assert_eq!(timeline.at(at("2026-02-28T00:30:00Z")).expect("a period").end, stored.end);
    let next = timeline.at(stored.end).expect("a period");
    assert_eq!((next.start, next.end), (stored.end, at("2026-03-31T00:00:00Z")));
}

#[test]
fn what_has_begun_is_to_be_stored_once() {
    let story = Story::new(Cycle::Calendar, "2026-01-20", "UTC");
    let begun =
        |stored: &[StoredPeriod], now| story.timeline(stored.to_vec()).begun(at(now)).expect("periods");
    assert_eq!(begun(&[], "2026-01-19T23:59:59.999999Z"), []);
    let first = begun(&[], "2026-01-20T00:00:00Z");
    assert_eq!(first.len(), 1);
    assert_eq!(begun(&first, "2026-01-31T23:59:59.999999Z"), []);
    let more = begun(&first, "2026-03-01T00:00:00Z");
    let starts: Vec<_> = more.iter().map(|period| local(period.start, "UTC")).collect();
    assert_eq!(starts, ["2026-02-01", "2026-03-01"]);
    // A subscription that was cancelled has no more of them.
    let ended = Story::new(Cycle::Calendar, "2026-01-20", "UTC")
        .and(at("2026-02-01T00:00:00Z"), EventKind::Cancel)
        .timeline(first);
    assert_eq!(ended.begun(at("2026-12-01T00:00:00Z")).expect("periods"), []);
}

/// Whether periods follow each other without gap or overlap, hold the instants that are asked for, and last as long as
/// a month does, or less where they are cut.
fn check_partition(story: &Story, from: Timestamp, to: Timestamp) {
    // As the ledger keeps them: reckoned once each.
    let timeline = story.timeline(story.timeline(Vec::new()).begun(to).expect("periods"));
    let mut instant = from;
    let mut last = timeline.at(from).expect("a period").start;
    while instant < to {
        let period = timeline.at(instant).expect("a period");
        let about = format!("{} {} at {instant}", story.zone, story.day);
        assert_eq!(period.start, last, "{about}: no gap and no overlap");
        assert!(period.start <= instant && instant < period.end, "{about}");
        let middle = i64::midpoint(period.start.unix_micros(), period.end.unix_micros());
        for inside in [middle, period.end.unix_micros() - 1] {
            assert_eq!(timeline.at(Timestamp::from_unix_micros(inside)), Ok(period), "{about}");
        }
        let hours = (period.full_end.unix_micros() - period.full_start.unix_micros()) / 3_600_000_000;
        assert!(
            period.kind == PeriodKind::Trial || (27 * 24 - 2..=32 * 24).contains(&hours),
            "{about}: {hours}"
        );
        (last, instant) = (period.end, period.end);
    }
}

/// Every zone that the database of time zones has.
fn zones() -> Vec<&'static str> {
    let names: Vec<&'static str> = jiff::tz::db()
        .available()
        .map(|name| &*Box::leak(name.as_str().to_owned().into_boxed_str()))
        .collect();
    let is_region = |name: &&str| !name.starts_with("posix/") && !name.starts_with("right/");
    names.into_iter().filter(is_region).collect()
}

#[test]
fn periods_partition_ten_years_in_every_zone() {
    let zones = zones();
    assert!(zones.len() > 300, "{}", zones.len());
    for zone in zones {
        if TimeZone::get(zone).is_err() {
            continue;
        }
        let (from, to) = (midnight_of("2019-12-15", zone), midnight_of("2030-01-15", zone));
        check_partition(&Story::new(Cycle::Calendar, "2020-01-07", zone), from, to);
        check_partition(&Story::new(Cycle::Anniversary, "2020-01-31", zone), from, to);
    }
}

#[test]
fn periods_partition_ten_years_from_every_day_of_a_month() {
    for zone in
        ["UTC", "Europe/Berlin", "America/St_Johns", "Africa/Cairo", "Pacific/Apia", "America/Santiago"]
    {
        for number in 1..=31 {
            let first: &'static str = Box::leak(format!("2020-01-{number:02}").into_boxed_str());
            let (from, to) = (midnight_of("2019-12-15", zone), midnight_of("2030-01-15", zone));
            let story = Story::new(Cycle::Anniversary, first, zone);
            check_partition(&story, from, to);
            // Every bound is on the day of the first, or on the last day of a month that has none.
            let timeline = story.timeline(story.timeline(Vec::new()).begun(to).expect("periods"));
            let mut instant = midnight_of(first, zone);
            for _ in 0..110 {
                let period = timeline.at(instant).expect("a period");
                let begun = local_day(period.start, &zone_of(zone)).expect("a day");
                assert_eq!(begun.day(), begun.days_in_month().min(number), "{zone} {begun}");
                instant = period.end;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn periods_partition_time_whatever_happens(
        zone in proptest::sample::select(zones()), number in 0_i32..365, is_calendar: bool,
        trial in proptest::option::of(1_i32..90), cancelled in proptest::option::of(0_i64..40_000_000),
        restarted in proptest::option::of(1_i32..90),
    ) {
        prop_assume!(TimeZone::get(zone).is_ok());
        let later = |day: Date, days: i32| day.checked_add(jiff::ToSpan::days(i64::from(days))).expect("a day");
        let first = later(day("2025-03-01"), number);
        let text: &'static str = Box::leak(first.to_string().into_boxed_str());
        let cycle = if is_calendar { Cycle::Calendar } else { Cycle::Anniversary };
        let mut story = Story::new(cycle, text, zone);
        if let Some(days) = trial {
            story = story.until(Box::leak(later(first, days).to_string().into_boxed_str()));
        }
        if let Some(seconds) = cancelled {
            let start = midnight_of(text, zone);
            let end = Timestamp::from_unix_micros(start.unix_micros() + seconds * 1_000_000);
            story = story.and(end, EventKind::Cancel);
            if let Some(days) = restarted {
                let again = later(local_day(end, &zone_of(zone)).expect("a day"), days);
                let kind = EventKind::Start { cycle: Cycle::Anniversary, day: again, trial: None };
                story = story.and(midnight(again, &zone_of(zone)).expect("an instant"), kind);
            }
        }
        let (from, to) = (midnight_of("2024-12-20", zone), midnight_of("2029-01-01", zone));
        check_partition(&story, from, to);
        // What was stored on the way changes nothing.
        let all = story.timeline(Vec::new()).begun(to).expect("periods");
        let stored = story.timeline(all.clone());
        prop_assert_eq!(stored.begun(to).expect("periods"), []);
        for period in all.iter().filter(|period| from < period.start).step_by(9) {
            let plain = story.timeline(Vec::new()).at(period.start).expect("a period");
            prop_assert_eq!(stored.at(period.start).expect("a period"), plain);
        }
    }
}
