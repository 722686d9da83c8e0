//! `tallygate issued`: what becomes of issued invoices: payments, refunds, and their end.
//! Never changes an invoice: each step is added, with who took it.
//! Called by `Cli::run`.

use std::path::PathBuf;

use billing::{
    invoice::{CreditLineRequest, CreditRequest},
    ledger::{InvoiceStanding, NewPayment, NewRefund, Recorded, RefundKind},
};
use clap::{Subcommand, ValueEnum};
use domain::{Clock as _, SystemClock};

use super::{CliError, open, out, parties::amount};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show where an invoice stands: what is due, and every step.
    Show {
        /// Its number.
        number: String,
    },
    /// Record a payment; the last one makes it paid.
    Pay {
        /// Its number.
        number: String,
        /// How much, in the invoice's currency.
        amount: String,
        /// The bank's or provider's reference: recording it twice is one payment.
        #[arg(long, value_name = "TEXT")]
        reference: String,
        /// For people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// Record what was given back of what the tenant is owed: paid out, or with --as-credit given now as a grant.
    Refund {
        /// Its number.
        number: String,
        /// How much, in the invoice's currency.
        amount: String,
        /// The bank's or provider's reference: recording it twice is one refund.
        #[arg(long, value_name = "TEXT")]
        reference: String,
        /// Give it as credit that the tenant may spend.
        #[arg(long)]
        as_credit: bool,
        /// For people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// Make it void: it never should have been, and what it billed comes onto the next invoice.
    Void {
        /// Its number.
        number: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give back a part of it, or all that is left: issues a credit note.
    Credit {
        /// Its number.
        number: String,
        /// A line to give back, as POSITION or POSITION=AMOUNT; may be given several times. Without any: all.
        #[arg(long = "line", value_name = "POSITION[=AMOUNT]")]
        lines: Vec<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Asking again with the same key is one credit note.
        #[arg(long, value_name = "KEY")]
        idempotency_key: String,
    },
    /// Print a credit note.
    CreditNote {
        /// Its number.
        number: String,
        /// As what.
        #[arg(long, value_enum, default_value_t = NoteFormat::Json)]
        format: NoteFormat,
        /// Into this file.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Note that nobody expects the money any more. It may still come.
    WriteOff {
        /// Its number.
        number: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum NoteFormat {
    /// As it was issued.
    Json,
    /// As a company sends it.
    Pdf,
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let now = SystemClock.now();
    let standing = match command {
        Command::Show { number } => {
            let found = ledger.invoice_standing(&number, now).await?;
            found.ok_or_else(|| missing(&number))?
        }
        Command::Pay { number, amount: text, reference, note } => {
            let found = ledger.find_invoice(&number).await?.ok_or_else(|| missing(&number))?;
            let amount = amount("the payment", &text, found.currency)?;
            let new = NewPayment { amount, reference: &reference, note: &note };
            let (standing, recorded) = ledger.record_payment(&number, &new, now).await?;
            if recorded == Recorded::Already {
                out::say("this payment was recorded before; nothing changed");
            }
            standing
        }
        Command::Refund { number, amount: text, reference, as_credit, note } => {
            let found = ledger.find_invoice(&number).await?.ok_or_else(|| missing(&number))?;
            let amount = amount("the refund", &text, found.currency)?;
            let kind = if as_credit { RefundKind::Grant } else { RefundKind::Payout };
            let new = NewRefund { kind, amount, reference: &reference, note: &note };
            let (standing, recorded) = ledger.record_refund(&number, &new, now).await?;
            if recorded == Recorded::Already {
                out::say("this refund was recorded before; nothing changed");
            }
            standing
        }
        Command::Credit { number, lines, reason, idempotency_key } => {
            let lines = lines.iter().map(|text| line_of(text)).collect::<Result<_, _>>()?;
            let request = (&CreditRequest { reason, lines }, idempotency_key.as_str());
            let note = ledger.issue_credit_note(&number, request, now).await?;
            out::say(&format!("credit note {} gives back {} {}", note.number, note.total, note.currency));
            ledger.invoice_standing(&number, now).await?.ok_or_else(|| missing(&number))?
        }
        Command::CreditNote { number, format, output } => {
            let found = ledger.find_credit_note(&number).await?;
            let none = || CliError::Usage(format!("there is no credit note {number:?}"));
            let note = found.ok_or_else(none)?;
            let rendered = match format {
                NoteFormat::Json => note.to_json()?.into_bytes(),
                NoteFormat::Pdf => {
                    web::credit_note_pdf(&note).map_err(|error| CliError::Usage(error.to_string()))?
                }
            };
            return out::give_to(output.as_deref(), &rendered);
        }
        Command::Void { number, reason } => ledger.void_invoice(&number, &reason, now).await?,
        Command::WriteOff { number, reason } => ledger.write_off_invoice(&number, &reason, now).await?,
    };
    show(&standing);
    Ok(())
}

/// `POSITION` or `POSITION=AMOUNT`.
fn line_of(text: &str) -> Result<CreditLineRequest, CliError> {
    let (position, amount) =
        text.split_once('=').map_or((text, None), |(place, amount)| (place, Some(amount)));
    let bad = |_| CliError::Usage(format!("--line is POSITION or POSITION=AMOUNT, not {text:?}"));
    Ok(CreditLineRequest { position: position.parse().map_err(bad)?, amount: amount.map(str::to_owned) })
}

fn missing(number: &str) -> CliError {
    CliError::Usage(format!("there is no issued invoice {number:?}"))
}

fn show(standing: &InvoiceStanding) {
    let currency = standing.currency;
    let money = |amount: billing::rate::MinorUnits| format!("{} {currency}", amount.to_text(currency));
    let due_at = standing.due_at.map_or_else(|| "without terms of payment".to_owned(), |at| at.to_string());
    let overdue = if standing.is_overdue { " (overdue)" } else { "" };
    let rows = [
        ("invoice", standing.number.clone()),
        ("tenant", standing.tenant_id.to_string()),
        ("state", standing.state.as_str().to_owned()),
        ("total", money(standing.total)),
        ("by grants", money(standing.granted)),
        ("paid", money(standing.paid)),
        ("credited", money(standing.credited)),
        ("due", money(standing.due)),
        ("due at", format!("{due_at}{overdue}")),
        ("refunded", money(standing.refunded)),
        ("owed to the tenant", money(standing.owed_to_tenant)),
    ];
    for (name, text) in rows {
        out::say(&format!("{name:<18} {text}"));
    }
    let step = |event: &billing::ledger::InvoiceEvent| {
        let amount = event.amount.map(|amount| amount.to_text(currency)).unwrap_or_default();
        let reference = event.reference.clone().unwrap_or_default();
        let actor = format!("{} {}", event.actor_kind, event.actor);
        [event.at.to_string(), event.kind.as_str().to_owned(), amount, reference, actor, event.note.clone()]
    };
    let steps: Vec<_> = standing.events.iter().map(step).collect();
    out::table(["AT", "STEP", "AMOUNT", "REFERENCE", "BY", "NOTE"], &steps);
    let refund = |refund: &billing::ledger::InvoiceRefund| {
        let source = refund.reference.clone().or(refund.credit_note.clone()).unwrap_or_default();
        let actor = format!("{} {}", refund.actor_kind, refund.actor);
        let amount = refund.amount.to_text(currency);
        [refund.at.to_string(), refund.kind.as_str().to_owned(), amount, source, actor, refund.note.clone()]
    };
    let refunds: Vec<_> = standing.refunds.iter().map(refund).collect();
    if !refunds.is_empty() {
        out::table(["AT", "REFUND", "AMOUNT", "REFERENCE", "BY", "NOTE"], &refunds);
    }
}
