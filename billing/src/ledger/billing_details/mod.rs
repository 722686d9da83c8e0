//! Who issues invoices and who is billed: names, addresses, tax numbers, tax rates and terms of payment.
//! Never an amount, and never what an issued invoice says: that has a copy of its own.
//! Called by the command line, the operators' interface and invoices.

mod sql;

use domain::TenantId;
use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerError, Transaction, Value, invoices::ISSUER, raise_revision, tenants};
use crate::{
    rate::MinorUnits,
    tax::{TaxRate, TaxStatus, check_rates},
};

/// Lines of an address: more do not fit the head of a page.
pub const ADDRESS_LINES_MAX: usize = 8;
/// Longest time to pay. Unit: days.
pub const PAYMENT_DAYS_MAX: u32 = 365;
const NAME_LENGTH_MAX: usize = 200;
const TAX_ID_LENGTH_MAX: usize = 64;
const EMAIL_LENGTH_MAX: usize = 254;
const NOTE_LENGTH_MAX: usize = 500;

/// A company or person, as named on invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The name under which it trades.
    pub legal_name: String,
    /// Street, place and so on, line by line.
    pub address: Vec<String>,
    /// Its country, as two capital letters of ISO 3166.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Its tax number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Where invoices go to, or come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Who issues invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerDetails {
    /// Name and address.
    pub party: Party,
    /// Taxes on invoices to tenants that have none of their own.
    pub taxes: Vec<TaxRate>,
    /// What invoices say where the recipient owes the tax.
    pub reverse_charge_note: Option<String>,
    /// How to pay, such as a bank account.
    pub payment_note: Option<String>,
    /// How long tenants have to pay. Unit: days after the issuing.
    pub payment_days: Option<u32>,
}

/// Who is billed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantBilling {
    /// Name and address.
    pub party: Party,
    /// How it is taxed.
    pub tax_status: TaxStatus,
    /// Why it is exempt, or what its invoices say of the reverse charge.
    pub tax_note: Option<String>,
    /// Its own taxes in place of the issuer's.
    pub taxes: Option<Vec<TaxRate>>,
    /// Its own time to pay in place of the issuer's. Unit: days after the issuing.
    pub payment_days: Option<u32>,
    /// A running period is billed as soon as so much of it is not invoiced. In the tenant's currency.
    pub threshold: Option<MinorUnits>,
}

/// Both sides of an invoice, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parties {
    pub(crate) issuer: Option<IssuerDetails>,
    pub(crate) customer: Option<TenantBilling>,
}

#[derive(sqlx::FromRow)]
struct IssuerRow {
    legal_name: String,
    address: String,
    country: Option<String>,
    tax_id: Option<String>,
    email: Option<String>,
    taxes: String,
    reverse_charge_note: Option<String>,
    payment_note: Option<String>,
    payment_days: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    legal_name: String,
    address: String,
    country: Option<String>,
    tax_id: Option<String>,
    email: Option<String>,
    tax_status: String,
    tax_note: Option<String>,
    taxes: Option<String>,
    payment_days: Option<i64>,
    threshold_minor: Option<i64>,
}

fn from_json<T: for<'a> Deserialize<'a>>(what: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::corrupt(what, &error))
}

fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::corrupt(what, &error))
}

fn days(column: Option<i64>) -> Result<Option<u32>, LedgerError> {
    let days = column.map(u32::try_from).transpose();
    days.map_err(|error| LedgerError::corrupt("count of days", &error))
}

impl IssuerDetails {
    fn from_row(row: IssuerRow) -> Result<Self, LedgerError> {
        let IssuerRow { legal_name, country, tax_id, email, reverse_charge_note, payment_note, .. } = row;
        let address = from_json("address", &row.address)?;
        Ok(Self {
            party: Party { legal_name, address, country, tax_id, email },
            taxes: from_json("list of taxes", &row.taxes)?,
            reverse_charge_note,
            payment_note,
            payment_days: days(row.payment_days)?,
        })
    }

    /// Everything that can be seen without the database, with its taxes in their shortest form.
    fn checked(&self) -> Result<Self, LedgerError> {
        self.party.check()?;
        check_note(self.reverse_charge_note.as_deref(), "reverse_charge_note")?;
        check_note(self.payment_note.as_deref(), "payment_note")?;
        check_days(self.payment_days)?;
        Ok(Self { taxes: check_rates(&self.taxes)?, ..self.clone() })
    }
}

impl TenantBilling {
    fn from_row(row: TenantRow) -> Result<Self, LedgerError> {
        let TenantRow { legal_name, country, tax_id, email, tax_note, .. } = row;
        let address = from_json("address", &row.address)?;
        let status = row.tax_status.parse();
        Ok(Self {
            party: Party { legal_name, address, country, tax_id, email },
            tax_status: status.map_err(|error: String| LedgerError::corrupt("tax status", &error))?,
            tax_note,
            taxes: row.taxes.as_deref().map(|taxes| from_json("list of taxes", taxes)).transpose()?,
            payment_days: days(row.payment_days)?,
            threshold: row.threshold_minor.map(MinorUnits::new),
        })
    }

    fn checked(&self) -> Result<Self, LedgerError> {
        self.party.check()?;
        check_note(self.tax_note.as_deref(), "tax_note")?;
        if self.tax_status == TaxStatus::Exempt && self.tax_note.is_none() {
            let (what, allowed) =
                ("tax_note", "given where a tenant is exempt: the reason stands on its invoices");
            return Err(LedgerError::BadText { what, allowed });
        }
        check_days(self.payment_days)?;
        if self.threshold.is_some_and(|threshold| threshold <= MinorUnits::ZERO) {
            return Err(LedgerError::BadText { what: "threshold", allowed: "an amount above zero" });
        }
        let taxes = self.taxes.as_deref().map(check_rates).transpose()?;
        Ok(Self { taxes, ..self.clone() })
    }
}

