//! Statements over issuers and the billing details of tenants.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const ISSUER: Statement = Statement::both(
    "SELECT legal_name, address, country, tax_id, email, taxes, reverse_charge_note, payment_note, payment_days
     FROM issuer_details WHERE issuer = $1",
);
pub(super) const PUT_ISSUER: Statement = Statement::both(
    "INSERT INTO issuer_details (issuer, legal_name, address, country, tax_id, email, taxes, reverse_charge_note,
                                 payment_note, payment_days)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (issuer) DO UPDATE SET
        legal_name = excluded.legal_name, address = excluded.address, country = excluded.country,
        tax_id = excluded.tax_id, email = excluded.email, taxes = excluded.taxes,
        reverse_charge_note = excluded.reverse_charge_note, payment_note = excluded.payment_note,
        payment_days = excluded.payment_days",
);
pub(super) const TENANT: Statement = Statement::both(
    "SELECT legal_name, address, country, tax_id, email, tax_status, tax_note, taxes, payment_days, threshold_minor
     FROM tenant_billing WHERE tenant_id = $1",
);
pub(super) const PUT_TENANT: Statement = Statement::both(
    "INSERT INTO tenant_billing (tenant_id, legal_name, address, country, tax_id, email, tax_status, tax_note, taxes,
                                 payment_days, threshold_minor)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     ON CONFLICT (tenant_id) DO UPDATE SET
        legal_name = excluded.legal_name, address = excluded.address, country = excluded.country,
        tax_id = excluded.tax_id, email = excluded.email, tax_status = excluded.tax_status,
        tax_note = excluded.tax_note, taxes = excluded.taxes, payment_days = excluded.payment_days,
        threshold_minor = excluded.threshold_minor",
);
