//! The latency class that a body names by `service_tier`, and how an answer tells the class served.
//! Never decides what is granted; that is admission's.
//! Called by the requests and answers of every dialect.

use domain::SloClass;

use super::ApiError;
use crate::admit::SloWish;

/// The class that a tier means: OpenAI's words, and ours. `None`: as the plan has it.
///
/// Errors: a word that is no tier.
pub(in crate::http) fn class(tier: Option<&str>) -> Result<Option<SloClass>, ApiError> {
    let class = tier.map_or(Ok(None), SloWish::class_of_tier);
    class
        .map_err(|error| ApiError::invalid("invalid_value", "service_tier", format!("service_tier: {error}")))
}

/// The class served, in OpenAI's words.
pub(in crate::http) fn tier(class: SloClass) -> &'static str {
    match class {
        SloClass::Interactive => "priority",
        SloClass::Standard => "default",
        SloClass::Batch => "flex",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_classes() {
        let rows = [
            (None, None),
            (Some("auto"), None),
            (Some("default"), None),
            (Some("flex"), Some(SloClass::Batch)),
            (Some("batch"), Some(SloClass::Batch)),
            (Some("standard"), Some(SloClass::Standard)),
            (Some("priority"), Some(SloClass::Interactive)),
            (Some("fast"), Some(SloClass::Interactive)),
            (Some("interactive"), Some(SloClass::Interactive)),
        ];
        for (tier, expected) in rows {
            assert_eq!(class(tier).expect("a tier"), expected, "{tier:?}");
        }
        for tier in ["", "Priority", "best", "scale "] {
            assert_eq!(class(Some(tier)).expect_err("no tier").param(), Some("service_tier"));
        }
    }
}
