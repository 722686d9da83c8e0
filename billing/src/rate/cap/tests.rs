//! What caps count: charges, holds and what is affordable, as tables and as properties.
//! Never a database.
//! Run by `cargo test`.

use bigdecimal::BigDecimal;
use proptest::prelude::*;

use super::*;
use crate::rate::ExactAmount;

fn plan(input: &str, cached: &str, output: &str) -> Plan {
    let source = Plan::demo().expect("a plan").source().to_owned();
    let text = source
        .replace("\"0.15\"", &format!("\"{input}\""))
        .replace("\"0.075\"", &format!("\"{cached}\""))
        .replace("\"0.60\"", &format!("\"{output}\""));
    Plan::from_text("t", &text).expect("a plan")
}

fn demo() -> ModelName {
    ModelName::new("demo").expect("a name")
}

fn charge(plan: &Plan, (prompt, cached, output): (u64, u64, u64)) -> Result<u64, RateError> {
    let tokens = ChargedTokens {
        prompt: Tokens::new(prompt),
        cached_prompt: Tokens::new(cached),
        output: Tokens::new(output),
        reasoning: Tokens::ZERO,
        embeddings: Tokens::ZERO,
    };
    charge_nanos(plan, (&demo(), SloClass::Standard), EndReason::Completed, tokens).map(Nanos::get)
}

fn hold(plan: &Plan, prompt: u64, output: u64) -> Result<u64, RateError> {
    hold_nanos(plan, &demo(), Tokens::new(prompt), Tokens::new(output)).map(Nanos::get)
}

fn affordable(plan: &Plan, prompt: u64, available: u64) -> Option<u64> {
    let found = affordable_output_tokens(plan, &demo(), Tokens::new(prompt), Nanos::new(available));
    found.expect("a priced model").map(Tokens::get)
}

/// The exact charge in billionths.
fn exact(plan: &Plan, (prompt, cached, output): (u64, u64, u64)) -> BigDecimal {
    let price = &plan.prices()[0];
    let amount = ExactAmount::of_tokens(Tokens::new(prompt - cached), &price.input)
        .plus(&ExactAmount::of_tokens(Tokens::new(cached), &price.cached_input))
        .plus(&ExactAmount::of_tokens(Tokens::new(output), &price.output));
    amount.0 * BigDecimal::from(1_000_000_000)
}

#[test]
fn charges_are_rounded_up() {
    let demo = plan("0.15", "0.075", "0.60");
    let dust = plan("0.000000001", "0", "0.000000001");
    let dear = plan("1000000000", "1000000000", "1000000000");
    let rows = [
        (&demo, (0, 0, 0), Ok(0)),
        (&demo, (1, 0, 0), Ok(150)),
        (&demo, (10, 4, 3), Ok(6 * 150 + 4 * 75 + 3 * 600)),
        (&dust, (1, 1, 0), Ok(0)),
        (&dust, (1, 0, 0), Ok(1)),
        (&dust, (999_999, 0, 1), Ok(1)),
        (&dust, (1_000_000, 0, 1), Ok(2)),
        (&dear, (18_446, 0, 0), Ok(18_446_000_000_000_000)),
        (&dear, (18_446_745, 0, 0), Err(RateError::TooLarge("18446745000000000000".to_owned()))),
        (&demo, (1, 2, 0), Err(RateError::Impossible("more cached prompt tokens than prompt tokens"))),
    ];
    for (plan, tokens, expected) in rows {
        assert_eq!(charge(plan, tokens), expected, "{tokens:?}");
    }
}

#[test]
fn only_billed_reasons_and_priced_models_are_charged() {
    let plan = plan("0.15", "0.075", "0.60");
    let tokens = ChargedTokens {
        prompt: Tokens::new(9),
        cached_prompt: Tokens::ZERO,
        output: Tokens::new(9),
        reasoning: Tokens::ZERO,
        embeddings: Tokens::ZERO,
    };
    for reason in EndReason::ALL {
        let charge = charge_nanos(&plan, (&demo(), SloClass::Batch), reason, tokens).expect("priced");
        assert_eq!(!charge.is_zero(), plan.is_billed(reason), "{reason:?}");
    }
    let other = ModelName::new("other").expect("a name");
    let unpriced = |outcome: Result<(), RateError>| matches!(outcome, Err(RateError::Unpriced { .. }));
    assert!(unpriced(charge_nanos(&plan, (&other, SloClass::Batch), EndReason::Completed, tokens).map(drop)));
    assert!(unpriced(hold_nanos(&plan, &other, Tokens::ZERO, Tokens::ZERO).map(drop)));
    assert!(unpriced(affordable_output_tokens(&plan, &other, Tokens::ZERO, Nanos::ZERO).map(drop)));
}

