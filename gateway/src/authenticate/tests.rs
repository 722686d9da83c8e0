//! Authentication over snapshots built by hand.
//! Never a ledger; the rows are what it would return.
//! Run by `cargo test -p gateway`.

use std::sync::Arc;

use billing::{
    ledger::{
        AccessSnapshot, Key as StoredKey, KeyAccess, Limits, PlanSchedule, SecretHash,
        Tenant as StoredTenant, TenantAccess,
    },
    plan::Plan,
};
use domain::{Currency, ModelName, TenantId, Timestamp};
use jiff::tz::TimeZone;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);

struct Case {
    tenant_disabled: bool,
    key_disabled: bool,
    plans: Vec<Arc<Plan>>,
    models: Option<Vec<ModelName>>,
}

fn good() -> Case {
    let plan = Arc::new(Plan::demo().expect("the demo plan"));
    Case { tenant_disabled: false, key_disabled: false, plans: vec![plan], models: None }
}

fn authenticator(case: Case) -> (Authenticator, String) {
    let new = key::generate_key().expect("random");
    let tenant = StoredTenant {
        id: TenantId::generate(NOW),
        name: "acme".to_owned(),
        plan_name: "demo".to_owned(),
        currency: Currency::USD,
        zone: "UTC".to_owned(),
        limits: Limits::default(),
        created_at: NOW,
        disabled_at: case.tenant_disabled.then_some(NOW),
    };
    let stored = StoredKey {
        id: new.key_id,
        tenant_id: tenant.id,
        name: "k".to_owned(),
        limits: Limits::default(),
        models_allowed: case.models,
        created_at: NOW,
        disabled_at: case.key_disabled.then_some(NOW),
    };
    let access = AccessSnapshot {
        revision: 1,
        tenants: vec![TenantAccess { schedule: PlanSchedule::new(&case.plans, &TimeZone::UTC), tenant }],
        keys: vec![KeyAccess { key: stored, secret_hash: SecretHash::from_bytes(new.secret_hash) }],
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
