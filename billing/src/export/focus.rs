//! Lines of issued invoices as charges in the columns of FOCUS 1.0 and 1.2 (FinOps Open Cost and Usage Specification).
//! Never a sum that is not the invoice's: `BilledCost` of all rows is what is owed, to the last digit.
//! Called by `Export` and `reconcile`; docs/exports.md describes each column.

use std::sync::LazyLock;

use bigdecimal::{BigDecimal, Zero as _};
use domain::Timestamp;

use super::{
    ExportError,
    lines::{count, decimal},
    table::{Cell, Column, Kind},
    taxes::taxes,
};
use crate::invoice::{Invoice, Line, LineKind};

/// Which text of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusVersion {
    /// 1.0.
    V1_0,
    /// 1.2.
    V1_2,
}

use Kind::{Count, Decimal, Exact, Instant, Text};

/// A column, and whether it came after 1.0.
type Described = (&'static str, Kind, bool);

/// In alphabetical order, as the specification lists them; ours, which begin with `x_`, last.
const ALL: [Described; 67] = [
    ("AvailabilityZone", Text, false),
    ("BilledCost", Decimal, false),
    ("BillingAccountId", Text, false),
    ("BillingAccountName", Text, false),
    ("BillingAccountType", Text, true),
    ("BillingCurrency", Text, false),
    ("BillingPeriodEnd", Instant, false),
    ("BillingPeriodStart", Instant, false),
    ("CapacityReservationId", Text, true),
    ("CapacityReservationStatus", Text, true),
    ("ChargeCategory", Text, false),
    ("ChargeClass", Text, false),
    ("ChargeDescription", Text, false),
    ("ChargeFrequency", Text, false),
    ("ChargePeriodEnd", Instant, false),
    ("ChargePeriodStart", Instant, false),
    ("CommitmentDiscountCategory", Text, false),
    ("CommitmentDiscountId", Text, false),
    ("CommitmentDiscountName", Text, false),
    ("CommitmentDiscountQuantity", Decimal, true),
    ("CommitmentDiscountStatus", Text, false),
    ("CommitmentDiscountType", Text, false),
    ("CommitmentDiscountUnit", Text, true),
    ("ConsumedQuantity", Decimal, false),
    ("ConsumedUnit", Text, false),
    ("ContractedCost", Decimal, false),
    ("ContractedUnitPrice", Decimal, false),
    ("EffectiveCost", Decimal, false),
    ("InvoiceId", Text, true),
    ("InvoiceIssuerName", Text, false),
    ("ListCost", Decimal, false),
    ("ListUnitPrice", Decimal, false),
    ("PricingCategory", Text, false),
    ("PricingCurrency", Text, true),
    ("PricingCurrencyContractedUnitPrice", Decimal, true),
    ("PricingCurrencyEffectiveCost", Decimal, true),
    ("PricingCurrencyListUnitPrice", Decimal, true),
    ("PricingQuantity", Decimal, false),
    ("PricingUnit", Text, false),
    ("ProviderName", Text, false),
    ("PublisherName", Text, false),
    ("RegionId", Text, false),
    ("RegionName", Text, false),
    ("ResourceId", Text, false),
    ("ResourceName", Text, false),
    ("ResourceType", Text, false),
    ("ServiceCategory", Text, false),
    ("ServiceName", Text, false),
    ("ServiceSubcategory", Text, true),
    ("SkuId", Text, false),
    ("SkuMeter", Text, true),
    ("SkuPriceDetails", Text, true),
    ("SkuPriceId", Text, false),
    ("SubAccountId", Text, false),
    ("SubAccountName", Text, false),
    ("SubAccountType", Text, true),
    ("Tags", Text, false),
    ("x_EnergyMillijoules", Count, false),
    ("x_ExactCost", Exact, false),
    ("x_Formula", Text, false),
    ("x_InvoiceNumber", Text, false),
    ("x_Joules", Decimal, false),
    ("x_LineKind", Text, false),
    ("x_LinePosition", Count, false),
    ("x_PriceVersion", Text, false),
    ("x_Requests", Count, false),
    ("x_Tokens", Count, false),
];

static COLUMNS_1_0: LazyLock<Vec<Column>> = LazyLock::new(|| columns_of(FocusVersion::V1_0));
static COLUMNS_1_2: LazyLock<Vec<Column>> = LazyLock::new(|| columns_of(FocusVersion::V1_2));

fn columns_of(version: FocusVersion) -> Vec<Column> {
    let is_there = |(_, _, is_newer): &&Described| !is_newer || version == FocusVersion::V1_2;
    ALL.iter().filter(is_there).map(|&(name, kind, _)| Column::new(name, kind)).collect()
}

/// The columns of a version.
pub(super) fn columns(version: FocusVersion) -> &'static [Column] {
    match version {
        FocusVersion::V1_0 => &COLUMNS_1_0,
        FocusVersion::V1_2 => &COLUMNS_1_2,
    }
}

