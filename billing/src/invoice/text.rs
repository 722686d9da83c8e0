//! An invoice as plain text for a terminal: one entry per line with its arithmetic beneath.
//! Never a second computation: it prints what the invoice holds.
//! Called by `Invoice::to_text`.

use super::{Attainment, Invoice, Line, LineKind, Status};
use crate::{ledger::Party, tax::TaxMode};

/// Columns of the page.
const WIDTH: usize = 96;
/// Columns of the amounts on the right: 19 digits of minor units with sign, point and a space between.
const AMOUNT_WIDTH: usize = 22;
/// Columns before an entry's text.
const INDENT: usize = 6;

pub(super) fn render(invoice: &Invoice) -> String {
    let mut page = Page(String::new());
    head(&mut page, invoice);
    page.rule('=');
    page.row("   #  Item and how it is computed", &format!("Amount {}", invoice.currency));
    page.rule('-');
    for line in &invoice.lines {
        entry(&mut page, line, &invoice.currency);
    }
    if invoice.lines.is_empty() {
        page.row("      Nothing was used.", "");
    }
    page.rule('-');
    page.row(&format!("      Sum of the exact amounts = {}", invoice.subtotal_exact), "");
    page.row("      Subtotal, rounded once, half away from zero", &invoice.subtotal);
    taxes(&mut page, invoice);
    page.row(&format!("      TOTAL {}", invoice.currency), &invoice.total);
    payments(&mut page, invoice);
    projects(&mut page, invoice);
    days(&mut page, invoice);
    page.rule('=');
    page.line("The amounts on the right are parts of the rounded subtotal: each line is cut to whole minor");
    page.line(tax_words(invoice));
    page.0
}

fn head(page: &mut Page, invoice: &Invoice) {
    match (invoice.status, &invoice.number) {
        (Status::Issued, Some(number)) => page.line(&format!("INVOICE {number}")),
        (Status::Issued | Status::Draft, _) => page.line("DRAFT INVOICE: it may change, and nobody owes it"),
    }
    page.line(&format!("Tenant    {} ({})", invoice.tenant.name, invoice.tenant.id));
    if let Some(issuer) = &invoice.issuer {
        party(page, "Issuer    ", &issuer.party);
    }
    if let Some(customer) = &invoice.customer {
        party(page, "Customer  ", customer);
    }
    let period = &invoice.period;
    let remark = period.remark().map(|remark| format!(", {remark}")).unwrap_or_default();
    page.line(&format!(
        "Period    {} up to, not including, {} ({}{remark})",
        period.start, period.end, period.zone
    ));
    let made = if invoice.number.is_some() { "Issued  " } else { "Made    " };
    page.line(&format!("{made}  {}", invoice.made_at));
    if let Some(due) = &invoice.due_at {
        page.line(&format!("Due       {due}"));
    } else if let Some(days) = invoice.payment_days {
        page.line(&format!("Due       {} after it is issued", counted(u64::from(days), "days")));
    }
    if let Some(note) = invoice.issuer.as_ref().and_then(|issuer| issuer.payment_note.as_ref()) {
        texts(page, "Payment   ", note);
    }
    page.line(&format!("Records   {}", with_separators(invoice.records)));
    if let Some(number) = &invoice.issued_as {
        let late = late_records(invoice);
        page.line(&format!("Issued    as {number} before; {late}"));
    }
}

/// A name and address, each on a line of its own.
fn party(page: &mut Page, label: &str, party: &Party) {
    texts(page, label, &party.legal_name);
    let tax_id = party.tax_id.as_ref().map(|tax_id| format!("Tax id {tax_id}"));
    for text in party.address.iter().chain(&party.country).chain(&tax_id).chain(&party.email) {
        texts(page, "          ", text);
    }
}

fn texts(page: &mut Page, label: &str, text: &str) {
    for (index, chunk) in chunks(text, WIDTH - label.len()).iter().enumerate() {
        let label = if index == 0 { label.to_owned() } else { " ".repeat(label.len()) };
        page.line(&format!("{label}{chunk}"));
    }
}

