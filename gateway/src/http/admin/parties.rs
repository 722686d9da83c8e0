//! `/admin/v1/issuer` and `/admin/v1/tenants/{tenant_id}/billing`: who issues invoices and who is billed.
//! Never an amount and never a rule of taxes: the ledger checks, `billing::tax` computes.
//! Registered by `admin::resources`.

use actix_web::{get, put, web};
use billing::{
    ledger::{IssuerDetails, LedgerError, Party, TenantBilling},
    rate::MinorUnits,
    tax::{TaxMode, TaxRate, TaxStatus},
};
use domain::Currency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{self, ChangeFailures, ReadFailures},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show_issuer).service(set_issuer).service(show_billing).service(set_billing);
}

/// Who issues invoices. From the next invoice on; what was issued keeps what it says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Issuer)]
struct IssuerWire {
    /// The name under which it trades.
    #[schema(min_length = 1, max_length = 200)]
    legal_name: String,
    /// Street, place and so on, line by line.
    #[serde(default)]
    #[schema(max_items = 8)]
    address: Vec<String>,
    /// Its country, as two capital letters of ISO 3166.
    #[serde(default)]
    #[schema(pattern = "^[A-Z]{2}$")]
    country: Option<String>,
    /// Its tax number.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    tax_id: Option<String>,
    /// Where its invoices come from.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254)]
    email: Option<String>,
    /// Taxes on invoices to tenants that have none of their own.
    #[serde(default)]
    #[schema(max_items = 10)]
    taxes: Vec<TaxRateWire>,
    /// What invoices say where the recipient owes the tax.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    reverse_charge_note: Option<String>,
    /// How to pay, such as a bank account.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    payment_note: Option<String>,
    /// How long tenants have to pay. Unit: days after the issuing.
    #[serde(default)]
    #[schema(maximum = 365)]
    payment_days: Option<u32>,
}

/// Who is billed for a tenant. From its next invoice on; what was issued keeps what it says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantBilling)]
struct BillingWire {
    /// The name under which it trades.
    #[schema(min_length = 1, max_length = 200)]
    legal_name: String,
    /// Street, place and so on, line by line.
    #[serde(default)]
    #[schema(max_items = 8)]
    address: Vec<String>,
    /// Its country, as two capital letters of ISO 3166.
    #[serde(default)]
    #[schema(pattern = "^[A-Z]{2}$")]
    country: Option<String>,
    /// Its tax number.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    tax_id: Option<String>,
    /// Where its invoices go to.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254)]
    email: Option<String>,
    /// How it is taxed.
    #[serde(default)]
    tax_status: TaxStatusWire,
    /// Why it is exempt (needed there), or what its invoices say of the reverse charge.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    tax_note: Option<String>,
    /// Its own taxes in place of the issuer's; null for those of the issuer.
    #[serde(default)]
    #[schema(max_items = 10)]
    taxes: Option<Vec<TaxRateWire>>,
    /// Its own time to pay in place of the issuer's. Unit: days after the issuing.
    #[serde(default)]
    #[schema(maximum = 365)]
    payment_days: Option<u32>,
    /// A running period is billed as soon as so much of it is not invoiced. A decimal in the tenant's currency, above 0.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 20)]
    threshold: Option<String>,
}

/// One tax.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaxRate)]
struct TaxRateWire {
    /// What it is called.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// How much of a hundred: a decimal from 0 to 100, with at most nine decimals.
    #[schema(pattern = "^[0-9]{1,3}(\\.[0-9]{1,9})?$")]
    percent: String,
    /// Whether it is added to the subtotal or contained in it.
    mode: TaxModeWire,
}

/// Whether a tax comes on top of prices or is a part of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaxMode)]
enum TaxModeWire {
    /// Added to the subtotal.
    Exclusive,
    /// Contained in the subtotal.
    Inclusive,
}

/// How a tenant is taxed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaxStatus)]
enum TaxStatusWire {
    /// By the rates that apply.
    #[default]
    Standard,
    /// Not at all; the note says why.
    Exempt,
    /// By the tenant itself, as the note says.
    ReverseCharge,
}

impl TaxRateWire {
    fn to_wire(rate: TaxRate) -> Self {
        let mode = match rate.mode {
            TaxMode::Exclusive => TaxModeWire::Exclusive,
            TaxMode::Inclusive => TaxModeWire::Inclusive,
        };
        Self { name: rate.name, percent: rate.percent, mode }
    }

    fn into_rate(self) -> TaxRate {
        let mode = match self.mode {
            TaxModeWire::Exclusive => TaxMode::Exclusive,
            TaxModeWire::Inclusive => TaxMode::Inclusive,
        };
        TaxRate { name: self.name, percent: self.percent, mode }
    }
}

impl TaxStatusWire {
    fn to_wire(status: TaxStatus) -> Self {
        match status {
            TaxStatus::Standard => Self::Standard,
            TaxStatus::Exempt => Self::Exempt,
            TaxStatus::ReverseCharge => Self::ReverseCharge,
        }
    }

    fn to_status(self) -> TaxStatus {
        match self {
            Self::Standard => TaxStatus::Standard,
            Self::Exempt => TaxStatus::Exempt,
            Self::ReverseCharge => TaxStatus::ReverseCharge,
        }
    }
}

