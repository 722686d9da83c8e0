//! Identities: who, which project, which request, which key, which model, which plan version, which journal.
//! Never a secret: the secret half of a key has no type here.
//! Made at the edges (HTTP, command line, SQL rows) and carried unchanged everywhere else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a UUID in its usual form.
    #[error("{kind} must be a UUID")]
    NotUuid {
        /// Which id was expected.
        kind: &'static str,
    },
    /// Empty, too long, or with a character outside the allowed set.
    #[error("{kind} must be 1 to {length_max} characters of {allowed}")]
    BadText {
        /// Which id was expected.
        kind: &'static str,
        /// Longest text accepted, in bytes.
        length_max: usize,
        /// The allowed characters, in words.
        allowed: &'static str,
    },
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id: a UUIDv7 that sorts by the time it was made.
            pub fn generate(now: Timestamp) -> Self {
                let micros = now.unix_micros().unsigned_abs();
                let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
                let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos);
                Self(Uuid::new_v7(timestamp))
            }

            /// When it was made, to the millisecond before. `None`: it is no UUIDv7.
            pub fn made_at(&self) -> Option<Timestamp> {
                if self.0.get_version_num() != 7 {
                    return None;
                }
                let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
                let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
                micros.checked_add(i64::from(nanos / 1_000)).map(Timestamp::from_unix_micros)
            }

            /// Takes an id that was stored as a UUID.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id as a UUID, for storage.
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError::NotUuid { kind: $kind })
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length_max:literal, $allowed:literal, $is_allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a text.
            ///
            /// Errors: [`IdError::BadText`] when it is empty, too long or has other characters.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let is_allowed: fn(char) -> bool = $is_allowed;
                if text.is_empty() || text.len() > $length_max || !text.chars().all(is_allowed) {
                    return Err(IdError::BadText { kind: $kind, length_max: $length_max, allowed: $allowed });
                }
                Ok(Self(text))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

uuid_id!(
    /// One admitted request, from admission to invoice line. UUIDv7, so ids sort by time.
    RequestId,
    "a request id"
);
uuid_id!(
    /// Who is billed.
    TenantId,
    "a tenant id"
);
uuid_id!(
    /// A department or purpose within a tenant, for its own limits, budget and share of the invoice.
    ProjectId,
    "a project id"
);
uuid_id!(
    /// A person of a tenant.
    UserId,
    "a user id"
);
uuid_id!(
    /// An amount of money given to a tenant, or taken back.
    GrantId,
    "a grant id"
);
uuid_id!(
    /// Something that happened, of which somebody may be told.
    EventId,
    "an event id"
);
uuid_id!(
    /// Where somebody is told of events.
    EndpointId,
    "an endpoint id"
);
uuid_id!(
    /// One gateway's journal; the ledger keeps a cursor for each.
    JournalId,
    "a journal id"
);
text_id!(
    /// The public half of an API key, safe to log and to show.
    KeyId,
    "a key id",
    64,
    "letters and digits",
    |c| c.is_ascii_alphanumeric()
);
text_id!(
    /// The name a client asks for a model by.
    ModelName,
    "a model name",
    128,
    "letters, digits and . _ : / -",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-')
);
text_id!(
    /// A plan and the version of it, as `name@version`. A version never changes.
    PlanVersionId,
    "a plan version",
    128,
    "letters, digits and . _ - @",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_sort_by_time() {
        let early = RequestId::generate(Timestamp::from_unix_micros(1_000_000));
        let late = RequestId::generate(Timestamp::from_unix_micros(2_000_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        let made = RequestId::generate(Timestamp::from_unix_micros(1_794_268_800_123_456));
        assert_eq!(made.made_at(), Some(Timestamp::from_unix_micros(1_794_268_800_123_000)));
        assert_eq!(RequestId::from_uuid(Uuid::nil()).made_at(), None);
    }

    #[test]
    fn text_ids_refuse_what_they_do_not_name() {
        let rows = [("demo", true), ("", false), ("a b", false), ("ä", false), ("org/model:v1.2", true)];
        for (text, is_good) in rows {
            assert_eq!(ModelName::new(text).is_ok(), is_good, "{text:?}");
        }
        assert!(ModelName::new("m".repeat(129)).is_err());
        assert!(serde_json::from_str::<KeyId>("\"a-b\"").is_err());
    }
}
