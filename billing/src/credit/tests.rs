//! Tables of what pays for what, and properties over any debits and grants.
//! Never a database.
//! Run by `cargo test -p billing`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(micros)
}

fn id(number: u64) -> GrantId {
    GrantId::from_uuid(Uuid::from_u128(number.into()))
}

fn model(name: &str) -> ModelName {
    ModelName::new(name).expect("a name")
}

/// A grant: number, priority, expiry, age, models, amount.
fn grant(
    number: u64,
    priority: u8,
    expires: Option<i64>,
    created: i64,
    models: &[&str],
    left: u64,
) -> OpenGrant {
    OpenGrant {
        id: id(number),
        priority,
        expires_at: expires.map(at),
        created_at: at(created),
        models: (!models.is_empty()).then(|| models.iter().map(|name| model(name)).collect()),
        remaining: Nanos::new(left),
        lapsed: Nanos::ZERO,
    }
}

/// A debit: place, model, begin, charge. It ended in the quarter of an hour of its place divided by ten.
fn debit(sequence: u64, name: &str, started: i64, charge: u64) -> Debit {
    let quarter = i64::try_from(sequence / 10).expect("small");
    let place = Some(DebitPlace { sequence, quarter });
    Debit { model: model(name), charge: Nanos::new(charge), started_at: at(started), place }
}

/// From where to where, how much, first and last record with their parts.
type Row = (String, String, u64, Option<(u64, u64, u64, u64)>);

fn shown(transfers: &[Transfer]) -> Vec<Row> {
    let short = |account: &Account| match account {
        Account::Grant(id) => format!("g{}", id.as_uuid().as_u128()),
        Account::Breakage(id) => format!("b{}", id.as_uuid().as_u128()),
        Account::Issued | Account::Consumed(_) | Account::Overage | Account::Billed => account.to_string(),
    };
    let row = |transfer: &Transfer| {
        let span =
            transfer.span.map(|span| (span.first, span.last, span.first_part.get(), span.last_part.get()));
        (short(&transfer.from), short(&transfer.to), transfer.amount.get(), span)
    };
    transfers.iter().map(row).collect()
}

fn row(from: &str, to: &str, amount: u64, span: Option<(u64, u64, u64, u64)>) -> Row {
    (from.to_owned(), to.to_owned(), amount, span)
}

fn check(grants: Vec<OpenGrant>, debits: &[Debit], expected: &[Row]) {
    let transfers = Book::new(grants).draw(debits).expect("it fits");
    assert_eq!(shown(&transfers), expected);
}

#[test]
fn grants_are_used_by_priority_then_expiry_then_age() {
    let one = [debit(1, "m", 0, 5)];
    let first = |number: u64| vec![row(&format!("g{number}"), "consumed:m", 5, Some((1, 1, 5, 5)))];
    // Priority counts before expiry and age.
    check(vec![grant(1, 60, Some(10), 0, &[], 9), grant(2, 50, None, 9, &[], 9)], &one, &first(2));
    // Expiry before age; without one comes last.
    check(vec![grant(1, 50, None, 0, &[], 9), grant(2, 50, Some(99), 5, &[], 9)], &one, &first(2));
    check(vec![grant(1, 50, Some(99), 0, &[], 9), grant(2, 50, Some(98), 5, &[], 9)], &one, &first(2));
    // Age, and of the same age the smaller id.
    check(vec![grant(2, 50, None, 5, &[], 9), grant(1, 50, None, 6, &[], 9)], &one, &first(2));
    check(vec![grant(2, 50, None, 5, &[], 9), grant(1, 50, None, 5, &[], 9)], &one, &first(1));
    // Those for other models, and those whose time was over when the request began, pay for nothing.
    check(vec![grant(1, 20, None, 0, &["x"], 9), grant(2, 50, None, 0, &[], 9)], &one, &first(2));
    check(vec![grant(1, 20, None, 0, &["m", "x"], 9), grant(2, 50, None, 0, &[], 9)], &one, &first(1));
    check(vec![grant(1, 50, Some(0), 0, &[], 9), grant(2, 50, None, 0, &[], 9)], &one, &first(2));
    check(vec![grant(1, 50, Some(1), 0, &[], 9), grant(2, 50, None, 0, &[], 9)], &one, &first(1));
}