/// Each tax, or why there is none.
fn taxes(page: &mut Page, invoice: &Invoice) {
    let Some(taxes) = &invoice.taxes else { return };
    for tax in &taxes.lines {
        let (words, amount) = match tax.mode {
            TaxMode::Exclusive => ("", tax.amount.clone()),
            TaxMode::Inclusive => (" (contained)", format!("({})", tax.amount)),
        };
        page.row(&format!("      {} {} %{words}", tax.name, tax.percent), &amount);
        page.line(&format!("        {} = {}, rounded once", tax.formula, tax.amount));
    }
    if let Some(note) = &taxes.note {
        texts(page, "      ", note);
    }
}

/// The last words of an invoice: whether taxes are on it.
pub(super) fn tax_words(invoice: &Invoice) -> &'static str {
    match &invoice.taxes {
        None => {
            "units, and what is missing goes to the lines that lost most, so they add up. No tax is included."
        }
        Some(_) => "units, and what is missing goes to the lines that lost most, so they add up.",
    }
}

/// What grants paid of the total, and what is left to pay.
fn payments(page: &mut Page, invoice: &Invoice) {
    for payment in &invoice.payments {
        let texts = chunks(&payment.description, WIDTH - INDENT - AMOUNT_WIDTH);
        for (index, text) in texts.iter().enumerate() {
            let is_last = index + 1 == texts.len();
            let amount = if is_last { format!("-{}", payment.displayed) } else { String::new() };
            page.row(&format!("{:INDENT$}{text}", ""), &amount);
        }
        page.line(&format!("{:INDENT$}  grant {}, exactly {}", "", payment.grant_id, payment.exact));
    }
    if let Some(due) = &invoice.amount_due {
        page.row(&format!("      AMOUNT DUE {}", invoice.currency), due);
    }
    if let Some(owed) = invoice.owed_to_tenant() {
        page.row(&format!("      OWED TO THE TENANT {}", invoice.currency), owed);
    }
}

/// How the subtotal divides over projects, where there are any.
fn projects(page: &mut Page, invoice: &Invoice) {
    if invoice.projects.is_empty() {
        return;
    }
    page.rule('-');
    page.row("      By project", "");
    for share in &invoice.projects {
        let names = chunks(&share.path, WIDTH - INDENT - AMOUNT_WIDTH);
        for (index, name) in names.iter().enumerate() {
            let amount = if index + 1 == names.len() { share.displayed.as_str() } else { "" };
            page.row(&format!("{:INDENT$}{name}", ""), amount);
        }
        let records = counted(share.records, "usage records");
        page.line(&format!("{:INDENT$}  {records}, exactly {}", "", share.exact));
    }
}

/// Energy and the tokens of each day that was used, where the invoice has them.
fn days(page: &mut Page, invoice: &Invoice) {
    if invoice.daily_tokens.is_empty() {
        return;
    }
    page.rule('-');
    if let Some(energy) = invoice.energy_text() {
        page.line(&format!("      Energy: {energy}"));
    }
    for day in invoice.daily_tokens.iter().filter(|day| day.tokens > 0) {
        page.row(&format!("      {}", day.day), &counted(day.tokens, "tokens"));
    }
}

fn entry(page: &mut Page, line: &Line, currency: &str) {
    let version = line.price_version.as_ref().map(|version| format!(" [{version}]")).unwrap_or_default();
    let description = format!("{}{version}", line.description);
    let texts = chunks(&description, WIDTH - INDENT - AMOUNT_WIDTH);
    for (index, text) in texts.iter().enumerate() {
        let position = if index == 0 { format!("{:>4}", line.position) } else { "    ".to_owned() };
        let amount = if index + 1 == texts.len() { line.displayed.as_str() } else { "" };
        page.row(&format!("{position}  {text}"), amount);
    }
    for text in arithmetic(line, currency) {
        for chunk in chunks(&text, WIDTH - INDENT - 2) {
            page.line(&format!("{:INDENT$}  {chunk}", ""));
        }
    }
}

