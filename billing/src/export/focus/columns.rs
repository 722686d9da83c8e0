//! The columns of FOCUS 1.0 and 1.2, and ours after them.
//! Never a value: `charge` has those.
//! Called by `focus` and `Export`.

use std::sync::LazyLock;

use super::FocusVersion;
use crate::export::table::{Column, Kind};

use Kind::{Count, Decimal, Exact, Instant, Text};

/// A column, and whether it came after 1.0.
type Described = (&'static str, Kind, bool);

/// In alphabetical order, as the specification lists them; ours, which begin with `x_`, last.
const ALL: [Described; 69] = [
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
    ("x_DocumentKind", Text, false),
    ("x_DocumentNumber", Text, false),
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
pub(in crate::export) fn columns(version: FocusVersion) -> &'static [Column] {
    match version {
        FocusVersion::V1_0 => &COLUMNS_1_0,
        FocusVersion::V1_2 => &COLUMNS_1_2,
    }
}