#[test]
fn what_is_affordable_stops_at_the_last_token() {
    let demo = plan("0.15", "0.075", "0.60");
    let dear_cache = plan("0.10", "0.20", "0.60");
    let free_output = plan("0.15", "0.15", "0");
    let rows = [
        (&demo, 10, 1_499, None),
        (&demo, 10, 1_500, Some(0)),
        (&demo, 10, 2_099, Some(0)),
        (&demo, 10, 2_100, Some(1)),
        (&demo, 0, 0, Some(0)),
        (&demo, u64::MAX, u64::MAX, None),
        (&dear_cache, 10, 1_999, None),
        (&dear_cache, 10, 2_000, Some(0)),
        (&free_output, 10, 1_499, None),
        (&free_output, 10, 1_500, Some(u64::MAX)),
    ];
    for (plan, prompt, available, expected) in rows {
        assert_eq!(affordable(plan, prompt, available), expected, "{prompt} {available}");
    }
}

/// The plan above with charges of its own for the model `tiered`, which has no price.
fn with_charges(charges: &str) -> Plan {
    let text = Plan::demo().expect("a plan").source().to_owned() + charges;
    Plan::from_text("t", &text).expect("a plan")
}

/// A model that only charges sell, by class.
const TIERED: &str = r#"
[[charge]]
name = "out"
scheme = "graduated"
meter = "output_tokens"
models = ["tiered"]
classes = ["interactive", "standard"]
unit = { name = "Mtok", counts = 1000000 }
free = "1"
[[charge.tier]]
up_to = "10"
price = "3"
flat = "100"
[[charge.tier]]
price = "2"
[[charge]]
name = "out-batch"
scheme = "package"
meter = "output_tokens"
models = ["tiered"]
classes = ["batch"]
price = "1"
size = "1000000"
[[charge]]
name = "thought"
scheme = "unit"
meter = "reasoning_tokens"
models = ["tiered"]
price = "0.5"
per = 1000000
[[charge]]
name = "call"
scheme = "unit"
meter = "requests"
price = "0.001"
[[charge]]
name = "power"
scheme = "unit"
meter = "energy"
unit = "kWh"
price = "0.3"
"#;

#[test]
fn embeddings_count_as_input_or_at_a_rate_of_their_own() {
    let own = "[[charge]]\nname = \"vectors\"\nscheme = \"unit\"\nmeter = \"embeddings_tokens\"\nprice = \"0.02\"\n\
               per = 1000000\n";
    let alone = own.replacen("meter", "models = [\"embed\"]\nmeter", 1);
    let embed = ModelName::new("embed").expect("a name");
    let tokens = ChargedTokens {
        prompt: Tokens::new(100),
        cached_prompt: Tokens::ZERO,
        output: Tokens::ZERO,
        reasoning: Tokens::ZERO,
        embeddings: Tokens::new(100),
    };
    let rows = [
        // plan, model, billionths: 150 a token of input, 20 one of embeddings
        (with_charges(""), demo(), 15_000),
        (with_charges(own), demo(), 2_000),
        (with_charges(own), embed.clone(), 2_000),
        (with_charges(&alone), demo(), 15_000),
        (with_charges(&alone), embed.clone(), 2_000),
    ];
    for (plan, model, expected) in rows {
        let charged = charge_nanos(&plan, (&model, SloClass::Batch), EndReason::Completed, tokens);
        assert_eq!(charged, Ok(Nanos::new(expected)), "{model}");
        let held = hold_embeddings_nanos(&plan, &model, Tokens::new(100)).map(Nanos::get);
        let bounds = expected..=expected.max(7_500);
        assert!(held.as_ref().is_ok_and(|held| bounds.contains(held)), "{model}: {held:?}");
    }
    let refused = hold_embeddings_nanos(&with_charges(""), &embed, Tokens::new(1));
    assert!(matches!(refused, Err(RateError::Unpriced { .. })));
}

#[test]
fn charges_count_at_their_dearest_in_the_class_that_was_served() {
    let plan = with_charges(TIERED);
    let tiered = ModelName::new("tiered").expect("a name");
    let tokens = |output, reasoning| ChargedTokens {
        prompt: Tokens::new(5),
        cached_prompt: Tokens::ZERO,
        output: Tokens::new(output),
        reasoning: Tokens::new(reasoning),
        embeddings: Tokens::ZERO,
    };
    let rows = [
        // class, output, reasoning, billionths: three, one, a half of them for a token; a million for the call
        (SloClass::Interactive, 10, 0, 1_000_000 + 30_000),
        (SloClass::Standard, 10, 4, 1_000_000 + 30_000 + 2_000),
        (SloClass::Batch, 10, 4, 1_000_000 + 10_000 + 2_000),
    ];
    for (class, output, reasoning, expected) in rows {
        let charged = charge_nanos(&plan, (&tiered, class), EndReason::Completed, tokens(output, reasoning));
        assert_eq!(charged, Ok(Nanos::new(expected)), "{class}");
    }
    // The dearest class, and all of the output may be reasoning.
    let held = hold_nanos(&plan, &tiered, Tokens::new(5), Tokens::new(10));
    assert_eq!(held, Ok(Nanos::new(1_000_000 + 35_000)));
    let affordable =
        |nanos| affordable_output_tokens(&plan, &tiered, Tokens::new(5), Nanos::new(nanos)).expect("sold");
    assert_eq!(affordable(999_999), None);
    assert_eq!(affordable(1_000_000), Some(Tokens::ZERO));
    assert_eq!(affordable(1_034_999), Some(Tokens::new(9)));
    assert_eq!(affordable(1_035_000), Some(Tokens::new(10)));
}

