//! What came of requests that carried an Idempotency-Key: claimed by one gateway, stored, told again.
//! Never lets one key run twice unless the usage record of its first request is of a reason no plan can bill.
//! Called by the gateway around the routes that run something; requests without the header never come here.
//!
//! The row is inserted before the request is admitted, in a database that all gateways share: that insert decides who
//! runs it. What is not known is never guessed: a gateway that dies leaves its row `running`, and only its own next
//! start, after its journal's records are in the ledger, can say what came of it.

mod sql;

use domain::{JournalId, RequestId, TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value};

/// Tries to claim a row that others claim and give back at the same moment.
const CLAIM_TRIES_MAX: u32 = 8;

/// Expired rows removed in one transaction: a few milliseconds of a lock.
pub const EXPIRED_ROWS_MAX: u32 = 500;

/// A key of a tenant, hashed: what a client writes into it stays with the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Whose request.
    pub tenant_id: TenantId,
    /// SHA-256 of the key.
    pub name_hash: [u8; 32],
}

/// A request that wants to be the one that runs.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Under which key.
    pub key: IdempotencyKey,
    /// SHA-256 of all that was asked.
    pub asked_hash: [u8; 32],
    /// The request; its usage record will have the same id.
    pub request_id: RequestId,
    /// The journal that its record will be in.
    pub journal_id: JournalId,
    /// Which life of the gateway runs it.
    pub boot_id: Uuid,
    /// When it is claimed.
    pub now: Timestamp,
    /// It is over by then, whatever happens.
    pub running_until: Timestamp,
    /// From then on the key is free.
    pub expires_at: Timestamp,
}

/// What a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing: this request runs.
    Mine,
    /// The same key with something else.
    Conflict,
    /// The first request still runs.
    Running,
    /// The gateway of the first request has died, and its journal has not been heard of since.
    Unresolved,
    /// The first request ended.
    Ended {
        /// Its id.
        request_id: RequestId,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that can be given again.
    Answer(StoredAnswer),
    /// An answer that was too large to keep.
    TooLarge,
    /// Its client left before the answer was whole.
    ClientGone,
    /// It ended and may have been billed, and its answer was not kept.
    Lost,
}

/// An answer as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Headers that belong to the answer, as JSON.
    pub headers: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct Row {
    asked_hash: Vec<u8>,
    request_id: Uuid,
    state: String,
    running_until_unix_us: i64,
    status: Option<i64>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
    /// The reason of the usage record, when the ledger has it.
    reason: Option<String>,
}

impl Ledger {
    /// Claims a key, or says what stands against it.
    ///
    /// Errors: the database is away; the claim may have been made then, so give it back.
    pub async fn claim_idempotency(&self, claim: &Claim) -> Result<Claimed, LedgerError> {
        for _ in 0..CLAIM_TRIES_MAX {
            let mut transaction = self.pool.write().await?;
            let new = [&claim.values()[..], &[Value::Int(claim.now.unix_micros())]].concat();
            if transaction.execute(sql::CLAIM, &new).await? > 0 {
                transaction.commit().await?;
                return Ok(Claimed::Mine);
            }
            let of_key = [Value::Id(claim.key.tenant_id.as_uuid()), Value::Bytes(&claim.key.name_hash)];
            // It may have been given back in between: then it is claimed again.
            let Some(row) = transaction.find::<Row>(sql::FIND, &of_key).await? else { continue };
            if row.is_free(claim) {
                if take_over(&mut transaction, claim, row.request_id).await? {
                    transaction.commit().await?;
                    return Ok(Claimed::Mine);
                }
                continue;
            }
            return row.verdict(claim);
        }
        // So much traffic under one key is its own answer.
        Ok(Claimed::Running)
    }

    /// Keeps what came of a request. Of no effect when the request does not hold the key any more.
    ///
    /// Errors: the database is away.
    pub async fn store_outcome(
        &self,
        key: IdempotencyKey,
        request_id: RequestId,
        outcome: &Outcome,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        let held = key.held_by(request_id);
        match outcome {
            Outcome::Answer(StoredAnswer { status, headers, body }) => {
                let answer = [Value::Int(i64::from(*status)), Value::Text(headers), Value::Bytes(body)];
                transaction.execute(sql::STORE_ANSWER, &[&held[..], &answer].concat()).await?;
            }
            Outcome::TooLarge | Outcome::ClientGone | Outcome::Lost => {
                let state = [Value::Text(outcome.state())];
                transaction.execute(sql::END, &[&held[..], &state].concat()).await?;
            }
        }
        transaction.commit().await
    }

