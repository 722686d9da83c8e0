//! Computes the lines of an invoice that are about earlier ones: corrections, and parts that were invoiced before.
//! Never takes an earlier amount on trust where its invoice and usage are given; what is not given is counted as stated.
//! Called by `tallygate verify`, after the invoice itself was computed again.

use std::{collections::BTreeMap, io::BufRead};

use domain::{PlanVersionId, Timestamp};

use super::{
    Difference, EventReader, ReadEvents, UsageReader, VerifyError, by_version, events, made_at, period,
    rated, read_invoice, tenant, usage,
};
use crate::{
    invoice::{Invoice, Line, correction_lines, part_lines},
    ledger::{Document, Tenant},
    plan::Plan,
};

/// An invoice from before, and what its tenant has of its period.
pub struct Earlier<'a> {
    /// The invoice as JSON.
    pub invoice: String,
    /// The usage records of its period, as they were when the later invoice was made. `None`: not at hand.
    pub usage: Option<Box<dyn BufRead + 'a>>,
    /// The usage events of its period, of the same day. `None`: there were none.
    pub events: Option<Box<dyn BufRead + 'a>>,
    /// Whether it was void when the later invoice was made.
    pub is_void: bool,
}

/// How many lines about earlier invoices there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corrections {
    /// Computed again from earlier invoices and their usage.
    pub computed: usize,
    /// Taken as stated: what they are made of was not given.
    pub stated: usize,
}

/// An earlier invoice that was read.
struct Known<'a> {
    invoice: Invoice,
    document: Document,
    usage: Option<Box<dyn BufRead + 'a>>,
    events: Option<Box<dyn BufRead + 'a>>,
}

/// Computes what an invoice says of earlier ones.
///
/// For a correction it takes the original with its usage, and every other invoice up to this one that has lines about
/// the same period. Invoices that were made after this one are left aside.
/// Errors: the first line that comes to something else; what cannot be read or is another tenant's.
pub fn verify_corrections(
    invoice: &str,
    earlier: Vec<Earlier<'_>>,
    plans: Vec<Plan>,
) -> Result<Corrections, VerifyError> {
    let issued = read_invoice(invoice)?;
    let (tenant, plans) = (tenant(&issued)?, by_version(plans)?);
    let now = made_at(&issued)?;
    let mut known = Vec::new();
    for one in earlier {
        known.extend(read(one, (&issued, now))?);
    }
    let documents = documents(&known);
    let mut found = Corrections::default();
    let about = by_number(&issued);
    for (number, stated) in &about {
        let place = known.iter().position(|one| one.document.number == *number);
        let original = place.and_then(|place| Some((known.get_mut(place)?, documents.get(place)?)));
        let computed = match original {
            Some((original, document)) => {
                of_original((&issued, &tenant), (original, document, &documents), &plans, stated)
                    .map_err(|problem| named(number, problem))?
            }
            None => None,
        };
        let Some(computed) = computed else {
            found.stated += stated.len();
            continue;
        };
        if let Some(difference) = difference(stated, computed)? {
            return Err(VerifyError::CorrectionDiffers { number: number.clone(), difference });
        }
        found.computed += stated.len();
    }
    Ok(found)
}

/// Puts the number of an earlier invoice before what is wrong with it.
fn named(number: &str, problem: VerifyError) -> VerifyError {
    if matches!(problem, VerifyError::EarlierUsage { .. }) {
        return problem;
    }
    VerifyError::Earlier { number: number.to_owned(), problem: Box::new(problem) }
}

