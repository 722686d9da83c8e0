//! What a key may be: its name, models, latency class, project and end.
//! Never a change: it only refuses.
//! Called where keys are created, changed and replaced.

use domain::{ModelName, ProjectId, SloClass, TenantId, Timestamp};

use super::{LedgerError, Tenant, Transaction, plans, projects};

/// Longest name a person gives a key.
const KEY_NAME_LENGTH_MAX: usize = 100;
/// Models in a key's list: more than any gateway serves.
const MODELS_ALLOWED_MAX: usize = 100;

pub(super) fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), LedgerError> {
    match expires_at.filter(|expires_at| *expires_at <= now) {
        Some(expires_at) => Err(LedgerError::BadExpiry { expires_at, now }),
        None => Ok(()),
    }
}

/// A stricter class than the plan's is promised only where the tenant may have it.
pub(super) async fn check_class(
    transaction: &mut Transaction,
    owner: &Tenant,
    class: Option<SloClass>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Some(class) = class.filter(|_| !owner.terms.allow_stricter_slo) else { return Ok(()) };
    let plan = plans::schedule_of(transaction, owner).await?;
    match plan.plan_at(now).map(|plan| plan.slo().class) {
        Some(plan_class) if class < plan_class => Err(LedgerError::StricterClass { class, plan_class }),
        _ => Ok(()),
    }
}

pub(super) async fn check_project(
    transaction: &mut Transaction,
    tenant: TenantId,
    project: Option<ProjectId>,
) -> Result<(), LedgerError> {
    let Some(id) = project else { return Ok(()) };
    let all = projects::of(transaction, Some(tenant)).await?;
    let missing = || LedgerError::Missing { what: "project", name: id.to_string() };
    let project = all.iter().find(|project| project.id == id).ok_or_else(missing)?;
    match projects::closed(project, &all) {
        Some(closed) => Err(LedgerError::Disabled { what: "project", name: closed.path.clone() }),
        None => Ok(()),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), LedgerError> {
    let length = name.chars().count();
    if !(1..=KEY_NAME_LENGTH_MAX).contains(&length) || name.chars().any(char::is_control) {
        let name = name.chars().take(KEY_NAME_LENGTH_MAX).collect();
        return Err(LedgerError::BadName { what: "key", name, allowed: "1 to 100 printable characters" });
    }
    Ok(())
}

/// No model name holds a comma.
pub(super) fn models_column(models: Option<&[ModelName]>) -> Result<Option<String>, LedgerError> {
    let Some(models) = models else { return Ok(None) };
    if models.is_empty() || models.len() > MODELS_ALLOWED_MAX {
        return Err(LedgerError::BadModelList(MODELS_ALLOWED_MAX));
    }
    Ok(Some(models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(",")))
}
