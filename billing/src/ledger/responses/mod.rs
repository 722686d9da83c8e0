//! Stored responses: an answer its tenant may ask for again, and the conversation that led to it.
//! Never usage and never charged from; another tenant's id is the same as none.
//! Called by the gateway's Responses API, after the request's record is durable, and by its cleanup.

mod sql;

use domain::{TenantId, Timestamp};

use super::{Ledger, LedgerError, Value};

/// Longest text of one column: about half a million tokens, more than contexts take. Unit: bytes.
pub const RESPONSE_BYTES_MAX: usize = 2 * 1_024 * 1_024;

/// Expired rows deleted at once: few enough that a writer behind it waits only for milliseconds.
pub const EXPIRED_RESPONSES_MAX: u32 = 200;

/// What is stored of one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its id, `resp_…`.
    pub id: String,
    /// The response object as its client got it: JSON.
    pub body: String,
    /// Every item of the conversation, the answer's included: a JSON array.
    pub conversation: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is not found.
    pub expires_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct ResponseRow {
    response_id: String,
    body: String,
    conversation: String,
    created_unix_us: i64,
    expires_unix_us: i64,
}

impl StoredResponse {
    /// Whether it is small enough to be stored.
    pub fn fits(&self) -> bool {
        self.body.len() <= RESPONSE_BYTES_MAX && self.conversation.len() <= RESPONSE_BYTES_MAX
    }

    fn from_row(row: ResponseRow) -> Self {
        Self {
            id: row.response_id,
            body: row.body,
            conversation: row.conversation,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            expires_at: Timestamp::from_unix_micros(row.expires_unix_us),
        }
    }
}

impl Ledger {
    /// Stores a response of a tenant.
    ///
    /// Errors: it is too large or its times are in the wrong order; its id is taken.
    pub async fn store_response(
        &self,
        tenant: TenantId,
        response: &StoredResponse,
    ) -> Result<(), LedgerError> {
        if !response.fits() || response.expires_at <= response.created_at {
            return Err(LedgerError::BadResponse { bytes_max: RESPONSE_BYTES_MAX });
        }
        let mut transaction = self.pool.write().await?;
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Text(&response.id),
            Value::Text(&response.body),
            Value::Text(&response.conversation),
            Value::Int(response.created_at.unix_micros()),
            Value::Int(response.expires_at.unix_micros()),
        ];
        match transaction.execute(sql::INSERT_RESPONSE, &values).await {
            Ok(_) => transaction.commit().await,
            Err(error) if error.is_taken() => {
                Err(LedgerError::Taken { what: "response", name: response.id.clone() })
            }
            Err(error) => Err(error),
        }
    }

    /// A response of this tenant that has not expired.
    pub async fn find_response(
        &self,
        tenant: TenantId,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<StoredResponse>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Text(id), Value::Int(now.unix_micros())];
        Ok(transaction.find(sql::FIND_RESPONSE, &values).await?.map(StoredResponse::from_row))
    }

    /// Deletes a response of this tenant, and says whether there was one.
    pub async fn delete_response(
        &self,
        tenant: TenantId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Id(tenant.as_uuid()), Value::Text(id), Value::Int(now.unix_micros())];
        let deleted = transaction.execute(sql::DELETE_RESPONSE, &values).await?;
        transaction.commit().await?;
        Ok(deleted > 0)
    }

    /// Deletes some of what has expired, at most [`EXPIRED_RESPONSES_MAX`], and says how many.
    pub async fn delete_expired_responses(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Int(now.unix_micros()), Value::Int(i64::from(EXPIRED_RESPONSES_MAX))];
        let deleted = transaction.execute(sql::DELETE_EXPIRED, &values).await?;
        transaction.commit().await?;
        Ok(deleted)
    }
}
