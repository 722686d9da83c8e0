//! Keeping responses: stored once their record is durable, found again by their tenant alone.
//! Never fails an answer: one that could not be stored says so.
//! Called by the route and the events of responses.

use std::time::Duration;

use billing::ledger::{Ledger, RESPONSE_BYTES_MAX, StoredResponse};
use domain::{TenantId, Timestamp};
use serde_json::Value;

use super::items::invalid;
use crate::http::ApiError;

/// Longest wait for the ledger: an answer is not held back for longer.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Longest id behind `resp_`: a request's.
const ID_BYTES_MAX: usize = 36;
/// Room for the answer beside what was said before. Unit: bytes.
const ANSWER_BYTES: usize = 256 * 1_024;

/// Where and for how long a tenant's responses are kept.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) ledger: Ledger,
    pub(super) tenant: TenantId,
    pub(super) created_at: Timestamp,
    pub(super) retention: Duration,
    /// What was said up to the answer; `None` when the client wants nothing kept.
    pub(super) conversation: Option<Vec<Value>>,
}

impl Keeper {
    /// Errors: too much was said to be stored.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let Some(conversation) = &self.conversation else { return Ok(()) };
        let bytes = serde_json::to_string(conversation).map_or(usize::MAX, |text| text.len());
        match bytes <= RESPONSE_BYTES_MAX - ANSWER_BYTES {
            true => Ok(()),
            false => {
                let why =
                    format!("a conversation of {bytes} bytes is too large to be stored; send store: false");
                Err(invalid("store", &why))
            }
        }
    }

    /// Stores an ended response and gives it as it is told: `store` says whether it was.
    pub(super) async fn keep(self, mut response: Value) -> Value {
        let Self { ledger, tenant, created_at, retention, conversation } = self;
        let Some(mut conversation) = conversation else { return response };
        if let Some(output) = response["output"].as_array() {
            conversation.extend(output.iter().cloned());
        }
        let id = response["id"].as_str().unwrap_or_default().to_owned();
        let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let stored = StoredResponse {
            id: id.clone(),
            body: response.to_string(),
            conversation: Value::Array(conversation).to_string(),
            created_at,
            expires_at: Timestamp::from_unix_micros(created_at.unix_micros().saturating_add(micros)),
        };
        let kept = tokio::time::timeout(WAIT_MAX, ledger.store_response(tenant, &stored)).await;
        match kept {
            Ok(Ok(())) => return response,
            Ok(Err(error)) => tracing::error!(response.id = id, %error, "response not stored"),
            Err(_) => tracing::error!(response.id = id, "response not stored in time"),
        }
        response["store"] = Value::Bool(false);
        response
    }
}

/// A stored response of this tenant.
///
/// Errors: the ledger does not answer.
pub(super) async fn find(
    ledger: &Ledger,
    tenant: TenantId,
    id: &str,
    now: Timestamp,
) -> Result<Option<StoredResponse>, ApiError> {
    if !is_id(id) {
        return Ok(None);
    }
    wait(ledger.find_response(tenant, id, now)).await
}

/// Deletes a stored response of this tenant, and says whether there was one.
///
/// Errors: the ledger does not answer.
pub(super) async fn delete(
    ledger: &Ledger,
    tenant: TenantId,
    id: &str,
    now: Timestamp,
) -> Result<bool, ApiError> {
    if !is_id(id) {
        return Ok(false);
    }
    wait(ledger.delete_response(tenant, id, now)).await
}

/// Whether it could be an id of ours: nothing else needs to be looked up, and not every text can be.
fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    id.strip_prefix("resp_")
        .is_some_and(|id| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_plain))
}

/// Waits for the ledger, for a while.
///
/// Errors: it fails or takes too long.
async fn wait<T>(
    answer: impl Future<Output = Result<T, billing::ledger::LedgerError>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(WAIT_MAX, answer).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "stored responses not read");
            Err(ApiError::unstored())
        }
        Err(_) => Err(ApiError::unstored()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_ours_are_looked_up() {
        let rows = [
            ("resp_01939f1e-0000-7000-8000-000000000000", true),
            ("resp_x", true),
            ("resp_", false),
            ("", false),
            ("msg_x", false),
            ("resp_a b", false),
            ("resp_\0", false),
            ("resp_../x", false),
            ("resp_0123456789012345678901234567890123456", false),
        ];
        for (id, expected) in rows {
            assert_eq!(is_id(id), expected, "{id:?}");
        }
    }
}