#[test]
fn percentages_count_with_what_they_are_of() {
    let plan = with_charges(
        "[[charge]]\nname = \"call\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"0.001\"\n\
         [[charge]]\nname = \"fee\"\nscheme = \"percentage\"\npercent = \"20\"\nof = [\"tokens\"]\n\
         [[charge]]\nname = \"tax\"\nscheme = \"percentage\"\npercent = \"10\"\n\
         [[charge]]\nname = \"more\"\nscheme = \"percentage\"\npercent = \"5\"\nof = [\"fee\"]\n\
         [[charge]]\nname = \"out\"\nscheme = \"unit\"\nmeter = \"output_tokens\"\nper = 1000\nprice = \"0.001\"\n",
    );
    // Tokens: 1 + 20 % of it, 10 % of both, 5 % of the 20 %: 1.33. Calls and the last charge: 1.1.
    let rows = [
        ((0, 0, 0), 1_100_000),
        ((100, 0, 0), 1_100_000 + 100 * 150 * 133 / 100),
        ((100, 100, 0), 1_100_000 + 100 * 75 * 133 / 100),
        ((0, 0, 100), 1_100_000 + 100 * 600 * 133 / 100 + 100 * 1_100),
    ];
    for (tokens, expected) in rows {
        assert_eq!(charge(&plan, tokens), Ok(expected), "{tokens:?}");
    }
    let held = 1_100_000 + 19_950 + 100 * 1_898;
    assert_eq!(hold(&plan, 100, 100), Ok(held));
    assert_eq!(affordable(&plan, 100, held), Some(100));
    assert_eq!(affordable(&plan, 100, held - 1), Some(99));
}

#[test]
fn a_rate_without_an_end_is_rounded_up() {
    let plan = with_charges(
        "[[charge]]\nname = \"a\"\nscheme = \"package\"\nmeter = \"output_tokens\"\nmodels = [\"x\"]\n\
         price = \"1\"\nsize = \"3\"\n",
    );
    let x = ModelName::new("x").expect("a name");
    let held = hold_nanos(&plan, &x, Tokens::ZERO, Tokens::new(3_000_000));
    assert_eq!(
        held,
        Ok(Nanos::new(1_000_000_000_000_002)),
        "a third of 10^15 millionths, rounded up, times 3"
    );
}

/// A price with up to nine decimals.
fn price() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_owned()),
        (0_u64..2_000, 0_u64..1_000_000_000).prop_map(|(whole, nanos)| format!("{whole}.{nanos:09}")),
        (0_u64..100).prop_map(|nanos| format!("0.{nanos:09}")),
    ]
}

proptest! {
    #[test]
    fn caps_count_at_least_the_exact_sum_and_less_than_one_more_each(
        (input, cached, output) in (price(), price(), price()),
        uses in proptest::collection::vec((0_u64..200_000, 0_u64..200_000, 0_u64..50_000), 1..40),
    ) {
        let plan = plan(&input, &cached, &output);
        let (mut counted, mut sum) = (0_u64, BigDecimal::from(0));
        for (prompt, cached, output) in uses.iter().copied() {
            let tokens = (prompt + cached, cached, output);
            counted += charge(&plan, tokens).expect("it fits");
            sum += exact(&plan, tokens);
        }
        let more = BigDecimal::from(counted) - sum;
        prop_assert!(more >= 0 && more < u64::try_from(uses.len()).expect("few"));
    }

    #[test]
    fn a_hold_covers_every_charge_within_its_bounds(
        (input, cached, output) in (price(), price(), price()),
        (computed, cached_tokens) in (0_u64..200_000, 0_u64..200_000),
        (bound, share) in (0_u64..50_000, 0_u64..=1_000),
    ) {
        let plan = plan(&input, &cached, &output);
        let prompt = computed + cached_tokens;
        let charged = charge(&plan, (prompt, cached_tokens, bound * share / 1_000)).expect("it fits");
        prop_assert!(charged <= hold(&plan, prompt, bound).expect("it fits"));
    }

    #[test]
    fn the_affordable_output_is_the_largest_whose_hold_fits(
        (input, cached, output) in (price(), price(), price()),
        prompt in 0_u64..200_000,
        available in prop_oneof![0_u64..1_000, 0_u64..10_000_000_000],
    ) {
        let plan = plan(&input, &cached, &output);
        match affordable(&plan, prompt, available) {
            None => prop_assert!(hold(&plan, prompt, 0).expect("it fits") > available),
            Some(u64::MAX) => prop_assert!(hold(&plan, prompt, 0).expect("it fits") <= available),
            Some(most) => {
                prop_assert!(hold(&plan, prompt, most).expect("it fits") <= available);
                prop_assert!(hold(&plan, prompt, most + 1).expect("it fits") > available);
            }
        }
    }
}