impl Party {
    fn check(&self) -> Result<(), LedgerError> {
        let bad = |what, allowed| Err(LedgerError::BadText { what, allowed });
        if !is_line(&self.legal_name, NAME_LENGTH_MAX) {
            return bad("legal_name", "1 to 200 printable characters");
        }
        let are_lines = self.address.iter().all(|line| is_line(line, NAME_LENGTH_MAX));
        if self.address.len() > ADDRESS_LINES_MAX || !are_lines {
            return bad("address", "at most 8 lines of 1 to 200 printable characters");
        }
        let is_code = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.country.as_deref().is_some_and(|country| !is_code(country)) {
            return bad("country", "two capital letters, such as DE");
        }
        if self.tax_id.as_deref().is_some_and(|tax_id| !is_line(tax_id, TAX_ID_LENGTH_MAX)) {
            return bad("tax_id", "1 to 64 printable characters");
        }
        let is_email = |text: &str| {
            is_line(text, EMAIL_LENGTH_MAX)
                && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        };
        if self.email.as_deref().is_some_and(|email| !is_email(email)) {
            return bad("email", "an address such as billing@example.com");
        }
        Ok(())
    }
}

fn is_line(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn check_note(note: Option<&str>, what: &'static str) -> Result<(), LedgerError> {
    let allowed = "1 to 500 printable characters";
    match note.is_none_or(|note| is_line(note, NOTE_LENGTH_MAX)) {
        true => Ok(()),
        false => Err(LedgerError::BadText { what, allowed }),
    }
}

fn check_days(days: Option<u32>) -> Result<(), LedgerError> {
    match days.is_none_or(|days| days <= PAYMENT_DAYS_MAX) {
        true => Ok(()),
        false => Err(LedgerError::BadText { what: "payment_days", allowed: "0 to 365" }),
    }
}

impl Ledger {
    /// Who issues invoices, once it was said.
    pub async fn issuer_details(&self) -> Result<Option<IssuerDetails>, LedgerError> {
        issuer(&mut self.pool.read().await?).await
    }

    /// Says who issues invoices, from the next one on; gives what is kept.
    ///
    /// Errors: a text outside its bounds, a tax that is none.
    pub async fn set_issuer_details(&self, details: &IssuerDetails) -> Result<IssuerDetails, LedgerError> {
        let details = details.checked()?;
        let (address, taxes) =
            (to_json("address", &details.party.address)?, to_json("taxes", &details.taxes)?);
        let party = &details.party;
        let values = [
            Value::Text(ISSUER),
            Value::Text(&party.legal_name),
            Value::Text(&address),
            Value::MaybeText(party.country.as_deref()),
            Value::MaybeText(party.tax_id.as_deref()),
            Value::MaybeText(party.email.as_deref()),
            Value::Text(&taxes),
            Value::MaybeText(details.reverse_charge_note.as_deref()),
            Value::MaybeText(details.payment_note.as_deref()),
            Value::MaybeInt(details.payment_days.map(i64::from)),
        ];
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        transaction.execute(sql::PUT_ISSUER, &values).await?;
        transaction.commit().await?;
        Ok(details)
    }

    /// Who is billed for a tenant, once it was said.
    pub async fn tenant_billing(&self, tenant: TenantId) -> Result<Option<TenantBilling>, LedgerError> {
        customer(&mut self.pool.read().await?, tenant).await
    }

    /// Says who is billed for a tenant, from its next invoice on; gives what is kept.
    ///
    /// Errors: no such tenant, a text outside its bounds, a tax that is none, an exemption without its reason.
    pub async fn set_tenant_billing(
        &self,
        tenant: TenantId,
        billing: &TenantBilling,
    ) -> Result<TenantBilling, LedgerError> {
        let billing = billing.checked()?;
        let address = to_json("address", &billing.party.address)?;
        let taxes = billing.taxes.as_ref().map(|taxes| to_json("taxes", taxes)).transpose()?;
        let party = &billing.party;
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Text(&party.legal_name),
            Value::Text(&address),
            Value::MaybeText(party.country.as_deref()),
            Value::MaybeText(party.tax_id.as_deref()),
            Value::MaybeText(party.email.as_deref()),
            Value::Text(billing.tax_status.as_str()),
            Value::MaybeText(billing.tax_note.as_deref()),
            Value::MaybeText(taxes.as_deref()),
            Value::MaybeInt(billing.payment_days.map(i64::from)),
            Value::MaybeInt(billing.threshold.map(MinorUnits::get)),
        ];
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        tenants::find_by_id(&mut transaction, tenant).await?;
        transaction.execute(sql::PUT_TENANT, &values).await?;
        transaction.commit().await?;
        Ok(billing)
    }
}

async fn issuer(transaction: &mut Transaction) -> Result<Option<IssuerDetails>, LedgerError> {
    let row: Option<IssuerRow> = transaction.find(sql::ISSUER, &[Value::Text(ISSUER)]).await?;
    row.map(IssuerDetails::from_row).transpose()
}

async fn customer(
    transaction: &mut Transaction,
    tenant: TenantId,
) -> Result<Option<TenantBilling>, LedgerError> {
    let row: Option<TenantRow> = transaction.find(sql::TENANT, &[Value::Id(tenant.as_uuid())]).await?;
    row.map(TenantBilling::from_row).transpose()
}

/// Both sides of a tenant's invoice, of the moment of a transaction.
pub(crate) async fn parties(transaction: &mut Transaction, tenant: TenantId) -> Result<Parties, LedgerError> {
    Ok(Parties { issuer: issuer(transaction).await?, customer: customer(transaction, tenant).await? })
}