#[test]
fn records_next_to_each_other_are_one_transfer_and_a_border_is_told_exactly() {
    let grants = || vec![grant(1, 50, None, 0, &[], 25), grant(2, 50, None, 1, &[], 12)];
    let debits = [
        debit(1, "m", 0, 10),
        debit(2, "m", 0, 10),
        debit(3, "m", 0, 10),
        debit(4, "m", 0, 4),
        debit(5, "m", 0, 7),
    ];
    let expected = [
        row("g1", "consumed:m", 25, Some((1, 3, 10, 5))),
        row("g2", "consumed:m", 12, Some((3, 5, 5, 3))),
        row("overage", "consumed:m", 4, Some((5, 5, 4, 4))),
    ];
    check(grants(), &debits, &expected);
    // Another model and another quarter of an hour are transfers of their own; a charge of nothing is none.
    let debits = [
        debit(1, "m", 0, 1),
        debit(2, "n", 0, 2),
        debit(3, "m", 0, 0),
        debit(4, "m", 0, 4),
        debit(11, "m", 0, 8),
    ];
    let expected = [
        row("g1", "consumed:m", 5, Some((1, 4, 1, 4))),
        row("g1", "consumed:n", 2, Some((2, 2, 2, 2))),
        row("g1", "consumed:m", 8, Some((11, 11, 8, 8))),
    ];
    check(grants(), &debits, &expected);
}

#[test]
fn what_expired_is_breakage_until_a_late_record_uses_it() {
    let mut book = Book::new(vec![grant(1, 50, Some(100), 0, &[], 10), grant(2, 50, None, 0, &[], 10)]);
    assert_eq!(book.expire(at(99)).expect("it fits"), []);
    assert_eq!(shown(&book.expire(at(100)).expect("it fits")), [row("g1", "b1", 10, None)]);
    assert_eq!(book.expire(at(200)).expect("it fits"), [], "once");
    // It began before the expiry, and came after: as if it had come in time.
    let late = book.draw(&[debit(1, "m", 99, 4)]).expect("it fits");
    assert_eq!(shown(&late), [row("b1", "consumed:m", 4, Some((1, 1, 4, 4)))]);
    assert_eq!(late[0].grant, Some(id(1)));
    let new = book.draw(&[debit(2, "m", 100, 4)]).expect("it fits");
    assert_eq!(shown(&new), [row("g2", "consumed:m", 4, Some((2, 2, 4, 4)))]);
    let left: Vec<_> =
        book.grants().iter().map(|grant| (grant.remaining.get(), grant.lapsed.get())).collect();
    assert_eq!(left, [(0, 6), (6, 0)]);
}

#[test]
fn what_is_taken_back_comes_from_the_grants_and_is_owed_beyond_them() {
    let mut book = Book::new(vec![grant(1, 50, None, 0, &[], 3), grant(2, 50, None, 1, &[], 4)]);
    assert_eq!(
        shown(&book.take_back(Nanos::new(5), id(9)).expect("it fits")),
        [row("g1", "issued", 3, None), row("g2", "issued", 2, None)]
    );
    assert_eq!(
        shown(&book.take_back(Nanos::new(5), id(9)).expect("it fits")),
        [row("g2", "issued", 2, None), row("overage", "issued", 3, None)]
    );
}

#[test]
fn accounts_read_as_they_are_written() {
    let accounts = [
        Account::Issued,
        Account::Grant(id(7)),
        Account::Breakage(id(8)),
        Account::Consumed(model("org/model:v1.2")),
        Account::Overage,
        Account::Billed,
    ];
    for account in accounts {
        assert_eq!(account.to_string().parse(), Ok(account));
    }
    for text in ["", "grant", "grant:", "grant:x", "consumed:", "consumed:a b", "other:1", "Issued"] {
        assert!(text.parse::<Account>().is_err(), "{text:?}");
    }
}

#[test]
fn rules_say_what_each_choice_of_models_may_spend() {
    let grants = [
        grant(1, 25, None, 0, &["a"], 10),
        grant(2, 25, Some(500), 0, &["b", "c"], 20),
        grant(3, 50, Some(900), 0, &[], 40),
        grant(4, 25, None, 0, &["z"], 0),
    ];
    let spent = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    let consumed: BTreeMap<_, _> =
        spent.into_iter().map(|(name, nanos)| (model(name), Nanos::new(nanos))).collect();
    let rules = balance_rules(&RuleParts { grants: &grants, consumed: &consumed, room_nanos: 100 });
    let shown: Vec<_> = rules
        .iter()
        .map(|rule| {
            let except: Vec<_> = rule.except.iter().map(ModelName::as_str).collect();
            (except.join(","), rule.limit_nanos, rule.limit_at(at(500)), rule.limit_at(at(900)))
        })
        .collect();
    let expected =
        [("", 180, 160, 120), ("a", 169, 149, 109), ("b,c", 155, 155, 115), ("a,b,c", 144, 144, 104)];
    assert_eq!(shown, expected.map(|(except, one, two, three)| (except.to_owned(), one, two, three)));
    assert_eq!(rules[1].since, Some(id(1)));
    let none = balance_rules(&RuleParts { grants: &[], consumed: &BTreeMap::new(), room_nanos: -3 });
    assert_eq!((none.len(), none[0].limit_nanos), (1, -3));
}

