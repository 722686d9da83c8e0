//! What the settings of an `[[issuer]]` must keep together, so that no token is refused or let in by a slip.
//! Never a tenant or a project: those are in the ledger, and may come later.
//! Called by `rules`.

use std::collections::HashSet;

use domain::KeyScope;

use super::{
    Config, ConfigError, ISSUERS_MAX, Issuer, private_url,
    sources::{Sources, field},
};

/// Roles that one issuer may give a meaning; more is a mistake.
const ROLES_MAX: usize = 100;

/// A setting below the issuer, and what is wrong with it.
type Fault = (Vec<String>, String);

/// Errors: the first rule that is broken, with the place of a setting that breaks it.
pub(super) fn check(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    if config.issuers.len() > ISSUERS_MAX {
        return Err(
            sources.fault(&[field(["issuer"])], format!("at most {ISSUERS_MAX} [[issuer]] are taken"))
        );
    }
    let mut names = HashSet::new();
    for (index, issuer) in config.issuers.iter().enumerate() {
        let twice = (!names.insert(&issuer.issuer)).then(|| fault("issuer", "the issuer stands here twice"));
        let found = twice.or_else(|| whose(issuer)).or_else(|| keys(issuer)).or_else(|| rights(issuer));
        if let Some((names, reason)) = found {
            let mut way = field(["issuer", &index.to_string()]);
            way.extend(names);
            return Err(sources.fault(&[way], format!("issuer {}: {reason}", issuer.issuer)));
        }
    }
    Ok(())
}

fn fault(name: &str, reason: &str) -> Fault {
    (vec![name.to_owned()], reason.to_owned())
}

/// Each issuer gives one tenant.
fn whose(issuer: &Issuer) -> Option<Fault> {
    match (&issuer.tenant, &issuer.tenant_claim) {
        (None, None) => Some(fault("issuer", "either tenant or tenant_claim is needed")),
        (Some(_), Some(_)) => Some(fault("tenant", "tenant and tenant_claim exclude each other")),
        _ if issuer.required_claims.iter().any(String::is_empty) => {
            Some(fault("required_claims", "a claim's name must not be empty"))
        }
        _ => None,
    }
}

/// Its keys are read from one place, where nobody can put others.
fn keys(issuer: &Issuer) -> Option<Fault> {
    if issuer.algorithms.is_empty() {
        return Some(fault("algorithms", "at least one algorithm is needed"));
    }
    match (&issuer.jwks_file, &issuer.jwks_url) {
        (Some(_), Some(_)) => Some(fault("jwks_url", "jwks_file and jwks_url exclude each other")),
        (None, Some(url)) if private_url(url).is_none() => {
            Some(fault("jwks_url", "keys are read over https, or http on this machine"))
        }
        (None, None) if private_url(&issuer.issuer).is_none() => Some(fault(
            "issuer",
            "without jwks_file and jwks_url it must be an https address, or http on this machine, for discovery",
        )),
        _ => None,
    }
}

/// What its tokens may be used for is said in one way, and is something.
fn rights(issuer: &Issuer) -> Option<Fault> {
    if issuer.models.as_ref().is_some_and(Vec::is_empty) {
        return Some(fault("models", "at least one model is needed; leave it out for all"));
    }
    let has_claim = issuer.scopes_claim.is_some() || issuer.roles_claim.is_some();
    match (&issuer.scopes_claim, &issuer.roles_claim) {
        (Some(_), Some(_)) => {
            return Some(fault("roles_claim", "scopes_claim and roles_claim exclude each other"));
        }
        (_, Some(_)) if issuer.roles.is_empty() => {
            return Some(fault("roles_claim", "roles is needed: what each role may be used for"));
        }
        (_, None) if !issuer.roles.is_empty() => {
            return Some(fault("roles", "roles_claim is needed: where a token has its roles"));
        }
        _ if issuer.roles.len() > ROLES_MAX => {
            return Some(fault("roles", "at most 100 roles are taken"));
        }
        _ => {}
    }
    if issuer.default_scopes.is_some() && !has_claim {
        let reason = "it belongs to scopes_claim or roles_claim; scopes says it for every token";
        return Some(fault("default_scopes", reason));
    }
    let lists = [("scopes", Some(&issuer.scopes)), ("default_scopes", issuer.default_scopes.as_ref())];
    let listed = lists.into_iter().filter_map(|(name, list)| Some((vec![name.to_owned()], list?)));
    let roles = issuer.roles.iter().map(|(role, list)| (vec!["roles".to_owned(), role.clone()], list));
    listed.chain(roles).find_map(|(names, list)| Some((names, wrong_scopes(list)?)))
}

