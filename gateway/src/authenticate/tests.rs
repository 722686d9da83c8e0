//! Authentication over snapshots built by hand.
//! Never a ledger; the rows are what it would return.
//! Run by `cargo test -p gateway`.

use std::sync::Arc;

use billing::{
    credit::{BalanceRule, Lapse},
    ledger::{
        AccessSnapshot, BillingMode, Budget, Key as StoredKey, KeyAccess, LimitScope, Limits, PlanSchedule,
        Project, ScopeLimits, SecretHash, Tenant as StoredTenant, TenantAccess, TenantTerms,
    },
    plan::Plan,
    subscription::{Cycle, Event, EventKind, Terms},
};
use domain::{
    BudgetPeriod, Currency, KeyId, KeyScope, KeyScopes, ModelName, Nanos, ProjectId, TenantId, Timestamp,
};
use jiff::tz::TimeZone;

use super::*;
use crate::admit::{AmountKind, AmountLimit};

const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);

struct Case {
    happened: Vec<Event>,
    tenant_disabled: bool,
    key_disabled: bool,
    plans: Vec<Arc<Plan>>,
    models: Option<Vec<ModelName>>,
    scopes: KeyScopes,
    expires_at: Option<Timestamp>,
    billing: BillingMode,
    balance: Vec<BalanceRule>,
    /// From the top down; the key is in the last.
    projects: Vec<Project>,
    /// The key's own are told by `other_key`, as its id is made later.
    limits: Vec<(LimitScope, Option<&'static str>, Limits)>,
}

fn tenant_id() -> TenantId {
    "00000000-0000-7000-8000-000000000077".parse().expect("an id")
}

fn other_key() -> KeyId {
    KeyId::new("thekey").expect("a key id")
}

/// Projects nested in each other, of which those named are shut.
fn nested(names: &[&str], shut: &[&str]) -> Vec<Project> {
    let mut projects: Vec<Project> = Vec::new();
    for (name, depth) in names.iter().zip(1..) {
        let parent = projects.last();
        projects.push(Project {
            id: format!("00000000-0000-7000-8000-{depth:012}").parse().expect("an id"),
            tenant_id: tenant_id(),
            parent_id: parent.map(|parent| parent.id),
            name: (*name).to_owned(),
            path: parent.map_or_else(|| (*name).to_owned(), |parent| format!("{}/{name}", parent.path)),
            depth,
            limits: Limits::default(),
            created_at: NOW,
            disabled_at: shut.contains(name).then_some(NOW),
        });
    }
    projects
}

fn good() -> Case {
    let plan = Arc::new(Plan::demo().expect("the demo plan"));
    Case {
        happened: Vec::new(),
        tenant_disabled: false,
        key_disabled: false,
        plans: vec![plan],
        models: None,
        scopes: KeyScopes::ALL,
        expires_at: None,
        billing: BillingMode::Postpaid,
        balance: Vec::new(),
        projects: Vec::new(),
        limits: Vec::new(),
    }
}

fn authenticator(case: Case) -> (Authenticator, String) {
    let new = key::generate_key().expect("random");
    let tenant = StoredTenant {
        id: tenant_id(),
        name: "acme".to_owned(),
        plan_name: "demo".to_owned(),
        currency: Currency::USD,
        zone: "UTC".to_owned(),
        limits: Limits::default(),
        terms: TenantTerms { billing: case.billing, ..TenantTerms::default() },
        created_at: NOW,
        disabled_at: case.tenant_disabled.then_some(NOW),
    };
    let stored = StoredKey {
        limits_key: new.key_id.clone(),
        id: new.key_id,
        tenant_id: tenant.id,
        name: "k".to_owned(),
        project_id: case.projects.last().map(|project| project.id),
        scopes: case.scopes,
        limits: Limits::default(),
        models_allowed: case.models,
        slo_class: None,
        replaces: None,
        created_at: NOW,
        expires_at: case.expires_at,
        disabled_at: case.key_disabled.then_some(NOW),
        revoked_at: None,
    };
    let limits = case.limits.into_iter().map(|(scope, model, limits)| ScopeLimits {
        tenant_id: tenant.id,
        scope: if scope == LimitScope::Key(other_key()) { LimitScope::Key(stored.id.clone()) } else { scope },
        model: model.map(|name| name.parse().expect("a model")),
        limits,
    });
    let access = AccessSnapshot {
        revision: 1,
        limits: limits.collect(),
        tenants: vec![TenantAccess {
            schedule: PlanSchedule::new(&case.plans, &TimeZone::UTC),
            zone: TimeZone::UTC,
            subscriptions: Terms::of(case.happened),
            balance: case.balance,
            tenant,
        }],
        keys: vec![KeyAccess { key: stored, secret_hash: SecretHash::from_bytes(new.secret_hash) }],
        projects: case.projects,
        plans: case.plans,
        operators: Vec::new(),
    };
    let snapshot = Snapshot::from_access(access).expect("a snapshot");
    (Authenticator::new(snapshot), new.text.reveal().to_owned())
}

fn check(case: Case, header: impl Fn(&str) -> Option<String>, expected: Result<(), AuthenticateError>) {
    let (authenticator, text) = authenticator(case);
    let header = header(&text);
    let found = authenticator.authenticate(header.as_deref(), NOW).map(|principal| {
        assert_eq!(principal.tenant().name, "acme");
    });
    assert_eq!(found, expected, "{header:?}");
}

#[test]
fn headers_are_told_apart() {
    use AuthenticateError::{BadKey, NoKey};
    check(good(), |key| Some(format!("Bearer {key}")), Ok(()));
    check(good(), |key| Some(format!("bearer  {key} ")), Ok(()));
    check(good(), |_| None, Err(NoKey));
    check(good(), |_| Some("  ".to_owned()), Err(NoKey));
    check(good(), |key| Some(key.to_owned()), Err(BadKey));
    check(good(), |key| Some(format!("Basic {key}")), Err(BadKey));
    check(good(), |key| Some(format!("Bearer {key}x")), Err(BadKey));
    check(good(), |key| Some(format!("Bearer {}", &key[..key.len() - 1])), Err(BadKey));
    check(good(), |key| Some(format!("Bearer {}", key.to_uppercase())), Err(BadKey));
    check(good(), |_| Some("Bearer tg-aaaaaaaaaaaa-bbbb".to_owned()), Err(BadKey));
    check(good(), |_| Some("Bearer sk-1234".to_owned()), Err(BadKey));
}

#[test]
fn a_secret_of_zeros_opens_no_unknown_key() {
    let (authenticator, _) = authenticator(good());
    // The stand-in hash for unknown ids is all zeros; no secret hashes to it, and it would not be enough.
    let outcome = authenticator.authenticate(Some("Bearer tg-unknown-0000"), NOW);
    assert_eq!(outcome.map(|_| ()), Err(AuthenticateError::BadKey));
}

#[test]
fn what_is_switched_off_stays_out() {
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    check(Case { key_disabled: true, ..good() }, bearer, Err(AuthenticateError::BadKey));
    check(Case { tenant_disabled: true, ..good() }, bearer, Err(AuthenticateError::TenantDisabled));
    check(Case { plans: Vec::new(), ..good() }, bearer, Err(AuthenticateError::NoPlan));
    let start = EventKind::Start { cycle: Cycle::Calendar, day: jiff::civil::date(2027, 1, 1), trial: None };
    let rows = [
        (vec![], Ok(())),
        (vec![EventKind::Pause], Err(AuthenticateError::SubscriptionPaused)),
        (vec![EventKind::Pause, EventKind::Resume], Ok(())),
        (vec![EventKind::Cancel], Err(AuthenticateError::SubscriptionEnded)),
    ];
    for (then, expected) in rows {
        let kinds = [start.clone()].into_iter().chain(then).zip(-9..);
        let event = |(kind, micros): (EventKind, i64)| Event {
            at: Timestamp::from_unix_micros(NOW.unix_micros() + micros),
            kind,
        };
        check(Case { happened: kinds.map(event).collect(), ..good() }, bearer, expected);
    }
    for shut in [["a"], ["b"], ["c"]] {
        let case = Case { projects: nested(&["a", "b", "c"], &shut), ..good() };
        check(case, bearer, Err(AuthenticateError::ProjectDisabled));
    }
    check(Case { projects: nested(&["a", "b", "c"], &[]), ..good() }, bearer, Ok(()));
}

#[test]
fn a_key_ends_at_its_expiry() {
    let at = |micros: i64| Some(Timestamp::from_unix_micros(NOW.unix_micros() + micros));
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    check(Case { expires_at: at(1), ..good() }, bearer, Ok(()));
    for micros in [0, -1] {
        let case = || Case { expires_at: at(micros), ..good() };
        check(case(), bearer, Err(AuthenticateError::KeyExpired));
        // Whoever has not its secret learns nothing of it, nor does anybody of one that is switched off.
        check(case(), |key| Some(format!("Bearer {key}x")), Err(AuthenticateError::BadKey));
        check(Case { key_disabled: true, ..case() }, bearer, Err(AuthenticateError::BadKey));
    }
}

#[test]
fn scopes_bound_what_a_key_opens() {
    let scopes = KeyScopes::new([KeyScope::ModelsRead]).expect("one");
    let (authenticator, text) = authenticator(Case { scopes, ..good() });
    let principal = authenticator.authenticate(Some(&format!("Bearer {text}")), NOW).expect("good");
    assert_eq!(principal.require(KeyScope::ModelsRead), Ok(()));
    let error = principal.require(KeyScope::Inference).expect_err("not in its scopes");
    assert_eq!((error.code(), error.fault()), ("missing_scope", Fault::Forbidden));
}

fn rule(except: &[&str], limit_nanos: i64, lapses: &[(i64, i64)]) -> BalanceRule {
    let lapse =
        |&(at, nanos): &(i64, i64)| Lapse { at: Timestamp::from_unix_micros(NOW.unix_micros() + at), nanos };
    BalanceRule {
        except: except.iter().map(|name| name.parse().expect("a model")).collect(),
        since: None,
        limit_nanos,
        lapses: lapses.iter().map(lapse).collect(),
    }
}

#[test]
fn credit_for_some_models_counts_for_them_alone_and_none_after_its_end() {
    let balance = vec![rule(&[], 100, &[(-1, 30), (0, 20), (1, 10)]), rule(&["demo"], 40, &[])];
    let (authenticator, text) = authenticator(Case { billing: BillingMode::Prepaid, balance, ..good() });
    let principal = authenticator.authenticate(Some(&format!("Bearer {text}")), NOW).expect("good");
    let shown = |model: &str| -> Vec<_> {
        let places = principal.places(&ModelName::new(model).expect("a name"), NOW).into_iter();
        let place = |place: Place| {
            let amounts: Vec<_> = place.node.limits.amounts.iter().map(|amount| amount.limit_nanos).collect();
            (place.node.id.to_string(), place.except.len(), amounts)
        };
        places.map(place).filter(|(id, ..)| id.starts_with('t')).collect()
    };
    // What has lapsed counts as unused until the ledger has booked it.
    assert_eq!(shown("demo"), [("t".to_owned(), 0, vec![50])]);
    assert_eq!(shown("other"), [("t".to_owned(), 0, vec![50]), ("t|x:demo|".to_owned(), 1, vec![40])]);
}

#[test]
fn places_go_from_the_tenant_to_the_key() {
    let limited = |concurrency| Limits { concurrency: Some(concurrency), ..Limits::default() };
    let projects = nested(&["a", "b"], &[]);
    let (a, b) = (projects[0].id, projects[1].id);
    let budget = Budget { amount: Nanos::new(5), period: BudgetPeriod::Day };
    let limits = vec![
        (LimitScope::Tenant, None, limited(9)),
        (LimitScope::Tenant, Some("demo"), limited(8)),
        (LimitScope::Project(b), None, Limits { budget: Some(budget), ..limited(7) }),
        (LimitScope::Key(other_key()), Some("other"), limited(6)),
        (LimitScope::Project(ProjectId::generate(NOW)), None, limited(1)),
    ];
    let balance = vec![rule(&[], 1_234, &[])];
    let case = Case { projects, limits, billing: BillingMode::Prepaid, balance, ..good() };
    let (authenticator, text) = authenticator(case);
    let principal = authenticator.authenticate(Some(&format!("Bearer {text}")), NOW).expect("good");
    let key = &principal.key().id;
    let shown = |model: &str| -> Vec<_> {
        let model = ModelName::new(model).expect("a name");
        let places = principal.places(&model, NOW).into_iter();
        places.map(|place| (place.node.id.to_string(), place.node.limits.concurrency)).collect()
    };
    let row = |id: String, concurrency| (id, concurrency);
    let above = [
        row("t".to_owned(), Some(9)),
        row(format!("p:{a}"), None),
        row(format!("p:{b}"), Some(7)),
        row(format!("k:{key}"), None),
    ];
    let mut demo = above.to_vec();
    demo.insert(1, row("t|m:demo".to_owned(), Some(8)));
    assert_eq!(shown("demo"), demo);
    let mut other = above.to_vec();
    other.push(row(format!("k:{key}|m:other"), Some(6)));
    assert_eq!(shown("other"), other);
    assert_eq!(shown("third"), above);
    let places = principal.places(&ModelName::new("third").expect("a name"), NOW);
    let amounts: Vec<_> = places.iter().flat_map(|place| place.node.limits.amounts.clone()).collect();
    let at = |instant: &str| {
        let instant: jiff::Timestamp = instant.parse().expect("an instant");
        Timestamp::from_unix_micros(instant.as_microsecond())
    };
    let balance = AmountLimit {
        kind: AmountKind::Balance,
        window_start: Timestamp::from_unix_micros(0),
        limit_nanos: 1_234,
        resets_at: None,
    };
    let day = AmountLimit {
        kind: AmountKind::Budget,
        window_start: at("2027-01-15T00:00:00Z"),
        limit_nanos: 5,
        resets_at: Some(at("2027-01-16T00:00:00Z")),
    };
    assert_eq!(amounts, [balance, day]);
    assert_eq!(places[2].node.scope.to_string(), "project a/b");
    assert_eq!(principal.key().project_id, Some(b));
}

#[test]
fn allow_lists_and_prices_bound_the_models() {
    let demo = ModelName::new("demo").expect("a name");
    let other = ModelName::new("other").expect("a name");
    for (models, may_demo) in
        [(None, true), (Some(vec![other.clone()]), false), (Some(vec![demo.clone()]), true)]
    {
        let (authenticator, text) = authenticator(Case { models, ..good() });
        let principal = authenticator.authenticate(Some(&format!("Bearer {text}")), NOW).expect("good");
        assert_eq!(principal.may_use(&demo), may_demo);
        assert!(!principal.may_use(&other), "the demo plan prices demo only");
    }
}