/// All that an act did, by account.
fn sums(transfers: &[Transfer]) -> BTreeMap<Account, i128> {
    let mut sums = BTreeMap::new();
    for transfer in transfers {
        let amount = i128::from(transfer.amount.get());
        *sums.entry(transfer.from.clone()).or_default() -= amount;
        *sums.entry(transfer.to.clone()).or_default() += amount;
    }
    sums
}

fn some_grants() -> impl Strategy<Value = Vec<OpenGrant>> {
    let one = (50_u8..53, proptest::option::of(1_i64..60), 0_i64..5, 0_u64..400, 0_usize..3);
    proptest::collection::vec(one, 0..6).prop_map(|rows| {
        let numbered = rows.into_iter().zip(1..);
        let grant = |((priority, expires, created, left, scope), number): ((u8, _, _, _, usize), u64)| {
            let scopes: [&[&str]; 3] = [&[], &["a"], &["b", "c"]];
            let priority = if scope == 0 { priority } else { priority - 50 };
            grant(number, priority, expires, created, scopes[scope], left)
        };
        numbered.map(grant).collect()
    })
}

fn some_debits() -> impl Strategy<Value = Vec<Debit>> {
    proptest::collection::vec((0_usize..4, 0_i64..60, 0_u64..120), 0..40).prop_map(|rows| {
        let numbered = rows.into_iter().zip(1..);
        numbered
            .map(|((name, started, charge), number)| {
                debit(number, ["a", "b", "c", "d"][name], started, charge)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_nano_is_paid_once_and_no_grant_falls_below_zero(grants in some_grants(), debits in some_debits()) {
        let given: u64 = grants.iter().map(|grant| grant.remaining.get()).sum();
        let mut book = Book::new(grants);
        let transfers = book.draw(&debits).expect("it fits");
        let sums = sums(&transfers);
        prop_assert_eq!(sums.values().sum::<i128>(), 0);
        let consumed = |name| i128::from(debits.iter().filter(|debit| debit.model == model(name)).map(|debit| debit.charge.get()).sum::<u64>());
        for name in ["a", "b", "c", "d"] {
            prop_assert_eq!(sums.get(&Account::Consumed(model(name))).copied().unwrap_or(0), consumed(name));
        }
        let overage = -sums.get(&Account::Overage).copied().unwrap_or(0);
        let left = i128::from(book.remaining().expect("it fits").get());
        let all: i128 = ["a", "b", "c", "d"].into_iter().map(consumed).sum();
        prop_assert_eq!(i128::from(given) - left + overage, all);
        // What is owed is owed because no grant that is left could have paid for it.
        for transfer in transfers.iter().filter(|transfer| transfer.from == Account::Overage) {
            let span = transfer.span.expect("records");
            let last = debits.iter().find(|debit| debit.place.is_some_and(|place| place.sequence == span.last)).expect("it is there");
            prop_assert!(book.grants().iter().all(|grant| grant.remaining.is_zero() || !grant.pays_for(last)));
        }
        // Each record's parts add up to its charge.
        let mut parts: BTreeMap<u64, u64> = BTreeMap::new();
        for transfer in &transfers {
            let span = transfer.span.expect("records");
            let inside = |debit: &&Debit| {
                let place = debit.place.expect("a place");
                Account::Consumed(debit.model.clone()) == transfer.to && place.quarter == span.quarter
                    && (span.first..=span.last).contains(&place.sequence) && !debit.charge.is_zero()
            };
            let mut sum = 0;
            for debit in debits.iter().filter(inside) {
                let sequence = debit.place.expect("a place").sequence;
                let part = match sequence {
                    first if first == span.first => span.first_part.get(),
                    last if last == span.last => span.last_part.get(),
                    _ => debit.charge.get(),
                };
                *parts.entry(sequence).or_default() += part;
                sum += part;
            }
            prop_assert_eq!((sum, debits.iter().filter(inside).count() as u64), (transfer.amount.get(), span.records));
        }
        for debit in debits.iter().filter(|debit| !debit.charge.is_zero()) {
            prop_assert_eq!(parts.get(&debit.place.expect("a place").sequence), Some(&debit.charge.get()));
        }
    }

    #[test]
    fn splitting_debits_into_batches_changes_nothing(grants in some_grants(), debits in some_debits(), cut in 0_usize..40) {
        let mut whole = Book::new(grants.clone());
        let all = whole.draw(&debits).expect("it fits");
        let mut parts = Book::new(grants);
        let (first, second) = debits.split_at(cut.min(debits.len()));
        let mut both = parts.draw(first).expect("it fits");
        both.extend(parts.draw(second).expect("it fits"));
        prop_assert_eq!(sums(&all), sums(&both));
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn the_order_of_debits_changes_nothing_that_is_due(debits in some_debits(), seed in any::<u64>(), left in 0_u64..3_000) {
        // Without expiry, what is for named models first: the same is owed in any order.
        let grants = vec![grant(1, 0, None, 0, &["a"], left / 3), grant(2, 1, None, 0, &["b", "c"], left / 4), grant(3, 50, None, 0, &[], left)];
        let mut shuffled = debits.clone();
        shuffled.sort_by_key(|debit| debit.place.map(|place| place.sequence.wrapping_mul(seed | 1).rotate_left(17)));
        let due = |debits: &[Debit]| {
            let mut book = Book::new(grants.clone());
            let overage = sums(&book.draw(debits).expect("it fits")).get(&Account::Overage).copied().unwrap_or(0);
            (overage, book.grants().iter().map(|grant| grant.remaining).collect::<Vec<_>>())
        };
        prop_assert_eq!(due(&debits), due(&shuffled));
    }

    #[test]
    fn the_rules_allow_exactly_what_grants_can_pay(debits in some_debits(), left in 0_u64..1_500) {
        let grants = vec![grant(1, 0, None, 0, &["a"], left / 3), grant(2, 1, None, 0, &["b", "c"], left / 4), grant(3, 50, None, 0, &[], left)];
        let rules = balance_rules(&RuleParts { grants: &grants, consumed: &BTreeMap::new(), room_nanos: 0 });
        let mut book = Book::new(grants);
        let mut spent: BTreeMap<ModelName, i128> = BTreeMap::new();
        for debit in &debits {
            let asked = i128::from(debit.charge.get());
            let fits = rules.iter().filter(|rule| !rule.except.contains(&debit.model)).all(|rule| {
                let counted = spent.iter().filter(|(model, _)| !rule.except.contains(model)).map(|(_, nanos)| nanos).sum::<i128>();
                counted + asked <= i128::from(rule.limit_nanos)
            });
            let mut tried = book.clone();
            let owes = tried.draw(std::slice::from_ref(debit)).expect("it fits").iter().any(|transfer| transfer.from == Account::Overage);
            prop_assert_eq!(fits, !owes, "{:?}", debit);
            if fits {
                book = tried;
                *spent.entry(debit.model.clone()).or_default() += asked;
            }
        }
    }

    #[test]
    fn when_a_grant_expires_is_told_by_records_not_by_their_coming(debits in some_debits(), late in proptest::collection::vec(any::<bool>(), 40)) {
        // One grant that ends and none after it: what it pays is the same however late its records come.
        let start = || Book::new(vec![grant(1, 50, Some(30), 0, &[], 900)]);
        let mut timely = start();
        let all = sums(&timely.draw(&debits).expect("it fits"));
        timely.expire(at(30)).expect("it fits");
        let mut book = start();
        let (after, before): (Vec<_>, Vec<_>) = debits.iter().cloned().zip(late).partition(|(_, late)| *late);
        let mut transfers = book.draw(&before.into_iter().map(|(debit, _)| debit).collect::<Vec<_>>()).expect("it fits");
        book.expire(at(30)).expect("it fits");
        transfers.extend(book.draw(&after.into_iter().map(|(debit, _)| debit).collect::<Vec<_>>()).expect("it fits"));
        let found = sums(&transfers);
        prop_assert_eq!(found.get(&Account::Overage), all.get(&Account::Overage));
        prop_assert_eq!(book, timely);
    }
}
