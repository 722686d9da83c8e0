//! Signed statements: an issuer's word, under its key, on what an invoice and the usage records behind it are.
//! Never an amount of its own: it binds the invoice's bytes and the records' digest.
//! Made when an invoice is issued or asked for; checked by `verify` without any server.

mod events;
mod keys;
mod seal;
#[cfg(test)]
mod tests;

use domain::{Period, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use events::EventSeal;
pub(crate) use events::EventSealBuilder;
pub use keys::{KeyError, PublicKey, SigningKey};
pub use seal::{JournalHead, Seal, SealSums};
pub(crate) use seal::{SealBuilder, seal, seal_of};

use crate::{
    invoice::Invoice,
    ledger::{
        IssuedInvoice, Ledger, LedgerError, StoredStatement, find_seal, find_statement_by_key, hold_still,
        insert_seal, insert_statement,
    },
};

/// The version of the form: it grows when a field changes its meaning or goes away.
pub const SCHEMA: &str = "tallygate.statement/1";

/// A statement as signed; docs/billing.md describes its JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Which form this is: [`SCHEMA`].
    pub schema: String,
    /// Who owes the invoice.
    pub tenant: StatedTenant,
    /// What it covers.
    pub period: StatedPeriod,
    /// The invoice.
    pub invoice: StatedInvoice,
    /// The usage records behind it.
    pub usage: Seal,
    /// When it was signed. RFC 3339, UTC.
    pub made_at: String,
    /// Which key signed it.
    pub key_id: String,
    /// The signature in base64, over this JSON with an empty text in the place of the signature.
    pub signature: String,
}

/// Who owes an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedTenant {
    /// The tenant's id.
    pub id: String,
    /// Its name on the invoice.
    pub name: String,
}

/// What an invoice covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedPeriod {
    /// Its first instant. RFC 3339, UTC.
    pub start: String,
    /// The first instant after it. RFC 3339, UTC.
    pub end: String,
    /// The IANA zone.
    pub zone: String,
}

/// Which invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedInvoice {
    /// Its number.
    pub number: String,
    /// SHA-256 of its JSON, byte for byte as issued.
    pub sha256: String,
    /// What is owed.
    pub total: String,
    /// In which currency.
    pub currency: String,
}

/// Why a text is not a statement that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It does not read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// No such key was given.
    #[error("it is signed by the key {0}: give its public half with --public-key")]
    OtherKey(String),
    /// It was changed, or somebody else signed it.
    #[error("its signature does not fit: it was changed, or the key {0} did not sign it")]
    BadSignature(String),
}

impl Statement {
    /// What can be said of an invoice and its records, unsigned.
    pub(crate) fn of(invoice: &Invoice, body: &str, period: &Period, usage: Seal) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            tenant: StatedTenant { id: invoice.tenant.id.clone(), name: invoice.tenant.name.clone() },
            period: StatedPeriod {
                start: period.start().to_string(),
                end: period.end().to_string(),
                zone: period.zone().to_owned(),
            },
            invoice: StatedInvoice {
                number: invoice.number.clone().unwrap_or_default(),
                sha256: hex::encode(Sha256::digest(body)),
                total: invoice.total.clone(),
                currency: invoice.currency.clone(),
            },
            usage,
            made_at: String::new(),
            key_id: String::new(),
            signature: String::new(),
        }
    }

    /// Signs it.
    ///
    /// Errors: none in practice.
    pub(crate) fn sign(self, key: &SigningKey, now: Timestamp) -> Result<Self, StatementError> {
        let unsigned =
            Self { made_at: now.to_string(), key_id: key.public().id(), signature: String::new(), ..self };
        let signature = key.sign(unsigned.to_json()?.as_bytes());
        Ok(Self { signature, ..unsigned })
    }

    /// Reads one. Its signature is not looked at.
    ///
    /// Errors: a text that is no statement, or one of another form.
    pub fn from_json(text: &str) -> Result<Self, StatementError> {
        let read: Self =
            serde_json::from_str(text).map_err(|error| StatementError::Unreadable(error.to_string()))?;
        match read.schema == SCHEMA {
            true => Ok(read),
            false => {
                let reason = format!("its form is {:?}; this program knows {SCHEMA}", read.schema);
                Err(StatementError::Unreadable(reason))
            }
        }
    }

    /// As JSON, two spaces deep, ending in a newline.
    ///
    /// Errors: none in practice.
    pub fn to_json(&self) -> Result<String, StatementError> {
        let json = serde_json::to_string_pretty(self);
        json.map(|json| json + "\n").map_err(|error| StatementError::Unreadable(error.to_string()))
    }

    /// Checks the signature with whichever of these keys it names.
    ///
    /// Errors: none of them is named; it does not fit.
    pub fn check_signature(&self, keys: &[PublicKey]) -> Result<(), StatementError> {
        let key = keys.iter().find(|key| key.id() == self.key_id);
        let key = key.ok_or_else(|| StatementError::OtherKey(self.key_id.clone()))?;
        let unsigned = Self { signature: String::new(), ..self.clone() }.to_json()?;
        match key.is_signature_of(&self.signature, unsigned.as_bytes()) {
            true => Ok(()),
            false => Err(StatementError::BadSignature(self.key_id.clone())),
        }
    }
}

/// Gives the statement of an issued invoice by a key, and signs it when there is none yet.
///
/// Asked again, also by many at once, it gives the same one, byte for byte.
/// Errors: no such invoice; an invoice from before there were seals, some of whose records came late.
pub async fn state(
    ledger: &Ledger,
    number: &str,
    key: &SigningKey,
    now: Timestamp,
) -> Result<StoredStatement, LedgerError> {
    let missing = || LedgerError::Missing { what: "invoice", name: number.to_owned() };
    let issued = ledger.find_invoice(number).await?.ok_or_else(missing)?;
    let (public, mut transaction) = (key.public(), ledger.write().await?);
    if let Some(stored) = find_statement_by_key(&mut transaction, number, &public.id()).await? {
        return Ok(stored);
    }
    // Whoever else states it waits here; what he did is seen by the second look.
    hold_still(&mut transaction).await?;
    if let Some(stored) = find_statement_by_key(&mut transaction, number, &public.id()).await? {
        return Ok(stored);
    }
    let usage = match find_seal(&mut transaction, number).await? {
        Some(body) => Seal::from_json(&body)?,
        None => late_seal(&mut transaction, &issued).await?,
    };
    let invoice = Invoice::from_issued(&issued.body)?;
    let unsigned = Statement::of(&invoice, &issued.body, &issued.period, usage);
    let broken = |error: StatementError| LedgerError::corrupt("statement", &error);
    let body = unsigned.sign(key, now).and_then(|signed| signed.to_json()).map_err(broken)?;
    let stored = StoredStatement {
        number: number.to_owned(),
        key_id: public.id(),
        public_key: public.as_bytes().to_vec(),
        tenant_id: issued.tenant_id,
        made_at: now,
        body,
    };
    insert_statement(&mut transaction, &stored).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// The seal of an invoice that was issued before there were seals.
async fn late_seal(
    transaction: &mut crate::ledger::Transaction,
    issued: &IssuedInvoice,
) -> Result<Seal, LedgerError> {
    let seal = seal_of(transaction, issued).await?;
    if seal.records != issued.records {
        let (number, counted, records) = (issued.number.clone(), issued.records, seal.records);
        return Err(LedgerError::CannotSeal { number, counted, records });
    }
    insert_seal(transaction, &issued.number, &seal.to_json()?).await?;
    Ok(seal)
}
