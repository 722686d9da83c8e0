//! What people read of an invoice's lines, in the same words in every form.
//! Never an amount of its own: it writes what the lines hold.
//! Used by the HTML form here and by the PDF.

use super::{
    Invoice, Line, LineKind,
    text::{attained, counted, joules, with_separators},
};

impl Line {
    /// How much of what: `1,034 tokens`; nothing where nothing is counted.
    pub fn quantity_text(&self) -> String {
        match (self.units.as_ref().zip(self.units_name.as_ref()), self.unit.as_str()) {
            (Some((units, name)), _) => format!("{units} {name}"),
            (None, "") => String::new(),
            (None, "millijoules") => format!("{} J", joules(self.quantity)),
            (None, unit) => counted(self.quantity, unit),
        }
    }

    /// The true unit price: `0.15 USD per 1,000,000`; nothing where nothing is charged.
    pub fn price_text(&self, currency: &str) -> String {
        match (&self.unit_price, self.unit_price_per) {
            (Some(price), Some(1)) => format!("{price} {currency}"),
            (Some(price), Some(per)) => format!("{price} {currency} per {}", with_separators(per)),
            (Some(_) | None, Some(_) | None) => String::new(),
        }
    }

    /// How a credit came about; nothing elsewhere.
    pub fn note_text(&self) -> String {
        match (&self.percent, &self.attainment, &self.unit_price) {
            (Some(percent), Some(attainment), Some(_)) => {
                format!("{percent} % of the output price for each late token. {}.", attained(attainment))
            }
            (_, Some(attainment), None) => format!("{}.", attained(attainment)),
            (_, _, _) => String::new(),
        }
    }
}

impl Invoice {
    /// What the tenant is owed, where what is due is below zero.
    pub fn owed_to_tenant(&self) -> Option<&str> {
        self.amount_due.as_ref().unwrap_or(&self.total).strip_prefix('-')
    }

    /// The energy of all requests and the tokens for each joule, rounded down to hundredths; nothing without energy.
    pub fn energy_text(&self) -> Option<String> {
        let energy = self.lines.iter().filter(|line| line.kind == LineKind::Energy);
        let millijoules = energy.fold(0_u64, |sum, line| sum.saturating_add(line.quantity));
        let mut tokens = self.daily_tokens.iter().fold(0_u64, |sum, day| sum.saturating_add(day.tokens));
        if self.daily_tokens.is_empty() {
            let is_metered = |line: &&Line| {
                line.unit == "tokens"
                    && match line.kind {
                        LineKind::Charge => ["input", "cached_input", "output"].contains(&line.item.as_str()),
                        LineKind::NotBilled => true,
                        LineKind::Minimum
                        | LineKind::Maximum
                        | LineKind::Discount
                        | LineKind::SloCredit
                        | LineKind::Energy
                        | LineKind::Correction
                        | LineKind::Invoiced => false,
                    }
            };
            let metered = self.lines.iter().filter(is_metered);
            tokens = metered.fold(0, |sum, line| sum.saturating_add(line.quantity));
        }
        let hundredths = (u128::from(tokens) * 100_000).checked_div(u128::from(millijoules))?;
        Some(format!(
            "{} J for {}: {}.{:02} tokens per joule",
            joules(millijoules),
            counted(tokens, "tokens"),
            hundredths / 100,
            hundredths % 100
        ))
    }
}
