//! Who is asking: an API key looked up by its public half and compared in constant time.
//! Never a database on the request's way: a snapshot in memory answers, refreshed beside it.
//! Called first for every authenticated route; admission takes the `Principal` it makes.
//!
//! Long because every reason to refuse a caller has its words, its kind and its code here, side by side.

mod credential;
mod jwt;
pub mod key;
mod operator;
mod place;
mod snapshot;
mod subscription;

use std::sync::Arc;

use arc_swap::ArcSwap;
use billing::{
    credit::BalanceRule,
    ledger::{LimitScope, PlanSchedule, TenantTerms},
    plan::Plan,
    subscription::Terms,
};
use domain::{Fault, KeyId, KeyScope, KeyScopes, ModelName, ProjectId, SloClass, TenantId, Timestamp};
use jiff::tz::TimeZone;
use subtle::ConstantTimeEq as _;

use crate::admit::{Place, Promise};

pub use credential::Credential;
pub use jwt::{Issuers, KeyRefresher};
pub use operator::{OperatorError, OperatorPrincipal};
pub use place::LimitPlace;
use snapshot::TokenProject;
pub use snapshot::{Refresher, Snapshot, SnapshotError};

/// A tenant as requests see it.
#[derive(Debug)]
pub struct Tenant {
    /// Who is billed.
    pub id: TenantId,
    /// The name operators gave it.
    pub name: String,
    /// What its requests cost and which targets they have, over time.
    pub schedule: PlanSchedule,
    /// The calendar its budgets follow.
    pub zone: TimeZone,
    /// What was agreed with it beside its plan.
    pub terms: TenantTerms,
    /// What it is subscribed to: while that is paused, and after its end, every request is refused.
    pub subscriptions: Terms,
    /// What it may spend in all; no rule: it does not pay in advance.
    pub balance: Vec<BalanceRule>,
    /// False: every request is refused.
    pub is_active: bool,
}

/// A key as requests see it.
#[derive(Debug)]
pub struct Key {
    /// The public half.
    pub id: KeyId,
    /// SHA-256 of the secret half.
    pub secret_hash: [u8; 32],
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// The project its usage belongs to.
    pub project_id: Option<ProjectId>,
    /// Where its requests count: the tenant, the projects it is in from the top down, the key itself.
    pub places: Vec<Arc<LimitPlace>>,
    /// What it may be used for.
    pub scopes: KeyScopes,
    /// The only models it may use; `None`: all.
    pub models: Option<Vec<ModelName>>,
    /// The latency class of its requests; `None`: the plan's. May be stricter than the plan's only where the
    /// tenant's terms say so: the plan may have changed since the key was made.
    pub slo_class: Option<SloClass>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// False: switched off or revoked.
    pub is_active: bool,
    /// False: its project, or one above it, is shut.
    pub is_project_active: bool,
}

/// Why a request has no principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// No credential came with the request.
    #[error("no API key was given; send it as \"Authorization: Bearer tg-…\"")]
    NoKey,
    /// The credential is not known, not well formed, or revoked: the caller learns no more than that.
    #[error("the API key is not valid")]
    BadKey,
    /// The secret is right, but the key's time is over.
    #[error("the API key has expired; ask for a new one")]
    KeyExpired,
    /// The key or token may not be used for this.
    #[error("{0} may not be used for this: it lacks the scope {1}")]
    ScopeMissing(Credential, KeyScope),
    /// The project of the key, or one above it, has been disabled.
    #[error("the project of this API key is disabled; ask its operator")]
    ProjectDisabled,
    /// A signed token that is not what it should be: the caller learns no more than that.
    #[error("the token is not valid")]
    BadToken,
    /// A good token whose time is over.
    #[error("the token has expired; get a new one")]
    TokenExpired,
    /// A good token whose time has not come.
    #[error("the token is not valid yet")]
    TokenNotYetValid,
    /// A token of an issuer whose keys could not be read yet.
    #[error("tokens of this issuer cannot be checked at the moment; try again")]
    IssuerAway,
    /// A good token that may be used for nothing here.
    #[error("the token has none of the scopes inference, models:read and usage:read")]
    NoScope,
    /// A good token of a project that its account does not have.
    #[error("the token names no project of this account; ask its operator")]
    NoProject,
    /// A good token of nobody who is billed here.
    #[error("the token names no account here; ask its operator")]
    NoTenant,
    /// The tenant has been disabled.
    #[error("this account is disabled; ask its operator")]
    TenantDisabled,
    /// The tenant's subscription is paused.
    #[error("this account's subscription is paused; ask its operator to resume it")]
    SubscriptionPaused,
    /// The tenant's subscription was cancelled.
    #[error("this account's subscription has ended; ask its operator for another")]
    SubscriptionEnded,
    /// No version of the tenant's plan applies yet.
    #[error("no version of this account's plan applies yet; ask its operator")]
    NoPlan,
}

