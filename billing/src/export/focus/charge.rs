//! One charge: the cell of each column, from a line and the document that it is on.
//! Never an amount of its own, and never a cell that is not described in docs/exports.md.
//! Called by `focus`, once for each row.

use bigdecimal::BigDecimal;
use domain::Timestamp;

use super::{
    category::Category,
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
    /// Whether it corrects an earlier document.
    is_correction: bool,
    /// Of what is bought; a credit has none.
    pricing: Option<Pricing>,
}

impl<'a> Charge<'a> {
    /// Errors: amounts that do not read.
    pub(super) fn of(
        booked: &'a Booked,
        (category, line): (Category, &'a Line),
        provider: &'a str,
    ) -> Result<Self, ExportError> {
        let exact = decimal(&line.exact)?;
        let is_correction = booked.kind.is_correction() || line.kind == LineKind::Correction;
        let pricing = match category {
            // A correction is a difference: it has no price of its own.
            Category::Usage | Category::Purchase if is_correction => None,
            Category::Usage | Category::Purchase => Some(Pricing::of(line, &exact)?),
            Category::Credit | Category::Tax => None,
        };
        let billed = decimal(&line.displayed)?;
        Ok(Self { booked, line, provider, category, billed, exact, is_correction, pricing })
    }

    /// The cell of a column.
    ///
    /// Errors: counts beyond 63 bits, an unknown zone.
    pub(super) fn cell(&self, column: &str) -> Result<Cell, ExportError> {
        let (booked, invoice, line) = (self.booked, &self.booked.invoice, self.line);
        let text = |text: &str| Cell::Text(text.to_owned());
        let instant = |micros| Cell::Instant(Timestamp::from_unix_micros(micros));
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
            "ChargePeriodStart" => instant(invoice.period.start_unix_us),
            "ChargePeriodEnd" => instant(invoice.period.end_unix_us),
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
            "x_EnergyMillijoules" => self.millijoules().map_or(Ok(Cell::Empty), count)?,
            "x_Joules" => match self.millijoules() {
                Some(millijoules) => Cell::Decimal(BigDecimal::new(millijoules.into(), 3)),
                None => Cell::Empty,
            },
            "x_ExactCost" => Cell::Decimal(self.exact.clone()),
            "x_InvoiceNumber" => Cell::text(invoice.number.clone()),
            "x_Formula" => Cell::text(line.formula.clone()),
            "x_LineKind" if self.category == Category::Tax => text("tax"),
            "x_LineKind" => text(line.kind.as_str()),
            "x_LinePosition" => Cell::Count(i64::from(line.position)),
            "x_PriceVersion" => Cell::text(line.price_version.clone()),
            "x_Requests" => count(line.requests)?,
            "x_Tokens" if line.unit == "tokens" => count(line.quantity)?,
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
        let consumed = (self.category == Category::Usage).then_some(self.line);
        match column {
            "ConsumedQuantity" => {
                consumed.map_or(Cell::Empty, |line| Cell::Decimal(whole_units(line.quantity, &line.unit).0))
            }
            "ConsumedUnit" => Cell::text(consumed.map(|line| whole_units(line.quantity, &line.unit).1)),
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

    /// What is sold: the plan or its version, the item, and the model where the item is about one.
    fn sku(&self, plan: Option<&str>) -> Cell {
        if self.pricing.is_none() {
            return Cell::Empty;
        }
        let parts = [plan, Some(self.line.item.as_str()), self.line.model.as_deref()];
        Cell::Text(parts.into_iter().flatten().collect::<Vec<_>>().join(":"))
    }

    fn sku_meter(&self) -> Cell {
        match self.pricing {
            Some(_) => Cell::Text(self.line.item.clone()),
            None => Cell::Empty,
        }
    }

    /// Of lines that count energy.
    fn millijoules(&self) -> Option<u64> {
        matches!(self.line.unit.as_str(), "millijoules" | "mJ").then_some(self.line.quantity)
    }
}
