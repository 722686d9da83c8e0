//! Issued invoices against the sums and records they were made of, their stored lines, their statements and exports.
//! Never a record that came after its invoice was issued: a seal tells which those are.
//! Called by `reconcile`, tenant by tenant.

use std::collections::BTreeMap;

use domain::{Period, PlanVersionId, ProjectId, Timestamp};
use serde::Serialize;

use super::{Finding, HandOver, ReconcileError, Walk, events};
use crate::{
    export::{Booked, ExportError, usage_line},
    invoice::Invoice,
    ledger::{
        BookingList, BookingPosition, IssuedInvoice, LedgerError, LinePart, RecordFilter, Tenant, UsageSum,
        UsageTotals,
    },
    plan::Plan,
    rate::MinorUnits,
    statement::{PublicKey, Seal, SealSums, Statement},
    verify::{self, Difference, ReadEvents, ReadUsage, RecordProblem, UsageReader, VerifyError},
};

/// Invoices read at once.
const INVOICES_PAGE: usize = 100;

/// Compares every issued invoice of a tenant, or those that touch a period.
pub(super) async fn compare(
    walk: &mut Walk<'_>,
    tenant: &Tenant,
    period: Option<&Period>,
) -> Result<(), ReconcileError> {
    let projects = walk.ledger.projects(tenant.id).await?;
    let paths = projects.into_iter().map(|project| (project.id, project.path)).collect();
    let all = (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX));
    let mut after: Option<BookingPosition> = None;
    loop {
        // Also those of parts of running periods.
        let list = (BookingList::Invoices, after);
        let page = walk.ledger.bookings_page(tenant.id, list, all, INVOICES_PAGE).await?;
        let is_wanted = |issued: &&IssuedInvoice| {
            period.is_none_or(|period| {
                issued.period.start() < period.end() && issued.period.end() > period.start()
            })
        };
        for issued in page.iter().map(|booking| &booking.issued).filter(is_wanted) {
            of_invoice(walk, issued, &paths).await?;
            walk.count(HandOver::TalliesToInvoice, 1);
        }
        after = page.last().map(|booking| booking.position);
        if page.len() < INVOICES_PAGE {
            return Ok(());
        }
    }
}

async fn of_invoice(
    walk: &mut Walk<'_>,
    issued: &IssuedInvoice,
    paths: &BTreeMap<ProjectId, String>,
) -> Result<(), ReconcileError> {
    if walk.ledger.is_detached_within(&issued.period).await? {
        walk.report.invoices_not_compared += 1;
        return Ok(());
    }
    let subject = format!("invoice {}", issued.number);
    let read_back = Invoice::from_issued(&issued.body)?;
    let seal = walk.ledger.seal_body(&issued.number).await?;
    let seal = seal.as_deref().map(Seal::from_json).transpose()?;
    let Some(mut read) = read(walk, issued, seal.as_ref(), paths).await? else { return Ok(()) };
    let Some(told) = events::read(walk, issued, seal.as_ref(), paths).await? else { return Ok(()) };
    read.seal.events.clone_from(&told.seal);
    walk.report.records_late += read.records_late + told.late;
    let has_more = read.seal.records > issued.records || told.count() > read_back.events;
    let is_late = seal.is_none() && has_more;
    if is_late {
        walk.report.invoices_not_compared += 1;
    } else {
        records(walk, &subject, issued, (&read, &told)).await?;
        if read.records_late == 0 {
            tallies(walk, issued, &read).await?;
        }
        walk.equal((HandOver::TalliesToInvoice, &subject), &seal.unwrap_or(read.seal.clone()), &read.seal);
        statement(walk, &subject, issued, &read_back, &read.seal).await?;
    }
    lines(walk, &subject, issued, &read_back).await?;
    exported(walk, &subject, read_back).await
}

