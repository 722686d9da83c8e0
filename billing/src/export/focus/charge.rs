//! One charge: the cell of each column, from a line and the document that it is on.
//! Never an amount of its own, and never a cell that is not described in docs/exports.md.
//! Called by `focus`, once for each row.

use bigdecimal::{BigDecimal, Signed as _};

use super::{
    category::{Category, kind_of},
    consumed::Consumed,
    pricing::{Pricing, whole_units},
};
use crate::{
    export::{
        ExportError,
        booked::{Booked, BookedKind},
        lines::{count, decimal},
        table::Cell,
    },
    invoice::{Line, LineKind},
};

/// A line with what is worked out of it once.
pub(super) struct Charge<'a> {
    booked: &'a Booked,
    line: &'a Line,
    provider: &'a str,
    category: Category,
    billed: BigDecimal,
    exact: BigDecimal,
    /// What it stands for of what was counted; a tax for nothing.
    consumed: Option<Consumed>,
    /// Whether it corrects an earlier document.
    is_correction: bool,
    /// Of what is bought; a credit has none.
    pricing: Option<Pricing>,
}

impl<'a> Charge<'a> {
    /// Errors: amounts that do not read.
    pub(super) fn of(
        booked: &'a Booked,
        (line, consumed): (&'a Line, Option<Consumed>),
        provider: &'a str,
    ) -> Result<Self, ExportError> {
        let exact = decimal(&line.exact)?;
        let category = match consumed {
            Some(_) => Category::of(line, exact.is_positive()),
            None => Category::Tax,
        };
        let is_correction = booked.kind.is_correction() || line.kind == LineKind::Correction;
        let pricing = match category {
            // A correction is a difference: it has no price of its own.
            Category::Usage | Category::Purchase if is_correction => None,
            Category::Usage | Category::Purchase => Some(Pricing::of(line, &exact)?),
            Category::Credit | Category::Tax => None,
        };
        let billed = decimal(&line.displayed)?;
        Ok(Self { booked, line, provider, category, billed, exact, consumed, is_correction, pricing })
    }

    /// The cell of a column.
    ///
    /// Errors: counts beyond 63 bits, an unknown zone.
    pub(super) fn cell(&self, column: &str) -> Result<Cell, ExportError> {
        let (booked, invoice, line) = (self.booked, &self.booked.invoice, self.line);
        let text = |text: &str| Cell::Text(text.to_owned());
        Ok(match column {
            "BilledCost" | "EffectiveCost" | "PricingCurrencyEffectiveCost" => {
                Cell::Decimal(self.billed.clone())
            }
            "BillingAccountId" => text(&invoice.tenant.id),
            "BillingAccountName" => text(&invoice.tenant.name),
            "BillingAccountType" => text("Tenant"),
            "BillingCurrency" | "PricingCurrency" => text(&invoice.currency),
            "BillingPeriodStart" => Cell::Instant(booked.billing_period()?.0),
            "BillingPeriodEnd" => Cell::Instant(booked.billing_period()?.1),
            "ChargePeriodStart" => Cell::Instant(booked.charge_period(line).0),
            "ChargePeriodEnd" => Cell::Instant(booked.charge_period(line).1),
            "ChargeCategory" => text(self.category.name()),
            "ChargeClass" => Cell::text(self.is_correction.then_some("Correction")),
            "ChargeDescription" => Cell::Text(self.description()),
            "ChargeFrequency" => text(self.category.frequency()),
            "ContractedCost" | "ListCost" => Cell::Decimal(self.list_cost()),
            "InvoiceId" | "x_DocumentNumber" => Cell::text(booked.number.clone()),
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" => text(self.provider),
            "ResourceId" | "ResourceName" => Cell::text(line.model.clone()),
            "ResourceType" => Cell::text(line.model.as_ref().map(|_| "Model")),
            "ServiceCategory" => text("AI and Machine Learning"),
            "ServiceName" => text("Model inference"),
            "ServiceSubcategory" => text("Generative AI"),
            "SkuId" => self.sku(line.price_version.as_deref().and_then(|version| version.split('@').next())),
            "SkuPriceId" => self.sku(line.price_version.as_deref()),
            "SkuMeter" => self.sku_meter(),
            "Tags" => text("{}"),
            "x_DocumentKind" => text(booked.kind.as_str()),
            "x_EnergyMillijoules" => self.counted(line.kind == LineKind::Energy)?,
            "x_Joules" => self.joules(),
            "x_ExactCost" => Cell::Decimal(self.exact.clone()),
            "x_InvoiceNumber" => Cell::text(invoice.number.clone()),
            "x_Formula" => Cell::text(line.formula.clone()),
            "x_LineKind" if self.category == Category::Tax => text("tax"),
            "x_LineKind" => text(line.kind.as_str()),
            "x_LinePosition" => Cell::Count(i64::from(line.position)),
            "x_PriceVersion" => Cell::text(line.price_version.clone()),
            "x_Requests" => self.what_counts(true).map_or(Ok(Cell::Empty), |of| count(of.requests))?,
            "x_Tokens" => self.counted(is_of_tokens(line))?,
            other => self.priced(other),
        })
    }

    /// What it is, with the document that takes it back.
    fn description(&self) -> String {
        let (line, invoice) = (&self.line.description, self.booked.invoice.number.as_deref());
        let (invoice, own) = (invoice.unwrap_or_default(), self.booked.number.as_deref().unwrap_or_default());
        match self.booked.kind {
            BookedKind::Invoice | BookedKind::Part => line.clone(),
            BookedKind::Void => format!("Void invoice {invoice}: {line}"),
            BookedKind::CreditNote => format!("Credit note {own} for {invoice}: {line}"),
        }
    }

    /// Columns of quantities and prices; any other has nothing to say here.
    fn priced(&self, column: &str) -> Cell {
        let Some(pricing) = &self.pricing else { return Cell::Empty };
        let consumed = self.consumed.filter(|_| self.category == Category::Usage);
        let in_units = |consumed: Consumed| whole_units(consumed.quantity, &self.line.unit);
        match column {
            "ConsumedQuantity" => {
                consumed.map_or(Cell::Empty, |consumed| Cell::Decimal(in_units(consumed).0))
            }
            "ConsumedUnit" => Cell::text(consumed.map(|consumed| in_units(consumed).1)),
            "ContractedUnitPrice"
            | "ListUnitPrice"
            | "PricingCurrencyContractedUnitPrice"
            | "PricingCurrencyListUnitPrice" => Cell::Decimal(pricing.price.clone()),
            "PricingCategory" => Cell::Text("Standard".to_owned()),
            "PricingQuantity" => Cell::Decimal(pricing.quantity.clone()),
            "PricingUnit" => Cell::Text(pricing.unit.clone()),
            _ => Cell::Empty,
        }
    }

    /// Quantity × price, before rounding; a credit's is what it is billed at.
    fn list_cost(&self) -> BigDecimal {
        match self.category {
            Category::Usage | Category::Purchase => self.exact.clone(),
            Category::Credit | Category::Tax => self.billed.clone(),
        }
    }

    /// Whether it is about something that is sold, also where it corrects what was billed of it.
    fn is_bought(&self) -> bool {
        matches!(self.category, Category::Usage | Category::Purchase)
    }

    /// What is sold: the plan or its version, the item, and the model where the item is about one.
    fn sku(&self, plan: Option<&str>) -> Cell {
        if !self.is_bought() {
            return Cell::Empty;
        }
        let parts = [plan, Some(self.line.item.as_str()), self.line.model.as_deref()];
        Cell::Text(parts.into_iter().flatten().collect::<Vec<_>>().join(":"))
    }

    fn sku_meter(&self) -> Cell {
        Cell::text(self.is_bought().then(|| self.line.item.clone()))
    }

    fn what_counts(&self, is_wanted: bool) -> Option<Consumed> {
        self.consumed.filter(|consumed| is_wanted && consumed.is_counted)
    }

    /// What the line alone stands for, where it is of the wanted kind.
    fn counted(&self, is_wanted: bool) -> Result<Cell, ExportError> {
        self.what_counts(is_wanted).map_or(Ok(Cell::Empty), |of| count(of.quantity))
    }

    /// All energy is on the lines that inform of it; charges for some of it do not tell it again.
    fn joules(&self) -> Cell {
        let energy = self.what_counts(self.line.kind == LineKind::Energy);
        energy.map_or(Cell::Empty, |of| Cell::Decimal(BigDecimal::new(of.quantity.into(), 3)))
    }
}

/// Whether a line counts tokens, billed or not. Credits for some of them do not tell them again.
fn is_of_tokens(line: &Line) -> bool {
    line.unit == "tokens" && matches!(kind_of(line), LineKind::Charge | LineKind::NotBilled)
}