/// What a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Category {
    Usage,
    Purchase,
    Credit,
    Tax,
}

impl Category {
    fn of(line: &Line) -> Self {
        // A correction is of the category of what it corrects.
        let kind = line.correction.as_ref().map_or(line.kind, |correction| correction.kind);
        match kind {
            LineKind::NotBilled | LineKind::Energy => Self::Usage,
            // What counts nothing is due for the period itself.
            LineKind::Charge if line.unit.is_empty() => Self::Purchase,
            LineKind::Charge => Self::Usage,
            LineKind::Minimum => Self::Purchase,
            LineKind::Maximum | LineKind::Discount | LineKind::SloCredit | LineKind::Invoiced => Self::Credit,
            LineKind::Correction => Self::Usage,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Usage => "Usage",
            Self::Purchase => "Purchase",
            Self::Credit => "Credit",
            Self::Tax => "Tax",
        }
    }

    const fn frequency(self) -> &'static str {
        match self {
            Self::Usage => "Usage-Based",
            Self::Purchase => "Recurring",
            Self::Credit | Self::Tax => "One-Time",
        }
    }
}

/// `Correction` for lines that correct an earlier invoice.
const fn class_of(kind: LineKind) -> Option<&'static str> {
    match kind {
        LineKind::Correction => Some("Correction"),
        LineKind::Charge
        | LineKind::Minimum
        | LineKind::Maximum
        | LineKind::Discount
        | LineKind::SloCredit
        | LineKind::Invoiced
        | LineKind::NotBilled
        | LineKind::Energy => None,
    }
}

/// How a charge is priced: how much of what, at which price for one.
struct Pricing {
    quantity: BigDecimal,
    unit: String,
    price: BigDecimal,
}

impl Pricing {
    /// `quantity × price` is the exact amount. Where a price for one has no end in decimals, the charge is one of itself.
    fn of(line: &Line, exact: &BigDecimal) -> Result<Self, ExportError> {
        let whole =
            || Self { quantity: BigDecimal::from(1), unit: "Charge".to_owned(), price: exact.clone() };
        let counted = BigDecimal::from(line.quantity);
        let Some(price) = line.unit_price.as_deref().map(decimal).transpose()? else {
            return Ok(match line.kind {
                LineKind::NotBilled | LineKind::Energy => {
                    Self { quantity: counted, unit: unit_name(&line.unit), price: BigDecimal::zero() }
                }
                LineKind::Charge
                | LineKind::Minimum
                | LineKind::Maximum
                | LineKind::Discount
                | LineKind::SloCredit
                | LineKind::Correction
                | LineKind::Invoiced => whole(),
            });
        };
        let units = line.units.as_deref().map(decimal).transpose()?.unwrap_or(counted);
        let name = line.units_name.clone().unwrap_or_else(|| unit_name(&line.unit));
        let per = line.unit_price_per.unwrap_or(1);
        let (quantity, unit) = match per {
            1 => (units, name),
            per => (units / BigDecimal::from(per), format!("{per} {name}")),
        };
        let pricing = Self { quantity, unit, price };
        Ok(if &pricing.quantity * &pricing.price == *exact { pricing } else { whole() })
    }
}

/// Units begin with a capital letter in FOCUS; `mJ` is written as it is.
fn unit_name(unit: &str) -> String {
    match unit {
        "tokens" => "Tokens".to_owned(),
        "requests" => "Requests".to_owned(),
        "millijoules" | "mJ" => "mJ".to_owned(),
        other => other.to_owned(),
    }
}