/// Reads the period's records as they are exported, and back. `None`: one of them is not what was measured.
async fn read(
    walk: &mut Walk<'_>,
    issued: &IssuedInvoice,
    seal: Option<&Seal>,
    paths: &BTreeMap<ProjectId, String>,
) -> Result<Option<ReadUsage>, ReconcileError> {
    let mut reader = UsageReader::new(issued.tenant_id, &issued.period, seal);
    let (all, mut after) = (RecordFilter::default(), None);
    loop {
        let page = walk.ledger.filtered_page(issued.tenant_id, &issued.period, &all, after).await?;
        for stored in &page.records {
            let subject = format!("request {}", stored.journaled.record.request_id);
            let line = usage_line(stored, paths);
            let taken = verify::take_line(&mut reader, line.as_bytes());
            let hand_over = match &taken {
                Ok(()) => continue,
                // Such a record is not what its journal had.
                Err(RecordProblem::WrongHash { .. }) => HandOver::JournalToLedger,
                Err(_) => HandOver::InvoiceToExport,
            };
            let (before, after) = match taken {
                Err(RecordProblem::WrongHash { computed, stated, .. }) => {
                    (stated.to_string(), computed.to_string())
                }
                Err(problem) => ("what the ledger has".to_owned(), problem.to_string()),
                Ok(()) => continue,
            };
            walk.note(Finding { hand_over, subject, field: "hash of the record".to_owned(), before, after });
            return Ok(None);
        }
        let count = u64::try_from(page.records.len()).unwrap_or(u64::MAX);
        walk.count(HandOver::InvoiceToExport, count);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(Some(reader.finish())),
        }
    }
}

/// The invoice, computed again from the records.
async fn records(
    walk: &mut Walk<'_>,
    subject: &str,
    issued: &IssuedInvoice,
    read: (&ReadUsage, &ReadEvents),
) -> Result<(), ReconcileError> {
    let mut plans: BTreeMap<PlanVersionId, Plan> = BTreeMap::new();
    let needed = verify::plans_of(&Invoice::from_issued(&issued.body)?, read);
    for version in needed.map_err(|error| LedgerError::corrupt("invoice", &error))? {
        if let Some(plan) = walk.ledger.plan_version(&version).await? {
            plans.insert(version, plan);
        }
    }
    match verify::compare(&issued.body, read, &plans) {
        Ok(_) => {}
        Err(VerifyError::Differs(Difference { path, stated, computed })) => walk.note(Finding {
            hand_over: HandOver::TalliesToInvoice,
            subject: subject.to_owned(),
            field: path,
            before: computed,
            after: stated,
        }),
        Err(other) => walk.note(Finding {
            hand_over: HandOver::TalliesToInvoice,
            subject: subject.to_owned(),
            field: "its recomputation".to_owned(),
            before: other.to_string(),
            after: "the issued invoice".to_owned(),
        }),
    }
    Ok(())
}

/// The hourly tallies, summed as an invoice sums them, against the records that are on it.
async fn tallies(
    walk: &mut Walk<'_>,
    issued: &IssuedInvoice,
    read: &ReadUsage,
) -> Result<(), ReconcileError> {
    let summed = walk.ledger.usage_sums(issued.tenant_id, &issued.period).await?;
    let (before, after) = (by_group(summed.iter())?, by_group(read.sums())?);
    // More may have come meanwhile; then they are late, and no difference.
    let records = |groups: &Groups| groups.values().map(|group| group.requests).sum::<u64>();
    if records(&before) <= records(&after) {
        walk.equal(
            (HandOver::TalliesToInvoice, &format!("tallies of invoice {}", issued.number)),
            &before,
            &after,
        );
    }
    Ok(())
}

/// Requests and sums by plan version, model, class, reason and energy source.
type Groups = BTreeMap<String, Group>;

#[derive(PartialEq, Serialize)]
struct Group {
    requests: u64,
    sums: SealSums,
}

fn by_group<'a>(sums: impl Iterator<Item = &'a UsageSum>) -> Result<Groups, LedgerError> {
    let mut groups: BTreeMap<String, UsageTotals> = BTreeMap::new();
    for sum in sums {
        let (class, reason, source) =
            (sum.slo_class.as_str(), sum.reason.as_str(), sum.energy_source.as_str());
        let group = format!("{}, {}, {class}, {reason}, {source}", sum.price_version, sum.model);
        let totals = groups.entry(group).or_default();
        *totals = totals.checked_add(&sum.totals)?;
    }
    let group = |totals: &UsageTotals| Group { requests: totals.requests, sums: SealSums::of(totals) };
    Ok(groups.into_iter().map(|(name, totals)| (name, group(&totals))).collect())
}