impl IssuerWire {
    fn to_wire(details: IssuerDetails) -> Self {
        let IssuerDetails { party, taxes, reverse_charge_note, payment_note, payment_days } = details;
        let Party { legal_name, address, country, tax_id, email } = party;
        let taxes = taxes.into_iter().map(TaxRateWire::to_wire).collect();
        Self {
            legal_name,
            address,
            country,
            tax_id,
            email,
            taxes,
            reverse_charge_note,
            payment_note,
            payment_days,
        }
    }

    fn into_details(self) -> IssuerDetails {
        let Self { legal_name, address, country, tax_id, email, .. } = self;
        IssuerDetails {
            party: Party { legal_name, address, country, tax_id, email },
            taxes: self.taxes.into_iter().map(TaxRateWire::into_rate).collect(),
            reverse_charge_note: self.reverse_charge_note,
            payment_note: self.payment_note,
            payment_days: self.payment_days,
        }
    }
}

impl BillingWire {
    fn to_wire(billing: TenantBilling, currency: Currency) -> Self {
        let TenantBilling { party, tax_status, tax_note, taxes, payment_days, threshold } = billing;
        let Party { legal_name, address, country, tax_id, email } = party;
        Self {
            legal_name,
            address,
            country,
            tax_id,
            email,
            tax_status: TaxStatusWire::to_wire(tax_status),
            tax_note,
            taxes: taxes.map(|taxes| taxes.into_iter().map(TaxRateWire::to_wire).collect()),
            payment_days,
            threshold: threshold.map(|threshold| threshold.to_text(currency)),
        }
    }

    fn into_billing(self, currency: Currency) -> Result<TenantBilling, ApiError> {
        let Self { legal_name, address, country, tax_id, email, .. } = self;
        let threshold = self.threshold.map(|text| amount("threshold", &text, currency)).transpose()?;
        Ok(TenantBilling {
            party: Party { legal_name, address, country, tax_id, email },
            tax_status: self.tax_status.to_status(),
            tax_note: self.tax_note,
            taxes: self.taxes.map(|taxes| taxes.into_iter().map(TaxRateWire::into_rate).collect()),
            payment_days: self.payment_days,
            threshold,
        })
    }
}

/// An amount in a currency, with at most its decimals.
pub(super) fn amount(field: &'static str, text: &str, currency: Currency) -> Result<MinorUnits, ApiError> {
    MinorUnits::parse(text, currency).ok_or_else(|| {
        let decimals = currency.exponent();
        let message = format!("{field} must be an amount in {currency} with at most {decimals} decimals");
        ApiError::invalid("invalid_value", field, message)
    })
}

/// Show who issues invoices.
#[utoipa::path(tag = "billing", operation_id = "show_issuer",
    responses((status = 200, description = "The issuer", body = IssuerWire), ReadFailures))]
#[get("/issuer")]
async fn show_issuer(call: Call) -> Answer {
    let details = call.ledger().issuer_details().await?;
    let details = details.ok_or_else(|| error::missing("issuer", ""))?;
    Ok(ok(&IssuerWire::to_wire(details)))
}

/// Say who issues invoices: all at once, what is left out is taken away.
#[utoipa::path(tag = "billing", operation_id = "set_issuer", request_body = IssuerWire,
    responses((status = 200, description = "The issuer as it is now", body = IssuerWire), ChangeFailures))]
#[put("/issuer")]
async fn set_issuer(call: Call, body: web::Payload) -> Answer {
    call.log_change("issuer.set");
    let wire: IssuerWire = call.body(body).await?;
    let details = call.ledger().set_issuer_details(&wire.into_details()).await.map_err(refusal)?;
    Ok(ok(&IssuerWire::to_wire(details)))
}

/// Show who is billed for a tenant.
#[utoipa::path(tag = "billing", operation_id = "show_tenant_billing",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The billing details", body = BillingWire), ReadFailures))]
#[get("/tenants/{tenant_id}/billing")]
async fn show_billing(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    let billing = call.ledger().tenant_billing(tenant.id).await?;
    let billing = billing.ok_or_else(|| error::missing("billing of tenant", &tenant.name))?;
    Ok(ok(&BillingWire::to_wire(billing, tenant.currency)))
}

/// Say who is billed for a tenant and how it is taxed: all at once, what is left out is taken away.
#[utoipa::path(tag = "billing", operation_id = "set_tenant_billing", request_body = BillingWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The billing details as they are now", body = BillingWire), ChangeFailures))]
#[put("/tenants/{tenant_id}/billing")]
async fn set_billing(call: Call, body: web::Payload) -> Answer {
    call.log_change("tenant_billing.set");
    let wire: BillingWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    let billing = wire.into_billing(tenant.currency)?;
    let billing = call.ledger().set_tenant_billing(tenant.id, &billing).await.map_err(refusal)?;
    Ok(ok(&BillingWire::to_wire(billing, tenant.currency)))
}

/// The ledger names the field that it refuses.
pub(super) fn refusal(error: LedgerError) -> ApiError {
    if let LedgerError::BadText { what, .. } = error {
        return ApiError::invalid("invalid_value", what, error.to_string());
    }
    if matches!(error, LedgerError::Tax(_)) {
        return ApiError::invalid("invalid_value", "taxes", error.to_string());
    }
    error.into()
}
