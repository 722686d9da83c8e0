//! How subscriptions stand, instant by instant.
//! Never a period.
//! Run by `cargo test`.

use super::*;

const NOON: &str = "2026-03-10T12:00:00Z";

fn check(terms: &Terms, rows: &[(&str, State)]) {
    for (instant, expected) in rows {
        assert_eq!(terms.state_at(at(instant)), *expected, "{instant}");
    }
}

#[test]
fn without_a_subscription_there_is_none() {
    check(&Terms::default(), &[(NOON, State::None)]);
}

#[test]
fn a_subscription_is_planned_on_trial_active_paused_and_over() {
    let story = Story::new(Cycle::Calendar, "2026-03-05", "UTC")
        .until("2026-03-15")
        .and(at("2026-03-20T10:00:00Z"), EventKind::Pause)
        .and(at("2026-03-22T10:00:00Z"), EventKind::Resume)
        .and(at("2026-04-01T10:00:00Z"), EventKind::Cancel);
    let rows = [
        ("2026-03-04T23:59:59.999999Z", State::Planned(at("2026-03-05T00:00:00Z"))),
        ("2026-03-05T00:00:00Z", State::Trial(at("2026-03-15T00:00:00Z"))),
        ("2026-03-14T23:59:59.999999Z", State::Trial(at("2026-03-15T00:00:00Z"))),
        ("2026-03-15T00:00:00Z", State::Active),
        ("2026-03-20T09:59:59.999999Z", State::Active),
        ("2026-03-20T10:00:00Z", State::Paused(at("2026-03-20T10:00:00Z"))),
        ("2026-03-22T09:59:59.999999Z", State::Paused(at("2026-03-20T10:00:00Z"))),
        ("2026-03-22T10:00:00Z", State::Active),
        ("2026-04-01T09:59:59.999999Z", State::Active),
        ("2026-04-01T10:00:00Z", State::Ended(at("2026-04-01T10:00:00Z"))),
        ("2036-01-01T00:00:00Z", State::Ended(at("2026-04-01T10:00:00Z"))),
    ];
    check(&story.terms(), &rows);
}

#[test]
fn a_trial_ends_when_the_last_word_says() {
    let story = Story::new(Cycle::Calendar, "2026-03-05", "UTC").until("2026-03-15");
    let (longer, shorter) = (story.end_of_trial("2026-03-20"), story.end_of_trial("2026-03-12"));
    let story = story
        .and(at("2026-03-06T00:00:01Z"), EventKind::Trial(longer))
        .and(at("2026-03-07T00:00:01Z"), EventKind::Trial(shorter));
    let rows = [
        ("2026-03-11T23:00:00Z", State::Trial(at("2026-03-12T00:00:00Z"))),
        ("2026-03-12T00:00:00Z", State::Active),
    ];
    check(&story.terms(), &rows);
}

#[test]
fn a_pause_counts_more_than_a_trial() {
    let pause = at("2026-03-06T00:00:01Z");
    let story =
        Story::new(Cycle::Calendar, "2026-03-05", "UTC").until("2026-03-15").and(pause, EventKind::Pause);
    check(&story.terms(), &[(NOON, State::Paused(pause)), ("2026-05-01T00:00:00Z", State::Paused(pause))]);
}

#[test]
fn another_subscription_may_follow_the_end_of_one() {
    let end = at("2026-03-10T10:00:00Z");
    let again = midnight_of("2026-03-20", "UTC");
    let kind = EventKind::Start { cycle: Cycle::Anniversary, day: day("2026-03-20"), trial: None };
    let story = Story::new(Cycle::Calendar, "2026-03-05", "UTC").and(end, EventKind::Cancel).and(again, kind);
    let rows = [
        ("2026-03-10T09:00:00Z", State::Active),
        (NOON, State::Ended(end)),
        ("2026-03-19T23:00:00Z", State::Ended(end)),
        ("2026-03-20T00:00:00Z", State::Active),
    ];
    check(&story.terms(), &rows);
}

#[test]
fn what_fits_no_subscription_is_left_out() {
    let lonely = [EventKind::Pause, EventKind::Resume, EventKind::Cancel];
    let events = lonely.map(|kind| Event { at: at(NOON), kind });
    assert_eq!(Terms::of(events), Terms::default());
    // A resumption without a pause, and another end of a trial that there is not.
    let start = at("2026-03-05T00:00:00Z");
    let kind = EventKind::Start { cycle: Cycle::Calendar, day: day("2026-03-05"), trial: None };
    let end = TrialEnd { at: at("2026-03-09T00:00:00Z"), day: day("2026-03-09") };
    let events = [kind, EventKind::Resume, EventKind::Trial(end)].map(|kind| Event { at: start, kind });
    assert_eq!(Terms::of(events).state_at(at("2026-03-06T00:00:00Z")), State::Active);
}

#[test]
fn names_read_back() {
    for cycle in [Cycle::Calendar, Cycle::Anniversary] {
        assert_eq!(cycle.as_str().parse(), Ok(cycle));
    }
    assert!("weekly".parse::<Cycle>().is_err());
    for kind in [PeriodKind::Before, PeriodKind::Trial, PeriodKind::Regular, PeriodKind::After] {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("sometime".parse::<PeriodKind>().is_err());
    let states = [State::None, State::Planned(at(NOON)), State::Active, State::Ended(at(NOON))];
    assert_eq!(states.map(State::as_str), ["none", "planned", "active", "ended"]);
    assert_eq!([State::Trial(at(NOON)), State::Paused(at(NOON))].map(State::as_str), ["trial", "paused"]);
}