    /// Gives a key back whose request was refused: it left no usage, so another may run.
    ///
    /// Errors: the database is away; the key stays taken until it expires.
    pub async fn free_idempotency(
        &self,
        key: IdempotencyKey,
        request_id: RequestId,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::FREE, &key.held_by(request_id)).await?;
        transaction.commit().await
    }

    /// Says what came of the requests that earlier lives of a gateway left running. Call it when every record that
    /// the journal had at this start is in the ledger: what has no record by then never left one, as a journal's
    /// recovery closes all that was open.
    ///
    /// Errors: the database is away.
    pub async fn resolve_idempotency(&self, journal_id: JournalId, boot_id: Uuid) -> Result<(), LedgerError> {
        let earlier = [Value::Id(journal_id.as_uuid()), Value::Id(boot_id)];
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::FREE_UNBILLED, &earlier).await?;
        transaction.execute(sql::LOSE_BILLED, &earlier).await?;
        transaction.commit().await
    }

    /// Removes rows that have expired, at most [`EXPIRED_ROWS_MAX`], and says how many.
    ///
    /// Errors: the database is away.
    pub async fn remove_expired_idempotency(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Int(now.unix_micros()), Value::Int(i64::from(EXPIRED_ROWS_MAX))];
        let removed = transaction.execute(sql::REMOVE_EXPIRED, &values).await?;
        transaction.commit().await?;
        Ok(removed)
    }
}

/// Puts another request in the place of one that is known to be free of charge; one of many callers wins.
async fn take_over(transaction: &mut Transaction, claim: &Claim, from: Uuid) -> Result<bool, LedgerError> {
    let values = [&claim.values()[..], &[Value::Id(from)]].concat();
    Ok(transaction.execute(sql::TAKE_OVER, &values).await? > 0)
}

impl Claim {
    fn values(&self) -> [Value<'_>; 8] {
        [
            Value::Id(self.key.tenant_id.as_uuid()),
            Value::Bytes(&self.key.name_hash),
            Value::Bytes(&self.asked_hash),
            Value::Id(self.request_id.as_uuid()),
            Value::Id(self.journal_id.as_uuid()),
            Value::Id(self.boot_id),
            Value::Int(self.running_until.unix_micros()),
            Value::Int(self.expires_at.max(self.running_until).unix_micros()),
        ]
    }
}

impl IdempotencyKey {
    fn held_by(&self, request_id: RequestId) -> [Value<'_>; 3] {
        let tenant_id = Value::Id(self.tenant_id.as_uuid());
        [tenant_id, Value::Bytes(&self.name_hash), Value::Id(request_id.as_uuid())]
    }
}

impl Outcome {
    fn state(&self) -> &'static str {
        match self {
            Self::Answer(_) => "stored",
            Self::TooLarge => "too_large",
            Self::ClientGone => "client_gone",
            Self::Lost => "lost",
        }
    }
}

impl Row {
    /// Whether the request that holds the row is known to have ended without a charge. A `crashed` record is written
    /// only by a start after the crash; an `engine_error` may come a moment before its answer is stored.
    fn is_free(&self, claim: &Claim) -> bool {
        let is_same = self.asked_hash == claim.asked_hash;
        let is_running = self.state == "running";
        is_same
            && is_running
            && match self.reason.as_deref() {
                Some("crashed") => true,
                Some("engine_error") => self.is_over(claim.now),
                Some(_) | None => false,
            }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.running_until_unix_us <= now.unix_micros()
    }

    fn verdict(mut self, claim: &Claim) -> Result<Claimed, LedgerError> {
        if self.asked_hash != claim.asked_hash {
            return Ok(Claimed::Conflict);
        }
        let is_over = self.is_over(claim.now);
        let state = std::mem::take(&mut self.state);
        let outcome = match state.as_str() {
            "running" if !is_over => return Ok(Claimed::Running),
            "running" if self.reason.is_none() => return Ok(Claimed::Unresolved),
            "running" | "lost" => Outcome::Lost,
            "too_large" => Outcome::TooLarge,
            "client_gone" => Outcome::ClientGone,
            "stored" => Outcome::Answer(self.take_answer()?),
            other => return Err(LedgerError::corrupt("state of an idempotency key", &other)),
        };
        Ok(Claimed::Ended { request_id: RequestId::from_uuid(self.request_id), outcome })
    }

    fn take_answer(&mut self) -> Result<StoredAnswer, LedgerError> {
        let absent = || LedgerError::corrupt("stored answer", &"a part of it is missing");
        let status = self.status.and_then(|status| u16::try_from(status).ok()).ok_or_else(absent)?;
        let headers = self.headers.take().ok_or_else(absent)?;
        let body = self.body.take().ok_or_else(absent)?;
        Ok(StoredAnswer { status, headers, body })
    }
}