/// A quantity in whole units: what is counted in a unit's last decimal, such as `0.001 s`, is given in the unit itself.
fn whole_units(quantity: u64, unit: &str) -> (BigDecimal, String) {
    let step = unit.split_once(' ').and_then(|(step, name)| Some((step.parse::<BigDecimal>().ok()?, name)));
    match step {
        Some((step, name)) if unit.starts_with("0.") => (BigDecimal::from(quantity) * step, unit_name(name)),
        Some(_) | None => (BigDecimal::from(quantity), unit_name(unit)),
    }
}

/// The rows of an invoice.
///
/// Errors: rows that do not add up to what is owed; amounts that do not read.
pub(super) fn rows(
    invoice: &Invoice,
    version: FocusVersion,
    provider: &str,
) -> Result<Vec<Vec<Cell>>, ExportError> {
    check_sum(invoice)?;
    let lines = invoice.lines.iter().map(|line| (Category::of(line), line));
    let taxes: Vec<Line> = taxes(invoice).collect();
    let taxes = taxes.iter().map(|line| (Category::Tax, line));
    lines.chain(taxes).map(|line| row(invoice, line, version, provider)).collect()
}

/// Whether the rows of an invoice add up to what is owed.
///
/// Errors: they do not.
pub(crate) fn check_sum(invoice: &Invoice) -> Result<(), ExportError> {
    let taxes: Vec<Line> = taxes(invoice).collect();
    let displayed = invoice.lines.iter().chain(&taxes).map(|line| decimal(&line.displayed));
    let sum = displayed.sum::<Result<BigDecimal, _>>()?;
    match sum == decimal(&invoice.total)? {
        true => Ok(()),
        false => Err(ExportError::NotTheTotal {
            number: invoice.number.clone().unwrap_or_default(),
            sum: super::table::plain(&sum),
            total: invoice.total.clone(),
        }),
    }
}

fn row(
    invoice: &Invoice,
    line: (Category, &Line),
    version: FocusVersion,
    provider: &str,
) -> Result<Vec<Cell>, ExportError> {
    let charge = Charge::of(invoice, line, provider)?;
    columns(version).iter().map(|column| charge.cell(column.name)).collect()
}

/// A line with what is worked out of it once.
struct Charge<'a> {
    invoice: &'a Invoice,
    line: &'a Line,
    provider: &'a str,
    category: Category,
    billed: BigDecimal,
    exact: BigDecimal,
    /// Of what is bought; a credit has none.
    pricing: Option<Pricing>,
}

impl<'a> Charge<'a> {
    fn of(
        invoice: &'a Invoice,
        (category, line): (Category, &'a Line),
        provider: &'a str,
    ) -> Result<Self, ExportError> {
        let exact = decimal(&line.exact)?;
        let pricing = match category {
            // A correction is a difference: it has no price of its own.
            Category::Usage | Category::Purchase if line.kind == LineKind::Correction => None,
            Category::Usage | Category::Purchase => Some(Pricing::of(line, &exact)?),
            Category::Credit | Category::Tax => None,
        };
        let billed = decimal(&line.displayed)?;
        Ok(Self { invoice, line, provider, category, billed, exact, pricing })
    }

    fn cell(&self, column: &str) -> Result<Cell, ExportError> {
        let (invoice, line) = (self.invoice, self.line);
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
            "BillingPeriodStart" | "ChargePeriodStart" => instant(invoice.period.start_unix_us),
            "BillingPeriodEnd" | "ChargePeriodEnd" => instant(invoice.period.end_unix_us),
            "ChargeCategory" => text(self.category.name()),
            "ChargeClass" => Cell::text(class_of(line.kind)),
            "ChargeDescription" => text(&line.description),
            "ChargeFrequency" => text(self.category.frequency()),
            "ContractedCost" | "ListCost" => Cell::Decimal(self.list_cost()),
            "InvoiceId" | "x_InvoiceNumber" => Cell::text(invoice.number.clone()),
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
            "x_EnergyMillijoules" => self.millijoules().map_or(Ok(Cell::Empty), count)?,
            "x_Joules" => match self.millijoules() {
                Some(millijoules) => Cell::Decimal(BigDecimal::new(millijoules.into(), 3)),
                None => Cell::Empty,
            },
            "x_ExactCost" => Cell::Decimal(self.exact.clone()),
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