fn wrong_scopes(scopes: &[String]) -> Option<String> {
    if scopes.is_empty() {
        return Some("at least one scope is needed".to_owned());
    }
    let wrong = scopes.iter().find(|scope| scope.parse::<KeyScope>().is_err())?;
    let wrong: String = wrong.chars().take(80).collect();
    Some(format!("a scope must be inference, models:read or usage:read, not {wrong:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    /// An issuer with more lines, the fifth and those after.
    fn issuer(more: &str) -> String {
        let usual = "issuer = \"https://login.example.com\"\naudience = [\"x\"]\ntenant = \"t\"";
        format!("[[issuer]]\n{usual}\n{more}\n")
    }

    /// Where the fault is, and how its reason begins.
    fn refuses(rows: &[(String, &str, &str)]) {
        for (file, place, reason) in rows {
            let found = check(file, &[]).expect_err(file);
            let rest = found.strip_prefix(&format!("FILE:{place}: "));
            let told = rest.map(|rest| rest.split_once(".com: ").map_or(rest, |(_, told)| told));
            assert!(
                told.is_some_and(|told| told.starts_with(reason)),
                "{file}\n  {found}\n  {place}: {reason}"
            );
        }
    }

    #[test]
    fn bad_issuers_are_named_with_their_place() {
        refuses(&[
            (issuer("x = 1"), "5:1", "unknown field `x`"),
            (issuer("tenant_claim = \"org\""), "4:10", "tenant and tenant_claim exclude each other"),
            (issuer("jwks_url = \"http://keys.example.net\""), "5:12", "keys are read over https"),
            (issuer("jwks_file = \"a\"\njwks_url = \"https://b\""), "6:12", "jwks_file and jwks_url exclude"),
            (issuer("algorithms = []"), "5:14", "at least one algorithm"),
            (issuer("algorithms = [\"HS256\"]"), "5:15", "unknown variant `HS256`"),
            (issuer("algorithms = [\"none\"]"), "5:15", "unknown variant `none`"),
            (issuer("leeway_seconds = 601"), "5:18", "601 is not between 0 and 600"),
            (issuer("required_claims = [\"\"]"), "5:19", "a claim's name must not be empty"),
            (issuer("project = \"\""), "5:11", "a text of 1 to 2048"),
            (issuer("project_claim = 7"), "5:17", "invalid type: integer `7`"),
            (issuer("").repeat(2), "7:10", "the issuer stands here twice"),
            (issuer("").replace("https://", "http://"), "2:10", "without jwks_file and jwks_url"),
            (issuer("").replace("tenant = \"t\"\n", ""), "2:10", "either tenant or tenant_claim"),
        ]);
    }

    #[test]
    fn bad_rights_of_issuers_are_named_with_their_place() {
        let agent = "{ a = [\"inference\"] }";
        let roles = |roles: &str| issuer(&format!("roles_claim = \"roles\"\nroles = {roles}"));
        let both = format!("scopes_claim = \"scope\"\nroles_claim = \"roles\"\nroles = {agent}");
        refuses(&[
            (issuer("scopes = []"), "5:10", "at least one scope is needed"),
            (issuer("scopes = [\"admin\"]"), "5:10", "a scope must be inference"),
            (issuer("models = []"), "5:10", "at least one model"),
            (issuer("roles_claim = \"roles\""), "5:15", "roles is needed"),
            (issuer(&format!("roles = {agent}")), "5:9", "roles_claim is needed"),
            (issuer(&both), "6:15", "scopes_claim and roles_claim exclude each other"),
            (roles("{ a = [\"inference\"], b = [\"root\"] }"), "6:34", "a scope must be inference"),
            (roles("{ a = [] }"), "6:15", "at least one scope is needed"),
            (issuer("default_scopes = [\"inference\"]"), "5:18", "it belongs to scopes_claim or roles_claim"),
        ]);
        let good = roles(&format!("{agent}\nproject_claim = \"p\"\ndefault_scopes = [\"usage:read\"]"));
        assert!(check(&good, &[]).is_ok(), "{:?}", check(&good, &[]));
    }
}