impl AuthenticateError {
    /// What kind of failure it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::NoKey
            | Self::BadKey
            | Self::KeyExpired
            | Self::BadToken
            | Self::TokenExpired
            | Self::TokenNotYetValid => Fault::Unauthenticated,
            Self::IssuerAway => Fault::Overloaded,
            Self::ScopeMissing(..)
            | Self::ProjectDisabled
            | Self::NoScope
            | Self::NoProject
            | Self::NoTenant
            | Self::TenantDisabled
            | Self::SubscriptionPaused
            | Self::SubscriptionEnded
            | Self::NoPlan => Fault::Forbidden,
        }
    }

    /// The stable code clients see.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoKey => "missing_api_key",
            Self::BadKey => "invalid_api_key",
            Self::KeyExpired => "expired_api_key",
            Self::ProjectDisabled => "project_disabled",
            Self::BadToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::IssuerAway => "issuer_unavailable",
            Self::ScopeMissing(..) | Self::NoScope => "missing_scope",
            Self::NoProject => "unknown_project",
            Self::NoTenant => "unknown_tenant",
            Self::TenantDisabled => "account_disabled",
            Self::SubscriptionPaused => "subscription_paused",
            Self::SubscriptionEnded => "subscription_ended",
            Self::NoPlan => "no_plan",
        }
    }
}

/// Proof that a request carries a good key. Made only here.
#[must_use = "a request without a principal must be refused"]
#[derive(Debug)]
pub struct Principal {
    key: Arc<Key>,
    plan: Arc<Plan>,
}

impl Principal {
    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it was authenticated with.
    pub fn credential(&self) -> Credential {
        Credential::of(&self.key.id)
    }

    /// The tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.key.tenant
    }

    /// The plan version that applies to this request.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan version that applies to this request, to keep.
    pub fn shared_plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What its requests were promised, and what they may change about it.
    pub fn promise(&self) -> Promise {
        let terms = &self.tenant().terms;
        Promise {
            plan: self.plan.slo(),
            key_class: self.key.slo_class,
            allows_stricter: terms.allow_stricter_slo,
            allows_downgrade: terms.allow_slo_downgrade,
        }
    }

    /// Where its requests stand in the tree of limits, outermost first, for a model at a moment.
    pub fn places(&self, model: &ModelName, now: Timestamp) -> Vec<Place> {
        self.key.places.iter().flat_map(|place| place.nodes(self.tenant(), model, now)).collect()
    }

    /// Refuses what the key may not be used for.
    ///
    /// Errors: the scope it lacks.
    pub fn require(&self, scope: KeyScope) -> Result<(), AuthenticateError> {
        match self.key.scopes.has(scope) {
            true => Ok(()),
            false => Err(AuthenticateError::ScopeMissing(self.credential(), scope)),
        }
    }

    /// Whether the key may use the model and the plan prices it.
    pub fn may_use(&self, model: &ModelName) -> bool {
        self.is_listed(model) && (self.is_priced(model) || self.has_embeddings_priced(model))
    }

    /// Whether the key's allow list has the model.
    pub fn is_listed(&self, model: &ModelName) -> bool {
        self.key.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// Whether the tenant's plan has a price for embeddings by the model.
    pub fn has_embeddings_priced(&self, model: &ModelName) -> bool {
        self.plan.sells_embeddings(model)
    }

    /// Whether the tenant's plan has a price for text by the model.
    pub fn is_priced(&self, model: &ModelName) -> bool {
        self.plan.sells(model)
    }
}

/// Answers from the snapshot.
#[derive(Debug)]
pub struct Authenticator {
    snapshot: ArcSwap<Snapshot>,
    issuers: ArcSwap<Issuers>,
}

