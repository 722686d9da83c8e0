//! What a credit note gives back: the table of lines, the taxes that go with it, the total.
//! Never computes an amount: each is what the note says.
//! Called once for each PDF of a credit note.

use billing::invoice::CreditNote;

use super::{
    body::ITEM,
    canvas::{Canvas, Ink, MARGIN, RIGHT, Style},
    totals,
};

/// How wide descriptions may be.
const ITEM_WIDTH: f32 = 380.0;

fn heading(canvas: &mut Canvas) {
    let y = canvas.y;
    canvas.area(MARGIN, y, (RIGHT - MARGIN, 18.0), Ink::Shade);
    canvas.text(MARGIN + 5.0, y + 4.5, Style::LABEL, "#");
    canvas.text(ITEM, y + 4.5, Style::LABEL, "GIVEN BACK, BY LINE OF THE INVOICE");
    canvas.text_until(RIGHT - 5.0, y + 4.5, Style::LABEL, "AMOUNT");
    canvas.y += 23.0;
}

/// The table of lines, with its heading again on each page.
pub(super) fn lines(canvas: &mut Canvas, note: &CreditNote) {
    heading(canvas);
    for line in &note.lines {
        let wrapped =
            canvas.fonts.wrap(&line.description, (Style::BODY.weight, Style::BODY.size), ITEM_WIDTH);
        // A line of a page is never so often broken that a float could not count it.
        let height = u16::try_from(wrapped.len()).map_or(0.0, f32::from) * Style::BODY.leading();
        if canvas.need(height + 9.0) {
            heading(canvas);
        }
        let y = canvas.y;
        canvas.text(MARGIN + 5.0, y, Style { ink: Ink::Soft, ..Style::BODY }, &line.position.to_string());
        let down = canvas.column(ITEM, y, ITEM_WIDTH, (Style::BODY, &line.description));
        canvas.text_until(RIGHT - 5.0, y, Style::BODY, &line.amount);
        canvas.y += down + 4.0;
        canvas.rule();
        canvas.y += 4.0;
    }
}

/// Subtotal, taxes, and the total that is given back.
pub(super) fn totals(canvas: &mut Canvas, note: &CreditNote) {
    totals::credit_note(canvas, note);
    let words = format!(
        "This credit note lowers what is owed of invoice {}. What was paid beyond that from credit is credit again; the \
         rest is owed to you.",
        note.invoice_number
    );
    canvas.y += 8.0;
    canvas.need(34.0);
    let y = canvas.y;
    canvas.y += canvas.column(MARGIN, y, RIGHT - MARGIN, (Style::SMALL, &words));
}
