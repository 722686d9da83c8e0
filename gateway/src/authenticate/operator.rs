//! Who may use the admin API: an operator's token, compared in constant time with every operator's hash.
//! Never a tenant's key, and an operator's token never opens a tenant's route.
//! Called by the admin listener before any of its routes.

use std::fmt;

use billing::ledger::{Operator, OperatorRole};
use domain::Fault;
use subtle::{Choice, ConstantTimeEq as _};

use super::{Authenticator, Snapshot, key};

/// Why a request to the admin API has no operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// No credential came with the request.
    #[error("no operator token was given; send it as \"Authorization: Bearer tgop-…\"")]
    NoToken,
    /// The credential is not known, not well formed, or disabled: the caller learns no more than that.
    #[error("the operator token is not valid")]
    BadToken,
    /// The operator may read only.
    #[error("this operator may read and not change anything")]
    ReadOnly,
    /// The operator may send usage events only.
    #[error("this operator may send usage events and do nothing else")]
    EventsOnly,
}

impl OperatorError {
    /// What kind of failure it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::NoToken | Self::BadToken => Fault::Unauthenticated,
            Self::ReadOnly | Self::EventsOnly => Fault::Forbidden,
        }
    }

    /// The stable code clients see.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoToken => "missing_operator_token",
            Self::BadToken => "invalid_operator_token",
            Self::ReadOnly => "operator_read_only",
            Self::EventsOnly => "operator_events_only",
        }
    }
}

/// Proof that a request carries a good operator token. Made only here.
#[must_use = "a request without an operator must be refused"]
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorPrincipal {
    name: String,
    role: OperatorRole,
}

impl fmt::Debug for OperatorPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorPrincipal({}, {})", self.name, self.role)
    }
}

impl OperatorPrincipal {
    /// The name the audit log shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Errors: the operator may only read, or only send usage events.
    pub fn check_may_change(&self) -> Result<(), OperatorError> {
        match self.role {
            OperatorRole::Admin => Ok(()),
            OperatorRole::ReadOnly => Err(OperatorError::ReadOnly),
            OperatorRole::Events => Err(OperatorError::EventsOnly),
        }
    }

    /// Errors: the operator may only send usage events.
    pub fn check_may_read(&self) -> Result<(), OperatorError> {
        match self.role {
            OperatorRole::Admin | OperatorRole::ReadOnly => Ok(()),
            OperatorRole::Events => Err(OperatorError::EventsOnly),
        }
    }

    /// Errors: the operator may only read.
    pub fn check_may_send_events(&self) -> Result<(), OperatorError> {
        match self.role {
            OperatorRole::Admin | OperatorRole::Events => Ok(()),
            OperatorRole::ReadOnly => Err(OperatorError::ReadOnly),
        }
    }
}

impl Authenticator {
    /// The operator behind an `Authorization` header.
    ///
    /// Errors: no token, one that is unknown or disabled (not told apart), a tenant's key.
    pub fn authenticate_operator(
        &self,
        authorization: Option<&str>,
    ) -> Result<OperatorPrincipal, OperatorError> {
        let header = authorization.map(str::trim).filter(|header| !header.is_empty());
        let header = header.ok_or(OperatorError::NoToken)?;
        match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                find(&self.snapshot.load(), token.trim()).ok_or(OperatorError::BadToken)
            }
            _ => Err(OperatorError::BadToken),
        }
    }
}

/// Looks at every operator, so that the time taken says nothing about which one came near.
fn find(snapshot: &Snapshot, token: &str) -> Option<OperatorPrincipal> {
    let (token_id, secret) = key::parse_operator_token(token)?;
    let presented = key::hash_secret(secret);
    let mut found = None;
    for operator in snapshot.operators() {
        let is_open = operator.disabled_at.is_none();
        let is_named = operator.token_id.as_ref().is_none_or(|id| *id == token_id);
        let is_same = operator.secret_hash.as_bytes().ct_eq(&presented);
        if bool::from(is_same & Choice::from(u8::from(is_open)) & Choice::from(u8::from(is_named))) {
            found = Some(principal(operator));
        }
    }
    found
}

fn principal(operator: &Operator) -> OperatorPrincipal {
    OperatorPrincipal { name: operator.name.clone(), role: operator.role }
}

#[cfg(test)]
mod tests {
    use billing::ledger::{AccessSnapshot, SecretHash};
    use domain::Timestamp;

