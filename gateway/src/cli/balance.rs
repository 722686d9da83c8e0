//! `tallygate balance`: what is left of a tenant's grants, which grant paid for what, and the proof of it.
//! Never changes a transfer; `terms` sets what is agreed from now on.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use std::str::FromStr;

use billing::{
    credit::Account,
    ledger::{CreditTerms, Ledger, Overage, StoredTransfer, Tenant},
};
use clap::{Args, Subcommand};
use domain::{Clock as _, Currency, GrantId, Money, Nanos, RequestId, SystemClock};

use super::{CliError, grant::money, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what was granted, expired, charged (of that by invoice or beyond the grants) and is left, and what is
    /// agreed about it.
    Show {
        /// The tenant's name or id.
        tenant: String,
    },
    /// List what moved from which account to which, and for which records.
    Transfers {
        /// The tenant's name or id.
        tenant: String,
        /// Go on after this one.
        #[arg(long, default_value_t = 0, value_name = "N")]
        after: u64,
        /// How many.
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Say which grants paid for one request, and how much each.
    Trace {
        /// The tenant's name or id.
        tenant: String,
        /// The request's id, as usage records have it.
        request: RequestId,
    },
    /// Set what happens when the grants are used up, and when somebody is told; what is not named stays.
    Terms(TermsArguments),
    /// Make every transfer again from the raw records and the grants, and compare.
    Verify {
        /// The tenant's name or id.
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct TermsArguments {
    /// The tenant's name or id.
    tenant: String,
    /// At a balance of zero of a prepaid tenant: `refuse`, `allow` without bound, or an amount that may be
    /// consumed beyond the grants until an invoice has it.
    #[arg(long, value_name = "POLICY")]
    overage: Option<Policy>,
    /// Tell when the balance falls below this, or `none`.
    #[arg(long, value_name = "AMOUNT")]
    recharge_below: Option<Threshold>,
}

#[derive(Clone, Copy, Debug)]
struct Policy(Overage);

#[derive(Clone, Copy, Debug)]
struct Threshold(Option<Nanos>);

/// An amount above zero. The currency is the tenant's; it does not matter for how an amount is written.
fn amount(text: &str) -> Result<Nanos, String> {
    let money = Money::parse(text, Currency::USD).map_err(|error| error.to_string())?;
    let nanos = money.to_i64_nanos().map_err(|error| error.to_string())?;
    match Nanos::from_i64(nanos) {
        Ok(nanos) if !nanos.is_zero() => Ok(nanos),
        _ => Err("an amount must be more than zero".to_owned()),
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self(Overage::Refuse)),
            "allow" => Ok(Self(Overage::Allow(None))),
            text => amount(text).map(|most| Self(Overage::Allow(Some(most)))),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => amount(text).map(|below| Self(Some(below))),
        }
    }
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Show { tenant } => show(&ledger, &open::tenant(&ledger, &tenant).await?).await,
        Command::Transfers { tenant, after, limit } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let found = ledger.transfers_page(tenant.id, Some(after), usize::from(limit)).await?;
            list(&found, &tenant);
            Ok(())
        }
        Command::Trace { tenant, request } => {
            trace(&ledger, &open::tenant(&ledger, &tenant).await?, request).await
        }
        Command::Terms(arguments) => {
            let tenant = open::tenant(&ledger, &arguments.tenant).await?;
            let old = ledger.credit_terms(tenant.id).await?;
            let terms = CreditTerms {
                overage: arguments.overage.map_or(old.overage, |Policy(overage)| overage),
                recharge_below: arguments.recharge_below.map_or(old.recharge_below, |Threshold(below)| below),
            };
            ledger.set_credit_terms(tenant.id, terms, SystemClock.now()).await?;
            show(&ledger, &tenant).await
        }
        Command::Verify { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let proof = ledger.prove_credits(tenant.id).await?;
            let charged = money(proof.charged.get().into(), &tenant);
            let (transfers, records, currency) = (proof.transfers, proof.records, tenant.currency);
            out::say(&format!(
                "{transfers} transfers of tenant {} are what its grants and {records} records come to \
                 ({charged} {currency} charged)",
                tenant.name
            ));
            if proof.taken > 0 {
                let taken = proof.taken;
                out::say(&format!(
                    "{taken} of them are for records that were detached, and were taken as booked"
                ));
            }
            Ok(())
        }
    }
}