/// Reads an earlier invoice; nothing of one that is none.
fn read<'a>(
    one: Earlier<'a>,
    (issued, now): (&Invoice, Timestamp),
) -> Result<Option<Known<'a>>, VerifyError> {
    let invoice = read_invoice(&one.invoice)?;
    let Some(number) = invoice.number.clone() else {
        return Err(VerifyError::BadInvoice("an earlier one has no number: it is a draft".to_owned()));
    };
    let bad =
        |what: &str| named(&number, VerifyError::BadInvoice(format!("{what} is another than the invoice's")));
    if invoice.tenant.id != issued.tenant.id {
        return Err(bad("its tenant"));
    }
    if invoice.currency != issued.currency {
        return Err(bad("its currency"));
    }
    if issued.number.as_ref() == Some(&number) || made_at(&invoice)? > now {
        return Ok(None);
    }
    let document = Document {
        number,
        period: period(&invoice)?,
        records: invoice.records,
        body: one.invoice,
        is_of_part: false,
        is_void: one.is_void,
    };
    Ok(Some(Known { invoice, document, usage: one.usage, events: one.events }))
}

/// All that was invoiced before. What ends before another that begins with it is a part of that one.
fn documents(known: &[Known<'_>]) -> Vec<Document> {
    let of_part = |document: &Document| {
        known.iter().any(|other| {
            let other = &other.document.period;
            other.start() == document.period.start() && other.end() > document.period.end()
        })
    };
    let documents = known.iter().map(|one| &one.document);
    documents.map(|document| Document { is_of_part: of_part(document), ..document.clone() }).collect()
}

/// The lines about each earlier invoice, in their order.
fn by_number(issued: &Invoice) -> BTreeMap<String, Vec<Line>> {
    let mut about: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in issued.lines.iter().filter(|line| line.is_extra()) {
        let number = line.correction.as_ref().map_or(&line.item, |of| &of.invoice);
        about.entry(number.clone()).or_default().push(line.clone());
    }
    about
}

/// What the lines about one earlier invoice come to. `None`: its usage was not given.
fn of_original(
    (issued, tenant): (&Invoice, &Tenant),
    (original, document, all): (&mut Known<'_>, &Document, &[Document]),
    plans: &BTreeMap<PlanVersionId, Plan>,
    stated: &[Line],
) -> Result<Option<Vec<Line>>, VerifyError> {
    let bad = |error: crate::ledger::LedgerError| VerifyError::BadInvoice(error.to_string());
    let Some(of) = stated.iter().find_map(|line| line.correction.as_ref()) else {
        // A part of this period: its own total is all that counts.
        let part = Document { is_of_part: true, ..document.clone() };
        return part_lines(&[part], tenant, &period(issued)?).map(Some).map_err(bad);
    };
    let Some(usage) = original.usage.take() else { return Ok(None) };
    let its_period = document.period.clone();
    let read = usage::read(usage, UsageReader::new(tenant.id, &its_period, None))?;
    let told = match original.events.take() {
        Some(mut told) => events::read(&mut *told, EventReader::new(tenant.id, &its_period, None), plans)?,
        None => ReadEvents::default(),
    };
    let counted = (read.seal.records, told.count());
    if counted != (of.records, of.events) {
        let (number, (found_records, found_events)) = (document.number.clone(), counted);
        let (records, events) = (of.records, of.events);
        return Err(VerifyError::EarlierUsage { number, records, events, found_records, found_events });
    }
    let now = made_at(issued)?;
    let rated = rated(&original.invoice, (&read, &told), plans, now)?;
    correction_lines(tenant, (all, document), (&rated, counted), now).map(Some).map_err(bad)
}

/// The first place in which lines differ but for where they stand and what of the subtotal they show.
fn difference(stated: &[Line], mut computed: Vec<Line>) -> Result<Option<Difference>, VerifyError> {
    for (computed, stated) in computed.iter_mut().zip(stated) {
        computed.position = stated.position;
        computed.displayed.clone_from(&stated.displayed);
    }
    let bad = |error: serde_json::Error| VerifyError::BadInvoice(error.to_string());
    let text = |lines: &[Line]| serde_json::to_string(lines).map_err(bad);
    Ok(Difference::between(&text(stated)?, &text(&computed)?))
}
