//! Texts of plans, drawn by lot: every charge model, bound, discount, credit and fee, in every currency.
//! Never a term that is checked here: what the product refuses is drawn again.
//! Used by the world when a version is published.

use billing::plan::Plan;
use jiff::civil::Date;

use crate::dice::Dice;

/// Charges of a plan: the same names in each version, though not always for the same.
const CHARGES_MAX: u64 = 5;

/// Which version is to be drawn.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u32,
    pub(crate) effective: Option<Date>,
}

/// A plan that the product takes.
pub(crate) fn plan(dice: &mut Dice, wanted: &Wanted<'_>) -> Plan {
    for _ in 0..100 {
        let text = Draft { dice, is_in_credits: false, text: String::new() }.plan(wanted);
        match Plan::from_text("drawn", &text) {
            Ok(plan) => return plan,
            Err(error) => assert!(!error.to_string().contains("expected"), "{error}\n{text}"),
        }
    }
    panic!("a hundred plans were refused");
}

struct Draft<'a> {
    dice: &'a mut Dice,
    is_in_credits: bool,
    text: String,
}

impl Draft<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{name} = \"{value}\""));
    }

    fn maybe(&mut self, per_mille: u64, line: &str) {
        if self.dice.is_one_of(per_mille) {
            self.line(line);
        }
    }

    /// An amount; in credits it has fewer decimals, so that it has at most nine in the currency.
    fn money(&mut self, whole: u64) -> String {
        let amount = self.dice.decimal(whole);
        match amount.split_once('.') {
            Some((units, decimals)) if self.is_in_credits && decimals.len() > 4 => {
                format!("{units}.{}", &decimals[..4])
            }
            Some(_) | None => amount,
        }
    }

    fn percent(&mut self) -> String {
        match self.dice.below(6) {
            0 => "100".to_owned(),
            1 => "0".to_owned(),
            _ => self.dice.decimal(100),
        }
    }

    fn plan(mut self, wanted: &Wanted<'_>) -> String {
        let currency = wanted.name.split('-').next().unwrap_or_default().to_uppercase();
        self.field("name", wanted.name);
        self.line(&format!("version = {}", wanted.version));
        self.field("currency", &currency);
        if let Some(day) = wanted.effective {
            self.field("effective_from", &day.to_string());
        }
        self.maybe(250, "billed_reasons = [\"completed\", \"client_gone\", \"deadline\"]");
        if self.dice.is_one_of(150) {
            self.is_in_credits = true;
            self.line("[price_unit]\nname = \"credit\"\nworth = \"0.25\"");
        }
        let class = *self.dice.pick(&["interactive", "standard", "batch"]);
        self.line(&format!("[slo]\nclass = \"{class}\""));
        let charges = self.charges();
        let credits = self.credits(&charges);
        let fees = self.fees();
        self.prices(charges.is_empty());
        self.text + &credits + &fees + &charges.concat()
    }

    fn prices(&mut self, is_needed: bool) {
        if !is_needed && self.dice.is_one_of(100) {
            return;
        }
        for model in ["alpha", "*"] {
            let (input, cached, output) = (self.money(9), self.money(3), self.money(40));
            self.line(&format!("[[price]]\nmodel = \"{model}\""));
            self.field("input_per_mtok", &input);
            self.maybe(700, &format!("cached_input_per_mtok = \"{cached}\""));
            self.field("output_per_mtok", &output);
        }
    }

    /// Credits for lateness; those for attainment may name charges that count one class alone.
    fn credits(&mut self, charges: &[String]) -> String {
        let mut credits =
            Draft { dice: &mut *self.dice, is_in_credits: self.is_in_credits, text: String::new() };
        if credits.dice.is_one_of(250) {
            return String::new();
        }
        credits.line("[slo_credit]");
        let (tokens, requests) = (credits.percent(), credits.percent());
        credits.field("late_tokens_percent", &tokens);
        credits.maybe(500, &format!("late_requests_percent = \"{requests}\""));
        let is_of_one = |charge: &&String| charge.contains("classes = [\"") && !charge.contains("\"energy\"");
        let of_one = charges.iter().filter(is_of_one).filter_map(|charge| charge.split('"').nth(1));
        let names: Vec<String> = of_one.map(|name| format!(", \"{name}\"")).collect();
        for below in [100, 90] {
            if credits.dice.is_one_of(450) {
                let percent = credits.percent();
                credits.line(&format!(
                    "[[slo_credit.attainment]]\nbelow = \"{below}\"\npercent = \"{percent}\""
                ));
                credits.maybe(300, "classes = [\"interactive\", \"batch\"]");
                credits.maybe(600, &format!("charges = [\"tokens\"{}]", names.concat()));
            }
        }
        credits.text
    }

    fn fees(&mut self) -> String {
        let mut fees =
            Draft { dice: &mut *self.dice, is_in_credits: self.is_in_credits, text: String::new() };
        let prorations = ["", "proration = \"day\"\n", "proration = \"second\"\n", "proration = \"none\"\n"];
        if fees.dice.is_one_of(700) {
            let amount = fees.money(90);
            let timing = *fees.dice.pick(&[
                "timing = \"advance\"",
                "timing = \"arrears\"",
                "timing = \"advance\"\non_cancel = \"keep\"",
            ]);
            let proration = *fees.dice.pick(&prorations);
            fees.line(&format!("[base_fee]\namount = \"1{amount}\"\n{timing}\n{proration}"));
        }
        if fees.dice.is_one_of(350) {
            let (amount, proration) = (fees.money(60), *fees.dice.pick(&prorations));
            fees.line(&format!("[commitment]\namount = \"1{amount}\"\n{proration}"));
        }
        if fees.dice.is_one_of(350) {
            let (days, usage) = (fees.dice.below(40) + 1, *fees.dice.pick(&["free", "charged"]));
            fees.line(&format!("[trial]\ndays = {days}\nusage = \"{usage}\""));
        }
        fees.text
    }

    /// Charges, then discounts, each a text of its own.
    fn charges(&mut self) -> Vec<String> {
        let mut names = vec!["tokens".to_owned()];
        let mut texts = Vec::new();
        for place in 0..self.dice.below(CHARGES_MAX + 1) {
            let name = format!("c{place}");
            let mut charge =
                Draft { dice: &mut *self.dice, is_in_credits: self.is_in_credits, text: String::new() };
            charge.line(&format!("[[charge]]\nname = \"{name}\""));
            charge.charge(&names);
            texts.push(charge.text);
            names.push(name);
        }
        for place in 0..self.dice.below(3) {
            let mut discount =
                Draft { dice: &mut *self.dice, is_in_credits: self.is_in_credits, text: String::new() };
            discount.line(&format!("[[discount]]\nname = \"d{place}\""));
            let (amount, percent) = (discount.money(9), discount.percent());
            match discount.dice.is_one_of(500) {
                true => discount.field("amount", &amount),
                false => discount.field("percent", &percent),
            }
            discount.some_of("charges", &names);
            texts.push(discount.text);
        }
        texts
    }

    fn some_of(&mut self, field: &str, names: &[String]) {
        let chosen: Vec<String> =
            names.iter().filter(|_| self.dice.is_one_of(500)).map(|name| format!("\"{name}\"")).collect();
        if !chosen.is_empty() {
            self.line(&format!("{field} = [{}]", chosen.join(", ")));
        }
    }

    fn charge(&mut self, names: &[String]) {
        let scheme = *self.dice.pick(&[
            "unit",
            "package",
            "graduated",
            "volume",
            "graduated",
            "volume",
            "flat",
            "percentage",
        ]);
        self.field("scheme", scheme);
        let least = self.money(5);
        if self.dice.is_one_of(200) {
            self.field("minimum", &least);
        }
        if self.dice.is_one_of(200) {
            self.line(&format!("maximum = \"1{least}\""));
        }
        match scheme {
            "flat" => {
                let amount = self.money(9);
                self.field("amount", &amount);
            }
            "percentage" => {
                let percent = self.dice.decimal(30);
                self.field("percent", &percent);
                self.some_of("of", names);
            }
            _ => self.metered(scheme),
        }
    }

    fn metered(&mut self, scheme: &str) {
        let meter = *self.dice.pick(&[
            "input_tokens",
            "cached_input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "requests",
            "energy",
        ]);
        self.field("meter", meter);
        self.maybe(200, "models = [\"alpha\", \"gamma\"]");
        let class = *self.dice.pick(&["interactive", "standard", "batch"]);
        self.maybe(300, &format!("classes = [\"{class}\"]"));
        // Millions of tokens, thousands of joules or tens of requests are tens of units.
        let unit = match meter {
            "requests" => *self
                .dice
                .pick(&["", "unit = { name = \"score\", counts = 3, decimals = 1, rounding = \"half_up\" }"]),
            "energy" => *self.dice.pick(&["unit = \"J\"", "unit = \"Wh\"", "unit = \"kWh\""]),
            _ => *self.dice.pick(&[
                "unit = { name = \"Mtok\", counts = 1000000 }",
                "unit = { name = \"Mtok\", counts = 1000000, decimals = 2, rounding = \"up\" }",
                "unit = { name = \"page\", counts = 70000, decimals = 0, rounding = \"down\" }",
            ]),
        };
        self.line(unit);
        let free = self.dice.decimal(3);
        self.maybe(400, &format!("free = \"{free}\""));
        let price = self.money(2);
        match scheme {
            "unit" => {
                self.field("price", &price);
                self.maybe(300, "per = 40");
            }
            "package" => {
                let size = self.dice.below(3) + 1;
                self.line(&format!("price = \"{price}\"\nsize = \"{size}.5\""));
            }
            _ => self.tiers(),
        }
    }

    fn tiers(&mut self) {
        let mut end = 0;
        for tier in 0..=self.dice.below(3) {
            let (price, flat) = (self.money(2), self.money(4));
            if tier > 0 {
                // The tier before gets its end: only the last has none.
                end += self.dice.below(9) + 1;
                self.line(&format!("up_to = \"{end}\""));
            }
            self.line(&format!("[[charge.tier]]\nprice = \"{price}\""));
            self.maybe(400, &format!("flat = \"{flat}\""));
        }
    }
}