async fn show(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let balance = ledger.balance(tenant.id).await?;
    let terms = ledger.credit_terms(tenant.id).await?;
    let overage = match terms.overage {
        Overage::Refuse => "refused".to_owned(),
        Overage::Allow(None) => "allowed, billed by invoice".to_owned(),
        Overage::Allow(Some(most)) => {
            format!("allowed up to {} between two invoices", money(most.get().into(), tenant))
        }
    };
    let below = terms.recharge_below;
    let below = below.map_or_else(|| "-".to_owned(), |below| money(below.get().into(), tenant));
    let rows = [
        ("currency", tenant.currency.to_string()),
        ("granted", balance.granted.to_string()),
        ("expired", balance.expired.to_string()),
        ("charged", balance.charged.to_string()),
        ("  by invoice", balance.billed.to_string()),
        ("  overage", balance.overage.to_string()),
        ("left", balance.left().to_string()),
        ("at zero", overage),
        ("told below", below),
    ];
    for (name, text) in rows {
        out::say(&format!("{name:<12} {text}"));
    }
    Ok(())
}

fn list(found: &[StoredTransfer], tenant: &Tenant) {
    let rows: Vec<_> = found
        .iter()
        .map(|stored| {
            let transfer = &stored.transfer;
            let records = transfer.span.map_or_else(String::new, |span| {
                let journal = stored.journal_id.map(|journal| journal.to_string()).unwrap_or_default();
                format!("{} records, {} to {} of journal {journal}", span.records, span.first, span.last)
            });
            [
                stored.sequence.to_string(),
                stored.at.to_string(),
                stored.cause.as_str().to_owned(),
                words(&transfer.from),
                words(&transfer.to),
                money(transfer.amount.get().into(), tenant),
                records,
            ]
        })
        .collect();
    out::table(["NO", "AT", "CAUSE", "FROM", "TO", "AMOUNT", "FOR"], &rows);
}

/// An account with the id of its grant as other commands write it.
fn words(account: &Account) -> String {
    let grant = |name: &str, id: &GrantId| format!("{name} {id}");
    match account {
        Account::Grant(id) => grant("grant", id),
        Account::Breakage(id) => grant("breakage", id),
        Account::Consumed(model) => format!("consumed {model}"),
        Account::Issued | Account::Overage | Account::Billed => account.to_string(),
    }
}

async fn trace(ledger: &Ledger, tenant: &Tenant, request: RequestId) -> Result<(), CliError> {
    let parts = ledger.trace(tenant.id, request).await?;
    if parts.is_empty() {
        out::say(
            "no grant paid for it, and it is not owed: it was charged nothing, or came before the first grant",
        );
        return Ok(());
    }
    let rows: Vec<_> = parts
        .iter()
        .map(|part| [part.sequence.to_string(), words(&part.from), money(part.amount.get().into(), tenant)])
        .collect();
    out::table(["TRANSFER", "PAID BY", "AMOUNT"], &rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_thresholds_read_as_people_write_them() {
        let policy = |text: &str| text.parse::<Policy>().map(|Policy(overage)| overage).ok();
        let rows = [
            ("refuse", Some(Overage::Refuse)),
            ("allow", Some(Overage::Allow(None))),
            ("2.5", Some(Overage::Allow(Some(Nanos::new(2_500_000_000))))),
            ("0", None),
            ("-1", None),
            ("", None),
            ("Allow", None),
        ];
        for (text, expected) in rows {
            assert_eq!(policy(text), expected, "{text:?}");
        }
        let below = |text: &str| text.parse::<Threshold>().map(|Threshold(below)| below).ok();
        assert_eq!(below("none"), Some(None));
        assert_eq!(below("0.000000001"), Some(Some(Nanos::new(1))));
        assert_eq!(below("0"), None);
    }
}
