//! Reads the usage that an OpenAI-compatible server states, and refuses to believe what cannot be.
//! Never counts tokens itself and never decides what is billed for a missing figure: `count` does.
//! Called for each chunk or body that carries a `usage` object.

use domain::{EnergySource, Micros, Millijoules};
use serde_json::Value;

/// What one answer can have used at the very most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsageBounds {
    /// Admission reserved no more for the prompt. Unit: tokens.
    pub(super) prompt_tokens_max: u64,
    /// All choices together were allowed no more. Unit: tokens.
    pub(super) output_tokens_max: u64,
}

/// Tokens of one answer as its upstream states them, made consistent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StatedUsage {
    /// Tokens of the prompt.
    pub(super) prompt_tokens: Option<u64>,
    /// Those of them that were not computed; never more than all.
    pub(super) cached_prompt_tokens: u64,
    /// Tokens produced.
    pub(super) output_tokens: Option<u64>,
    /// Those of them that were reasoning; never more than all.
    pub(super) reasoning_tokens: u64,
    /// What could not be believed; the figures then are estimates.
    pub(super) flaw: Option<&'static str>,
}

/// What only a node states: energy and time in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeUsage {
    /// The request's share of the device's energy.
    pub(super) energy: Millijoules,
    /// Where that figure comes from.
    pub(super) energy_source: EnergySource,
    /// Time between submission and the first step.
    pub(super) queue: Micros,
}

impl NodeUsage {
    /// Reads them from a `usage` object of a node. `None`: one of them is missing or no such figure.
    pub(super) fn read(usage: &Value) -> Option<Self> {
        let energy_source = usage.get("energy_source").and_then(Value::as_str)?.parse().ok()?;
        let count = |field: &str| usage.get(field).and_then(Value::as_u64);
        let (energy, queue) = (Millijoules::new(count("energy_mj")?), Micros::new(count("queue_us")?));
        Some(Self { energy, energy_source, queue })
    }
}

impl StatedUsage {
    /// Reads a `usage` object. `None`: it is null, or no object.
    pub(super) fn read(usage: &Value, bounds: UsageBounds) -> Option<Self> {
        let usage = usage.as_object()?;
        let detail = |object: &str, field: &str| usage.get(object).and_then(|object| object.get(field));
        let mut flaw = None;
        let mut count = |value: Option<&Value>, what| match value {
            None | Some(Value::Null) => None,
            Some(value) => {
                let count = whole(value);
                if count.is_none() {
                    flaw = Some(what);
                }
                count
            }
        };
        let mut stated = Self {
            prompt_tokens: count(usage.get("prompt_tokens"), "prompt_tokens is no count"),
            output_tokens: count(usage.get("completion_tokens"), "completion_tokens is no count"),
            cached_prompt_tokens: count(
                detail("prompt_tokens_details", "cached_tokens"),
                "cached_tokens is no count",
            )
            .unwrap_or(0),
            reasoning_tokens: count(
                detail("completion_tokens_details", "reasoning_tokens"),
                "reasoning_tokens is no count",
            )
            .unwrap_or(0),
            flaw: None,
        };
        stated.flaw = flaw;
        stated.bound(bounds);
        Some(stated)
    }

    /// Takes every figure back to what can be.
    fn bound(&mut self, bounds: UsageBounds) {
        let mut flaw = self.flaw;
        let mut lower = |count: &mut u64, most: u64, what| {
            if *count > most {
                *count = most;
                flaw = Some(what);
            }
        };
        if let Some(prompt) = &mut self.prompt_tokens {
            lower(prompt, bounds.prompt_tokens_max, "more prompt tokens than the request can have");
        }
        if let Some(output) = &mut self.output_tokens {
            lower(output, bounds.output_tokens_max, "more output tokens than the request allowed");
        }
        let (prompt, output) = (self.prompt_tokens.unwrap_or(0), self.output_tokens.unwrap_or(0));
        lower(&mut self.cached_prompt_tokens, prompt, "more cached tokens than prompt tokens");
        lower(&mut self.reasoning_tokens, output, "more reasoning tokens than output tokens");
        self.flaw = flaw;
    }
}

