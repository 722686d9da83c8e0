//! What is charged: the table of lines, the parts of projects, the last words.
//! Never computes an amount: each is what the invoice says.
//! Called once for each PDF.

use billing::invoice::{Invoice, Line};

use super::canvas::{Canvas, Ink, MARGIN, RIGHT, Style};

/// Where descriptions begin, behind the number of their line.
pub(super) const ITEM: f32 = MARGIN + 28.0;
/// How wide they may be.
const ITEM_WIDTH: f32 = 224.0;
/// Where quantities end.
const QUANTITY: f32 = 384.0;
/// How wide they may be.
const QUANTITY_WIDTH: f32 = 74.0;
/// Where prices end, and how wide they may be.
const PRICE: f32 = 476.0;
const PRICE_WIDTH: f32 = 86.0;

fn heading(canvas: &mut Canvas) {
    let y = canvas.y;
    canvas.area(MARGIN, y, (RIGHT - MARGIN, 18.0), Ink::Shade);
    let y = y + 4.5;
    canvas.text(MARGIN + 5.0, y, Style::LABEL, "#");
    canvas.text(ITEM, y, Style::LABEL, "DESCRIPTION");
    canvas.text_until(QUANTITY, y, Style::LABEL, "QUANTITY");
    canvas.text_until(PRICE, y, Style::LABEL, "UNIT PRICE");
    canvas.text_until(RIGHT - 5.0, y, Style::LABEL, "AMOUNT");
    canvas.y += 23.0;
}

/// A text that ends at a place, in as many lines as it takes; gives their height.
fn column_until(
    canvas: &mut Canvas,
    right: f32,
    (y, width): (f32, f32),
    (style, text): (Style, &str),
) -> f32 {
    let lines = canvas.fonts.wrap(text, (style.weight, style.size), width);
    let mut down = 0.0;
    for line in lines {
        canvas.text_until(right, y + down, style, &line);
        down += style.leading();
    }
    down
}

/// The table of lines, with its heading again on each page.
pub(super) fn lines(canvas: &mut Canvas, invoice: &Invoice) {
    heading(canvas);
    if invoice.lines.is_empty() {
        let y = canvas.y;
        canvas.text(ITEM, y, Style::BODY, "Nothing was used.");
        canvas.y += 18.0;
    }
    for line in &invoice.lines {
        let notes = notes_of(line);
        let height = height(canvas, line, &notes, &invoice.currency);
        if canvas.need(height) {
            heading(canvas);
        }
        let y = canvas.y;
        canvas.text(MARGIN + 5.0, y, Style { ink: Ink::Soft, ..Style::BODY }, &line.position.to_string());
        let mut down = canvas.column(ITEM, y, ITEM_WIDTH, (Style::BODY, &line.description));
        for note in &notes {
            down += canvas.column(ITEM, y + down, ITEM_WIDTH, (Style::SMALL, note));
        }
        let quantity = line.quantity_text();
        let quantity = column_until(canvas, QUANTITY, (y, QUANTITY_WIDTH), (Style::BODY, &quantity));
        let price = line.price_text(&invoice.currency);
        let price = column_until(canvas, PRICE, (y, PRICE_WIDTH), (Style::BODY, &price));
        canvas.text_until(RIGHT - 5.0, y, Style::BODY, &line.displayed);
        canvas.y += down.max(quantity).max(price) + 4.0;
        canvas.rule();
        canvas.y += 4.0;
    }
}

/// How high a line is with all that stands beneath it.
fn height(canvas: &Canvas, line: &Line, notes: &[String], currency: &str) -> f32 {
    let count = |text: &str, style: Style, width: f32| {
        let lines = canvas.fonts.wrap(text, (style.weight, style.size), width).len();
        // A line of a page is never so often broken that a float could not count it.
        u16::try_from(lines).map_or(0.0, f32::from) * style.leading()
    };
    let beneath: f32 = notes.iter().map(|note| count(note, Style::SMALL, ITEM_WIDTH)).sum();
    let item = count(&line.description, Style::BODY, ITEM_WIDTH) + beneath;
    let quantity = count(&line.quantity_text(), Style::BODY, QUANTITY_WIDTH);
    item.max(quantity).max(count(&line.price_text(currency), Style::BODY, PRICE_WIDTH)) + 9.0
}

/// What stands beneath a description: the plan, the arithmetic, how the promise was kept.
fn notes_of(line: &Line) -> Vec<String> {
    let version = line.price_version.as_ref().map(|version| format!("plan {version}"));
    let formula = line.formula.as_ref().map(|formula| format!("{formula} = {}", line.exact));
    let note = Some(line.note_text()).filter(|note| !note.is_empty());
    [version, formula, note].into_iter().flatten().collect()
}

/// How the subtotal divides over projects.
pub(super) fn projects(canvas: &mut Canvas, invoice: &Invoice) {
    if invoice.projects.is_empty() {
        return;
    }
    canvas.need(60.0);
    let y = canvas.y;
    canvas.area(MARGIN, y, (RIGHT - MARGIN, 18.0), Ink::Shade);
    canvas.text(MARGIN + 5.0, y + 4.5, Style::LABEL, "BY PROJECT");
    canvas.text_until(PRICE, y + 4.5, Style::LABEL, "USAGE RECORDS");
    canvas.text_until(RIGHT - 5.0, y + 4.5, Style::LABEL, "AMOUNT");
    canvas.y += 22.0;
    for share in &invoice.projects {
        canvas.need(18.0);
        let y = canvas.y;
        let down = canvas.column(MARGIN + 5.0, y, PRICE - MARGIN - 90.0, (Style::BODY, &share.path));
        canvas.text_until(PRICE, y, Style::BODY, &share.records.to_string());
        canvas.text_until(RIGHT - 5.0, y, Style::BODY, &share.displayed);
        canvas.y += down + 2.0;
    }
    canvas.y += 10.0;
}

/// How to pay, and what the amounts are.
pub(super) fn notes(canvas: &mut Canvas, invoice: &Invoice) {
    let payment = invoice.issuer.as_ref().and_then(|issuer| issuer.payment_note.as_ref());
    if let Some(note) = payment {
        canvas.need(40.0);
        let y = canvas.y;
        canvas.text(MARGIN, y, Style::LABEL, "PAYMENT");
        canvas.y += 12.0;
        let y = canvas.y;
        canvas.y += canvas.column(MARGIN, y, RIGHT - MARGIN, (Style::BODY, note)) + 8.0;
    }
    let untaxed = if invoice.taxes.is_none() { " No tax is included." } else { "" };
    let words = format!(
        "Each exact amount is computed as its line says. The amounts on the right are parts of the rounded subtotal: \
         each line is cut to whole minor units and what is missing goes to the lines that lost most, so they add up.\
         {untaxed}"
    );
    canvas.need(34.0);
    let y = canvas.y;
    canvas.y += canvas.column(MARGIN, y, RIGHT - MARGIN, (Style::SMALL, &words));
}