    use super::*;
    use crate::authenticate::AuthenticateError;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);

    /// An authenticator with one operator, and its token.
    fn with(change: impl Fn(&mut Operator)) -> (Authenticator, String) {
        let new = key::generate_operator_token().expect("random");
        let mut operator = Operator {
            name: "anna".to_owned(),
            token_id: Some(new.key_id.clone()),
            secret_hash: SecretHash::from_bytes(new.secret_hash),
            role: OperatorRole::Admin,
            created_at: NOW,
            disabled_at: None,
        };
        change(&mut operator);
        let access = AccessSnapshot {
            limits: Vec::new(),
            projects: Vec::new(),
            revision: 1,
            tenants: Vec::new(),
            keys: Vec::new(),
            plans: Vec::new(),
            operators: vec![operator],
        };
        let snapshot = Snapshot::from_access(access).expect("a snapshot");
        (Authenticator::new(snapshot), new.text.reveal().to_owned())
    }

    #[test]
    fn only_the_whole_token_opens() {
        use OperatorError::{BadToken, NoToken};
        let (authenticator, token) = with(|_| {});
        let other_id = format!("tgop-aaaaaaaaaaaa-{}", token.rsplit('-').next().unwrap_or_default());
        let rows = [
            (Some(format!("Bearer {token}")), Ok("anna".to_owned())),
            (Some(format!("bearer  {token} ")), Ok("anna".to_owned())),
            (None, Err(NoToken)),
            (Some("  ".to_owned()), Err(NoToken)),
            (Some(token.clone()), Err(BadToken)),
            (Some(format!("Basic {token}")), Err(BadToken)),
            (Some(format!("Bearer {token}x")), Err(BadToken)),
            (Some(format!("Bearer {}", &token[..token.len() - 1])), Err(BadToken)),
            (Some(format!("Bearer {}", token.to_uppercase())), Err(BadToken)),
            (Some(format!("Bearer {}", token.replacen("tgop-", "tg-", 1))), Err(BadToken)),
            (Some(format!("Bearer {other_id}")), Err(BadToken)),
            (Some("Bearer tgop--".to_owned()), Err(BadToken)),
            (Some("Bearer \u{fffd}".to_owned()), Err(BadToken)),
        ];
        for (header, expected) in rows {
            let found = authenticator.authenticate_operator(header.as_deref());
            assert_eq!(found.map(|operator| operator.name().to_owned()), expected, "{header:?}");
        }
    }

    #[test]
    fn neither_credential_opens_the_others_door() {
        let (authenticator, token) = with(|_| {});
        let as_key = authenticator.authenticate(Some(&format!("Bearer {token}")), NOW);
        assert_eq!(as_key.map(|_| ()), Err(AuthenticateError::BadKey));
        let key = key::generate_key().expect("random");
        let as_token = authenticator.authenticate_operator(Some(&format!("Bearer {}", key.text.reveal())));
        assert_eq!(as_token, Err(OperatorError::BadToken));
    }

    #[test]
    fn a_disabled_operator_stays_out_and_a_reader_reads() {
        let (authenticator, token) = with(|operator| operator.disabled_at = Some(NOW));
        let header = format!("Bearer {token}");
        assert_eq!(authenticator.authenticate_operator(Some(&header)), Err(OperatorError::BadToken));
        let (authenticator, token) = with(|operator| operator.role = OperatorRole::ReadOnly);
        let header = format!("Bearer {token}");
        let reader = authenticator.authenticate_operator(Some(&header)).expect("a good token");
        assert_eq!(reader.check_may_change(), Err(OperatorError::ReadOnly));
        assert_eq!(reader.check_may_send_events(), Err(OperatorError::ReadOnly));
        let (authenticator, token) = with(|operator| operator.role = OperatorRole::Events);
        let header = format!("Bearer {token}");
        let sender = authenticator.authenticate_operator(Some(&header)).expect("a good token");
        let found = [sender.check_may_send_events(), sender.check_may_read(), sender.check_may_change()];
        assert_eq!(found, [Ok(()), Err(OperatorError::EventsOnly), Err(OperatorError::EventsOnly)]);
        // From before public halves were kept.
        let (authenticator, token) = with(|operator| operator.token_id = None);
        let header = format!("Bearer {token}");
        let operator = authenticator.authenticate_operator(Some(&header)).expect("a good token");
        assert_eq!(operator.check_may_change(), Ok(()));
    }
}
