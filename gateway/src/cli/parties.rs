//! `tallygate issuer` and `tallygate tenant billing`: who issues invoices, who is billed, and how it is taxed.
//! Never an amount of an invoice: what is said here applies from the next one on.
//! Called by `Cli::run` and `tenant`.

use billing::{
    ledger::{IssuerDetails, Ledger, Party, Tenant, TenantBilling},
    rate::MinorUnits,
    tax::{TaxRate, TaxStatus},
};
use clap::{Args, Subcommand};

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum IssuerCommand {
    /// Say who issues invoices; what is not named stays, and an empty text takes away.
    Set(Box<IssuerArguments>),
    /// Show who issues invoices.
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum BillingCommand {
    /// Say who is billed and how it is taxed; what is not named stays, and an empty text takes away.
    Set(Box<BillingArguments>),
    /// Show who is billed.
    Show {
        /// The tenant's name or id.
        tenant: String,
    },
}

/// What may be said of the issuer.
#[derive(Debug, Args)]
pub(super) struct IssuerArguments {
    #[command(flatten)]
    party: PartyArguments,
    /// A tax of tenants that have none of their own: VAT=19, or VAT=19:inclusive where prices contain it; may be
    /// given several times, and then all at once.
    #[arg(long = "tax", value_name = "NAME=PERCENT")]
    taxes: Vec<TaxRate>,
    /// No tax.
    #[arg(long, conflicts_with = "taxes")]
    no_taxes: bool,
    /// What invoices say where the recipient owes the tax.
    #[arg(long, value_name = "TEXT")]
    reverse_charge_note: Option<String>,
    /// How to pay, such as a bank account.
    #[arg(long, value_name = "TEXT")]
    payment_note: Option<String>,
    /// How long tenants have to pay, in days after the issuing.
    #[arg(long, value_name = "DAYS")]
    payment_days: Option<u32>,
}

/// What may be said of who is billed.
#[derive(Debug, Args)]
pub(super) struct BillingArguments {
    /// The tenant's name or id.
    tenant: String,
    #[command(flatten)]
    party: PartyArguments,
    /// How it is taxed: standard, exempt (with --tax-note) or reverse_charge.
    #[arg(long, value_name = "STATUS")]
    tax_status: Option<TaxStatus>,
    /// Why it is exempt, or what its invoices say of the reverse charge.
    #[arg(long, value_name = "TEXT")]
    tax_note: Option<String>,
    /// A tax of its own in place of the issuer's; may be given several times, and then all at once.
    #[arg(long = "tax", value_name = "NAME=PERCENT")]
    taxes: Vec<TaxRate>,
    /// The issuer's taxes again.
    #[arg(long, conflicts_with = "taxes")]
    taxes_of_issuer: bool,
    /// Its own time to pay, in days after the issuing.
    #[arg(long, value_name = "DAYS")]
    payment_days: Option<u32>,
    /// Bill a running period as soon as so much of it is not invoiced; an empty text takes it away.
    #[arg(long, value_name = "AMOUNT")]
    threshold: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PartyArguments {
    /// The name under which it trades.
    #[arg(long, value_name = "NAME")]
    legal_name: Option<String>,
    /// A line of the address; may be given several times, and then all at once.
    #[arg(long = "address", value_name = "LINE")]
    address: Vec<String>,
    /// The country, as two capital letters.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// The tax number.
    #[arg(long, value_name = "ID")]
    tax_id: Option<String>,
    /// Where invoices come from, or go to.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

/// What a text that may be named does to one that is kept.
fn put(kept: &mut Option<String>, named: Option<String>) {
    if let Some(named) = named {
        *kept = (!named.is_empty()).then_some(named);
    }
}

impl PartyArguments {
    fn put_in(self, party: &mut Party) -> Result<(), CliError> {
        if let Some(name) = self.legal_name {
            party.legal_name = name;
        }
        if party.legal_name.is_empty() {
            return Err(CliError::Usage("--legal-name is needed the first time".to_owned()));
        }
        if !self.address.is_empty() {
            party.address = self.address;
        }
        put(&mut party.country, self.country);
        put(&mut party.tax_id, self.tax_id);
        put(&mut party.email, self.email);
        Ok(())
    }
}

pub(super) async fn issuer(config: &Config, command: IssuerCommand) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        IssuerCommand::Set(arguments) => {
            let IssuerArguments { party, taxes, no_taxes, reverse_charge_note, payment_note, payment_days } =
                *arguments;
            let mut details = ledger.issuer_details().await?.unwrap_or_default();
            party.put_in(&mut details.party)?;
            if no_taxes || !taxes.is_empty() {
                details.taxes = taxes;
            }
            put(&mut details.reverse_charge_note, reverse_charge_note);
            put(&mut details.payment_note, payment_note);
            details.payment_days = payment_days.or(details.payment_days);
            show_issuer(&ledger.set_issuer_details(&details).await?);
        }
        IssuerCommand::Show => match ledger.issuer_details().await? {
            Some(details) => show_issuer(&details),
            None => out::say("nobody said who issues invoices; `tallygate issuer set` does"),
        },
    }
    Ok(())
}

pub(super) async fn tenant(ledger: &Ledger, command: BillingCommand) -> Result<(), CliError> {
    match command {
        BillingCommand::Set(arguments) => {
            let BillingArguments { tenant, party, tax_status, tax_note, .. } = *arguments;
            let (taxes, taxes_of_issuer) = (arguments.taxes, arguments.taxes_of_issuer);
            let (payment_days, threshold) = (arguments.payment_days, arguments.threshold);
            let tenant = open::tenant(ledger, &tenant).await?;
            let mut billing = ledger.tenant_billing(tenant.id).await?.unwrap_or_default();
            party.put_in(&mut billing.party)?;
            billing.tax_status = tax_status.unwrap_or(billing.tax_status);
            put(&mut billing.tax_note, tax_note);
            if taxes_of_issuer {
                billing.taxes = None;
            } else if !taxes.is_empty() {
                billing.taxes = Some(taxes);
            }
            billing.payment_days = payment_days.or(billing.payment_days);
            if let Some(text) = threshold {
                billing.threshold = threshold_of(&tenant, &text)?;
            }
            show_billing(&ledger.set_tenant_billing(tenant.id, &billing).await?, &tenant);
        }
        BillingCommand::Show { tenant } => {
            let tenant = open::tenant(ledger, &tenant).await?;
            match ledger.tenant_billing(tenant.id).await? {
                Some(billing) => show_billing(&billing, &tenant),
                None => out::say(&format!(
                    "nobody said who is billed for {0}; `tallygate tenant billing set {0}` does",
                    tenant.name
                )),
            }
        }
    }
    Ok(())
}

fn threshold_of(tenant: &Tenant, text: &str) -> Result<Option<MinorUnits>, CliError> {
    if text.is_empty() {
        return Ok(None);
    }
    amount("the threshold", text, tenant.currency).map(Some)
}

/// An amount in a currency, with at most its decimals.
pub(super) fn amount(what: &str, text: &str, currency: domain::Currency) -> Result<MinorUnits, CliError> {
    MinorUnits::parse(text, currency).ok_or_else(|| {
        let decimals = currency.exponent();
        CliError::Usage(format!("{what} must be an amount in {currency} with at most {decimals} decimals"))
    })
}

fn rows_of(party: &Party) -> Vec<(&'static str, String)> {
    let optional = [("country", &party.country), ("tax id", &party.tax_id), ("email", &party.email)];
    let mut rows = vec![("name", party.legal_name.clone())];
    rows.extend(party.address.iter().map(|line| ("address", line.clone())));
    rows.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    rows
}

fn taxes_of(taxes: &[TaxRate]) -> Vec<(&'static str, String)> {
    let row = |tax: &TaxRate| ("tax", format!("{} {} % ({})", tax.name, tax.percent, tax.mode.as_str()));
    match taxes {
        [] => vec![("tax", "none".to_owned())],
        taxes => taxes.iter().map(row).collect(),
    }
}

fn say(rows: impl IntoIterator<Item = (&'static str, String)>) {
    for (name, text) in rows {
        out::say(&format!("{name:<14} {text}"));
    }
}

fn show_issuer(details: &IssuerDetails) {
    say(rows_of(&details.party));
    say(taxes_of(&details.taxes));
    say(details.reverse_charge_note.clone().map(|note| ("reverse charge", note)));
    say(details.payment_note.clone().map(|note| ("payment", note)));
    say(details.payment_days.map(|days| ("time to pay", format!("{days} days"))));
}

fn show_billing(billing: &TenantBilling, tenant: &Tenant) {
    say(rows_of(&billing.party));
    say([("tax status", billing.tax_status.as_str().to_owned())]);
    say(billing.tax_note.clone().map(|note| ("tax note", note)));
    match &billing.taxes {
        Some(taxes) => say(taxes_of(taxes)),
        None => say([("tax", "of the issuer".to_owned())]),
    }
    say(billing.payment_days.map(|days| ("time to pay", format!("{days} days"))));
    let currency = tenant.currency;
    say(billing.threshold.map(|amount| ("threshold", format!("{} {currency}", amount.to_text(currency)))));
}
