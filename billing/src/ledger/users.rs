//! People of a tenant: who may look at what, once they sign in.
//! Never a password and never a session: an identity provider says who somebody is.
//! Called by the operators' interface.

use std::{fmt, str::FromStr};

use domain::{TenantId, Timestamp, UserId};
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, error::read_back, raise_revision, sql, tenants};

/// Longest address, as SMTP bounds it. Unit: bytes.
const EMAIL_BYTES_MAX: usize = 254;
/// Longest name an identity provider gives somebody, as OpenID Connect bounds it. Unit: bytes.
const SUBJECT_BYTES_MAX: usize = 255;

/// What a person of a tenant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// Everything of the tenant, other people included.
    Owner,
    /// Keys and projects.
    Developer,
    /// Invoices, grants and usage.
    Billing,
    /// Look at usage.
    Viewer,
}

impl UserRole {
    const ALL: [Self; 4] = [Self::Owner, Self::Developer, Self::Billing, Self::Viewer];

    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Developer => "developer",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is owner, developer, billing or viewer, not {0:?}")]
pub struct UnknownUserRole(String);

impl FromStr for UserRole {
    type Err = UnknownUserRole;

    fn from_str(text: &str) -> Result<Self, UnknownUserRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownUserRole(text.chars().take(80).collect()))
    }
}

/// A person of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// Whose person.
    pub tenant_id: TenantId,
    /// The address, in small letters.
    pub email: String,
    /// What the tenant's identity provider calls the person. `None`: not known yet.
    pub subject: Option<String>,
    /// What the person may do.
    pub role: UserRole,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was shut out.
    pub disabled_at: Option<Timestamp>,
}

/// A person to create.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// The address, which nobody else of the tenant has.
    pub email: &'a str,
    /// What the tenant's identity provider calls the person.
    pub subject: Option<&'a str>,
    /// What the person may do.
    pub role: UserRole,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    user_id: Uuid,
    tenant_id: Uuid,
    email: String,
    subject: Option<String>,
    role: String,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
}

impl User {
    fn from_row(row: UserRow) -> Result<Self, LedgerError> {
        Ok(Self {
            id: UserId::from_uuid(row.user_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            email: row.email,
            subject: row.subject,
            role: read_back("role", &row.role)?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Creates a person of a tenant.
    ///
    /// Errors: no such tenant, a disabled one, an address or subject that is taken or is none.
    pub async fn create_user(
        &self,
        tenant: TenantId,
        new: &NewUser<'_>,
        now: Timestamp,
    ) -> Result<User, LedgerError> {
        let email = email(new.email)?;
        check_subject(new.subject)?;
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        tenants::find_active(&mut transaction, tenant).await?;
        let user = User {
            id: UserId::generate(now),
            tenant_id: tenant,
            email,
            subject: new.subject.map(str::to_owned),
            role: new.role,
            created_at: now,
            disabled_at: None,
        };
        let values = [
            Value::Id(user.id.as_uuid()),
            Value::Id(tenant.as_uuid()),
            Value::Text(&user.email),
            Value::MaybeText(user.subject.as_deref()),
            Value::Text(user.role.as_str()),
            Value::Int(now.unix_micros()),
        ];
        match transaction.execute(sql::INSERT_USER, &values).await {
            Err(error) if error.is_taken() => {
                return Err(LedgerError::Taken { what: "user", name: user.email });
            }
            inserted => inserted?,
        };
        transaction.commit().await?;
        Ok(user)
    }

    /// The first people of a tenant after one, by id and so by age; at most `rows_max`.
    pub async fn users_page(
        &self,
        tenant: TenantId,
        after: Option<UserId>,
        rows_max: usize,
    ) -> Result<Vec<User>, LedgerError> {
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let values = [Value::Id(tenant.as_uuid()), Value::Id(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::USERS_PAGE, &values).await?;
        rows.into_iter().map(User::from_row).collect()
    }

    /// The person of a tenant with this id.
    pub async fn find_user(&self, tenant: TenantId, id: UserId) -> Result<Option<User>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find(&mut transaction, tenant, id).await
    }

    /// Gives a person another role.
    ///
    /// Errors: no such person.
    pub async fn set_user_role(
        &self,
        tenant: TenantId,
        id: UserId,
        role: UserRole,
    ) -> Result<(), LedgerError> {
        let values = [Value::Id(tenant.as_uuid()), Value::Id(id.as_uuid()), Value::Text(role.as_str())];
        self.change_user(sql::SET_USER_ROLE, &values, id).await
    }

    /// Shuts a person out. Doing it twice keeps the first time.
    ///
    /// Errors: no such person.
    pub async fn disable_user(
        &self,
        tenant: TenantId,
        id: UserId,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let values = [Value::Id(tenant.as_uuid()), Value::Id(id.as_uuid()), Value::Int(now.unix_micros())];
        self.change_user(sql::DISABLE_USER, &values, id).await
    }

    /// Lets a person in again.
    ///
    /// Errors: no such person.
    pub async fn enable_user(&self, tenant: TenantId, id: UserId) -> Result<(), LedgerError> {
        let values = [Value::Id(tenant.as_uuid()), Value::Id(id.as_uuid())];
        self.change_user(sql::ENABLE_USER, &values, id).await
    }

    async fn change_user(
        &self,
        statement: super::pool::Statement,
        values: &[Value<'_>],
        id: UserId,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        if transaction.execute(statement, values).await? == 0 {
            return Err(LedgerError::Missing { what: "user", name: id.to_string() });
        }
        transaction.commit().await
    }
}

async fn find(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: UserId,
) -> Result<Option<User>, LedgerError> {
    let values = [Value::Id(tenant.as_uuid()), Value::Id(id.as_uuid())];
    let row = transaction.find(sql::USER, &values).await?;
    row.map(User::from_row).transpose()
}

/// An address in small letters, so that nobody is there twice. Whether it reaches somebody, only a letter shows.
///
/// Errors: it has no name, no host, or characters that no address has.
fn email(text: &str) -> Result<String, LedgerError> {
    let is_plain = |text: &str| {
        !text.is_empty() && !text.chars().any(|one| one.is_control() || one.is_whitespace() || one == '@')
    };
    let is_good = text.len() <= EMAIL_BYTES_MAX
        && text.split_once('@').is_some_and(|(name, host)| is_plain(name) && is_plain(host));
    let lower = text.to_lowercase();
    match is_good && lower.len() <= EMAIL_BYTES_MAX {
        true => Ok(lower),
        false => Err(LedgerError::BadText {
            what: "email",
            allowed: "name@host without spaces, of at most 254 bytes",
        }),
    }
}

fn check_subject(subject: Option<&str>) -> Result<(), LedgerError> {
    let is_good =
        |text: &str| (1..=SUBJECT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    match subject.is_none_or(is_good) {
        true => Ok(()),
        false => Err(LedgerError::BadText { what: "subject", allowed: "1 to 255 printable characters" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_small_letters() {
        let long = format!("{}@example.com", "a".repeat(243));
        let rows = [
            ("Anna@Example.COM", Some("anna@example.com")),
            ("a@b", Some("a@b")),
            ("anna", None),
            ("@example.com", None),
            ("anna@", None),
            ("anna@@example.com", None),
            ("anna b@example.com", None),
            ("anna\0@example.com", None),
            ("", None),
            (long.as_str(), None),
        ];
        for (text, expected) in rows {
            assert_eq!(email(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
