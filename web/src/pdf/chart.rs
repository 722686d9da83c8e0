//! Energy for what was produced, and the tokens of each day as bars.
//! Never a number that the invoice does not hold.
//! Called once for each PDF.

use billing::invoice::Invoice;

use super::canvas::{Canvas, Ink, MARGIN, RIGHT, Style};

/// How high the highest bar is.
const BARS: f32 = 64.0;
/// All of the chart with its words.
const HEIGHT: f32 = BARS + 48.0;

/// What the requests took from the meter, and how many tokens that gave.
pub(super) fn energy(canvas: &mut Canvas, invoice: &Invoice) {
    let Some(energy) = invoice.energy_text() else { return };
    canvas.need(24.0);
    let y = canvas.y;
    canvas.text(MARGIN, y, Style::LABEL, "ENERGY");
    canvas.y += canvas.column(MARGIN + 60.0, y - 1.0, RIGHT - MARGIN - 60.0, (Style::BODY, &energy)) + 8.0;
}

/// The tokens of each day.
pub(super) fn chart(canvas: &mut Canvas, invoice: &Invoice) {
    let days = &invoice.daily_tokens;
    let most = days.iter().map(|day| day.tokens).max().unwrap_or(0);
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return };
    if most == 0 {
        return;
    }
    canvas.need(HEIGHT);
    let top = canvas.y;
    canvas.text(MARGIN, top, Style::LABEL, "TOKENS PER DAY");
    let label = format!("most on one day: {}", billing::invoice::with_separators(most));
    canvas.text_until(RIGHT, top, Style::SMALL, &label);
    let base = top + 16.0 + BARS;
    let count = u16::try_from(days.len()).unwrap_or(u16::MAX);
    let step = (RIGHT - MARGIN) / f32::from(count.max(1));
    let mut x = MARGIN;
    for day in days {
        let height = BARS * share(day.tokens, most);
        if height > 0.0 {
            let bar = (f32::max(step * 0.72, 0.5), f32::max(height, 0.6));
            canvas.area(x + step * 0.14, base - bar.1, bar, Ink::Accent);
        }
        x += step;
    }
    canvas.area(MARGIN, base, (RIGHT - MARGIN, 0.6), Ink::Line);
    canvas.text(MARGIN, base + 4.0, Style::SMALL, &first.day);
    canvas.text_until(RIGHT, base + 4.0, Style::SMALL, &last.day);
    canvas.y = top + HEIGHT - 8.0;
}

/// A share of the highest bar, in thousandths: no float ever holds a count of tokens.
fn share(tokens: u64, most: u64) -> f32 {
    let thousandths = u128::from(tokens) * 1_000 / u128::from(most.max(1));
    u16::try_from(thousandths).map_or(1.0, f32::from) / 1_000.0
}