/// The arithmetic of a line, one step per text.
fn arithmetic(line: &Line, currency: &str) -> Vec<String> {
    if line.kind == LineKind::Invoiced {
        return Vec::new();
    }
    if let Some((units, name)) = line.units.as_ref().zip(line.units_name.as_ref()) {
        let (price, per) = (line.unit_price.as_deref().unwrap_or("0"), line.unit_price_per.unwrap_or(1));
        let per = if per == 1 { String::new() } else { format!(" per {}", with_separators(per)) };
        let mut metered = counted(line.quantity, &line.unit);
        // Usage events come without a request.
        if line.requests > 0 {
            metered = format!("{metered} in {}", counted(line.requests, "requests"));
        }
        return vec![
            format!("{units} {name} × {price} {currency}{per} = {}", line.exact),
            format!("metered: {metered}"),
        ];
    }
    if let Some(formula) = line.formula.as_ref().filter(|_| line.unit_price.is_none()) {
        let met = line.attainment.as_ref().map(attained);
        return [Some(format!("{formula} = {}", line.exact)), met].into_iter().flatten().collect();
    }
    let Some((price, per)) = line.unit_price.as_ref().zip(line.unit_price_per) else {
        return vec![match line.unit.as_str() {
            "millijoules" => {
                format!("{} J in {}", joules(line.quantity), counted(line.requests, "requests"))
            }
            unit => format!("{} in {}", counted(line.quantity, unit), counted(line.requests, "requests")),
        }];
    };
    let quantity = counted(line.quantity, &line.unit);
    let product = format!("{quantity} × {price} {currency} per {}", with_separators(per));
    let Some((percent, attainment)) = line.percent.as_ref().zip(line.attainment.as_ref()) else {
        return vec![format!("{product} = {}", line.exact)];
    };
    vec![format!("{product} × {percent} %, given back = {}", line.exact), attained(attainment)]
}

/// How the promise was kept.
pub(super) fn attained(attainment: &Attainment) -> String {
    format!(
        "SLO met by {} of {} ({} %, rounded down)",
        with_separators(attainment.requests_slo_met),
        counted(attainment.requests, "requests"),
        attainment.percent_rounded_down
    )
}

/// What came after the invoice was issued, of a draft for the same period.
pub(super) fn late_records(invoice: &Invoice) -> String {
    let is_one = invoice.late_records == 1;
    let late = counted(invoice.late_records, "usage records");
    format!("{late} came later and {} not on it", if is_one { "is" } else { "are" })
}

/// A page that grows line by line.
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    fn rule(&mut self, mark: char) {
        self.line(&mark.to_string().repeat(WIDTH));
    }

    /// A text on the left and an amount on the right.
    fn row(&mut self, text: &str, amount: &str) {
        let gap = WIDTH.saturating_sub(text.chars().count() + amount.chars().count()).max(1);
        self.line(&format!("{text}{}{amount}", " ".repeat(gap)));
    }
}

/// A text in pieces of at most `length` characters, cut between words where there are any.
fn chunks(text: &str, length: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        if used + word.trim_end().chars().count() > length && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        while !rest.is_empty() {
            let take = rest.len().min(length.saturating_sub(used).max(1));
            let piece: String = rest.drain(..take).collect();
            used += take;
            if let Some(last) = pieces.last_mut() {
                last.push_str(&piece);
            }
            if !rest.is_empty() {
                pieces.push(String::new());
                used = 0;
            }
        }
    }
    pieces
}

/// A count with a comma after each three digits.
pub fn with_separators(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what it counts: a name in the plural ("1 token", "2 tokens"), a short unit as it is ("1 ms"), or a part of
/// a unit ("1,500 × 0.001 s").
pub(super) fn counted(count: u64, plural: &str) -> String {
    let number = with_separators(count);
    if plural.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("{number} × {plural}");
    }
    let singular = plural.strip_suffix('s').filter(|stem| stem.len() > 2).unwrap_or(plural);
    format!("{number} {}", if count == 1 { singular } else { plural })
}

/// Millijoules as joules, exactly.
pub(super) fn joules(millijoules: u64) -> String {
    format!("{}.{:03}", with_separators(millijoules / 1_000), millijoules % 1_000)
}