/// A count; some servers write whole numbers with a point.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    number.as_u64().or_else(|| {
        let text = number.to_string();
        text.strip_suffix(".0").and_then(|text| text.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A usage object and what is made of it: prompt, cached, output, reasoning; whether it was believed whole.
    fn check(usage: &Value, expected: (Option<u64>, u64, Option<u64>, u64), is_believed: bool) {
        let bounds = UsageBounds { prompt_tokens_max: 100, output_tokens_max: 50 };
        let stated = StatedUsage::read(usage, bounds).expect("an object");
        let found = (
            stated.prompt_tokens,
            stated.cached_prompt_tokens,
            stated.output_tokens,
            stated.reasoning_tokens,
        );
        assert_eq!(found, expected, "{usage}");
        assert_eq!(stated.flaw.is_none(), is_believed, "{usage}: {:?}", stated.flaw);
    }

    fn usage(prompt: &Value, cached: &Value, output: &Value, reasoning: &Value) -> Value {
        json!({
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": -1,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        })
    }

    #[test]
    fn stated_figures_are_read() {
        check(&json!({}), (None, 0, None, 0), true);
        check(&json!({"prompt_tokens": 7}), (Some(7), 0, None, 0), true);
        check(&json!({"prompt_tokens": null, "completion_tokens": 3}), (None, 0, Some(3), 0), true);
        check(&json!({"prompt_tokens": 7.0, "completion_tokens": 3.0}), (Some(7), 0, Some(3), 0), true);
        check(&usage(&json!(100), &json!(100), &json!(50), &json!(50)), (Some(100), 100, Some(50), 50), true);
        check(&usage(&json!(0), &json!(null), &json!(0), &json!(0)), (Some(0), 0, Some(0), 0), true);
        let details = json!({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": null});
        check(&details, (Some(9), 0, Some(1), 0), true);
        let bounds = UsageBounds { prompt_tokens_max: 1, output_tokens_max: 1 };
        for none in [json!(null), json!([]), json!(7), json!("7")] {
            assert_eq!(StatedUsage::read(&none, bounds), None);
        }
    }

    #[test]
    fn a_nodes_figures_come_together_or_not_at_all() {
        let usage = json!({"energy_mj": 7, "energy_source": "rapl", "queue_us": 9, "prompt_tokens": 1});
        let (energy, queue) = (Millijoules::new(7), Micros::new(9));
        let expected = NodeUsage { energy, energy_source: EnergySource::Rapl, queue };
        assert_eq!(NodeUsage::read(&usage), Some(expected));
        for field in ["energy_mj", "energy_source", "queue_us"] {
            for bad in [json!(null), json!(-1), json!(1.5), json!("7"), json!([7])] {
                let mut broken = usage.clone();
                broken[field] = bad;
                assert_eq!(NodeUsage::read(&broken), None, "{broken}");
            }
        }
        assert_eq!(NodeUsage::read(&json!(null)), None);
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let ok = json!(5);
        check(&usage(&json!(-1), &json!(0), &ok, &json!(0)), (None, 0, Some(5), 0), false);
        check(&usage(&json!("7"), &json!(0), &ok, &json!(0)), (None, 0, Some(5), 0), false);
        check(&usage(&json!(1.5), &json!(0), &ok, &json!(0)), (None, 0, Some(5), 0), false);
        check(&usage(&json!(101), &json!(0), &ok, &json!(0)), (Some(100), 0, Some(5), 0), false);
        check(&usage(&json!(u64::MAX), &json!(0), &ok, &json!(0)), (Some(100), 0, Some(5), 0), false);
        check(&usage(&json!(1e300), &json!(0), &ok, &json!(0)), (None, 0, Some(5), 0), false);
        check(&usage(&ok, &json!(6), &ok, &json!(0)), (Some(5), 5, Some(5), 0), false);
        check(&usage(&ok, &json!(0), &ok, &json!(6)), (Some(5), 0, Some(5), 5), false);
        check(&usage(&ok, &json!(-6), &ok, &json!(-6)), (Some(5), 0, Some(5), 0), false);
        check(&usage(&ok, &json!(0), &json!(51), &json!(0)), (Some(5), 0, Some(50), 0), false);
        check(&json!({"prompt_tokens_details": {"cached_tokens": 1}}), (None, 0, None, 0), false);
    }
}