impl Authenticator {
    /// Starts from a first snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot: ArcSwap::from_pointee(snapshot), issuers: ArcSwap::default() }
    }

    /// The same with issuers of signed tokens.
    #[must_use]
    pub fn with_issuers(self, issuers: Issuers) -> Self {
        Self { issuers: ArcSwap::from_pointee(issuers), ..self }
    }

    /// Whose signed tokens are taken now.
    pub fn issuers(&self) -> Arc<Issuers> {
        self.issuers.load_full()
    }

    /// Takes other issuers; requests under way keep what they were given.
    pub fn replace_issuers(&self, issuers: Issuers) {
        self.issuers.store(Arc::new(issuers));
    }

    /// Takes a newer snapshot; requests under way keep the one they began with.
    pub fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The ledger's revision the answers come from.
    pub fn revision(&self) -> i64 {
        self.snapshot.load().revision()
    }

    /// The principal behind an `Authorization` header.
    ///
    /// Errors: no key; a key that is unknown, switched off or revoked (not told apart); one that has expired (told to
    /// whoever has its secret); a tenant, project or subscription that is closed; no plan at `now`.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<Principal, AuthenticateError> {
        let header = authorization.map(str::trim).filter(|header| !header.is_empty());
        let header = header.ok_or(AuthenticateError::NoKey)?;
        let text = match header.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
            _ => return Err(AuthenticateError::BadKey),
        };
        self.authenticate_key(text, now)
    }

    /// The principal behind a key's text.
    ///
    /// Errors: as [`Self::authenticate`].
    pub fn authenticate_key(&self, text: &str, now: Timestamp) -> Result<Principal, AuthenticateError> {
        if jwt::is_token(text) {
            return self.authenticate_token(text, now);
        }
        let (key_id, secret) = key::parse(text).ok_or(AuthenticateError::BadKey)?;
        let presented = key::hash_secret(secret);
        let snapshot = self.snapshot.load();
        let found = snapshot.key(&key_id);
        // An unknown id is compared as well, so that it takes the time of a known one.
        let stored = found.map_or([0; 32], |key| key.secret_hash);
        let is_same = bool::from(stored.ct_eq(&presented));
        match found {
            Some(key) if is_same && key.is_active => principal(key, now),
            _ => Err(AuthenticateError::BadKey),
        }
    }
}

impl Authenticator {
    /// The principal behind a signed token of an issuer: a key of its own, with what the token allows.
    fn authenticate_token(&self, text: &str, now: Timestamp) -> Result<Principal, AuthenticateError> {
        let identity = self.issuers.load().identify(text, now).map_err(|fault| {
            tracing::debug!(reason = %fault, "signed token refused");
            fault.to_client()
        })?;
        let snapshot = self.snapshot.load();
        let tenant = snapshot.tenant(&identity.tenant).ok_or(AuthenticateError::NoTenant)?;
        let above = snapshot.place_of(tenant.id).ok_or(AuthenticateError::NoTenant)?;
        let project = match &identity.project {
            None => None,
            // A disabled account is told so, whatever its token names.
            Some(_) if !tenant.is_active => None,
            Some(named) => Some(snapshot.project(tenant.id, named).ok_or(AuthenticateError::NoProject)?),
        };
        principal(&Arc::new(token_key(identity, tenant, (above, project))), now)
    }
}

/// What a token stands for among keys: an id of its own, its own limits, and no secret that could be shown again.
fn token_key(
    identity: jwt::Identity,
    tenant: &Arc<Tenant>,
    (above, project): (&Arc<LimitPlace>, Option<TokenProject>),
) -> Key {
    let mut own = LimitPlace::new(LimitScope::Key(identity.key_id.clone()), "token");
    own.limits = identity.limits;
    let (project_id, is_project_active) = match &project {
        Some(project) => (Some(project.id), project.is_open),
        None => (None, true),
    };
    let projects = project.map(|project| project.places).unwrap_or_default();
    Key {
        id: identity.key_id,
        secret_hash: [0; 32],
        tenant: Arc::clone(tenant),
        project_id,
        places: [Arc::clone(above)].into_iter().chain(projects).chain([Arc::new(own)]).collect(),
        scopes: identity.scopes,
        models: identity.models,
        slo_class: None,
        // The token's own time was looked at with its signature.
        expires_at: None,
        is_active: true,
        is_project_active,
    }
}

fn principal(key: &Arc<Key>, now: Timestamp) -> Result<Principal, AuthenticateError> {
    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(AuthenticateError::KeyExpired);
    }
    if !key.tenant.is_active {
        return Err(AuthenticateError::TenantDisabled);
    }
    if !key.is_project_active {
        return Err(AuthenticateError::ProjectDisabled);
    }
    key.tenant.check_subscription(now)?;
    let plan = key.tenant.schedule.plan_at(now).ok_or(AuthenticateError::NoPlan)?;
    Ok(Principal { key: Arc::clone(key), plan: Arc::clone(plan) })
}

#[cfg(test)]
mod tests;