/// The statement that was signed of it.
async fn statement(
    walk: &mut Walk<'_>,
    subject: &str,
    issued: &IssuedInvoice,
    read_back: &Invoice,
    seal: &Seal,
) -> Result<(), ReconcileError> {
    let Some(stored) = walk.ledger.find_statement(&issued.number).await? else { return Ok(()) };
    let keys: Vec<PublicKey> = PublicKey::from_bytes(&stored.public_key).into_iter().collect();
    let read = Statement::from_json(&stored.body).and_then(|stated| {
        stated.check_signature(&keys)?;
        Ok(stated)
    });
    let stated = match read {
        Ok(stated) => stated,
        Err(error) => {
            walk.note(Finding {
                hand_over: HandOver::TalliesToInvoice,
                subject: subject.to_owned(),
                field: "its statement".to_owned(),
                before: "a signature that fits".to_owned(),
                after: error.to_string(),
            });
            return Ok(());
        }
    };
    let expected = Statement {
        made_at: stated.made_at.clone(),
        key_id: stated.key_id.clone(),
        signature: stated.signature.clone(),
        ..Statement::of(read_back, &issued.body, &issued.period, seal.clone())
    };
    walk.equal((HandOver::TalliesToInvoice, &format!("statement of {subject}")), &expected, &stated);
    Ok(())
}

/// The lines that SQL sums, against those of the invoice's text.
async fn lines(
    walk: &mut Walk<'_>,
    subject: &str,
    issued: &IssuedInvoice,
    read_back: &Invoice,
) -> Result<(), ReconcileError> {
    let stored = walk.ledger.invoice_line_parts(&issued.number).await?;
    let shown = |part: &LinePart| {
        let displayed = MinorUnits::new(part.displayed_minor).to_text(issued.currency);
        [
            part.position.to_string(),
            part.kind.clone(),
            part.item.clone(),
            part.quantity.to_string(),
            part.exact.clone(),
            displayed,
        ]
    };
    let stored: Vec<_> = stored.iter().map(shown).collect();
    let text: Vec<_> = read_back
        .lines
        .iter()
        .map(|line| {
            [
                line.position.to_string(),
                line.kind.as_str().to_owned(),
                line.item.clone(),
                line.quantity.to_string(),
                line.exact.clone(),
                line.displayed.clone(),
            ]
        })
        .collect();
    walk.equal((HandOver::TalliesToInvoice, &format!("stored lines of {subject}")), &text, &stored);
    Ok(())
}

/// What is exported of it and of its credit notes must add up to what is owed and given back.
async fn exported(walk: &mut Walk<'_>, subject: &str, invoice: Invoice) -> Result<(), ReconcileError> {
    let notes = match &invoice.number {
        Some(number) => walk.ledger.credit_notes(number).await?,
        None => Vec::new(),
    };
    let mut sums = Vec::with_capacity(notes.len() + 1);
    for note in &notes {
        let sum = Booked::of_note(invoice.clone(), note, None).and_then(|booked| booked.check_sum());
        sums.push((format!("credit note {}", note.number), note.total.clone(), sum));
    }
    let total = invoice.total.clone();
    sums.push((subject.to_owned(), total, Booked::of_invoice(invoice, false).check_sum()));
    for (subject, before, sum) in sums {
        note_sum(walk, subject, before, sum);
    }
    Ok(())
}

fn note_sum(walk: &mut Walk<'_>, subject: String, before: String, sum: Result<(), ExportError>) {
    if let Err(error) = sum {
        walk.note(Finding {
            hand_over: HandOver::InvoiceToExport,
            subject,
            field: "the sum of BilledCost".to_owned(),
            before,
            after: error.to_string(),
        });
    }
}
