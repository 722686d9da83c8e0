//! Chooses one of several targets for a request: the least loaded for its weight, or the one that knows the prompt.
//! Never knows what a target is and never reads a clock; a pure function of what it is told.
//! Called by `route` for each attempt.

use sha2::{Digest as _, Sha256};

/// Beginning of a conversation that is looked at. A system prompt and a first message fit; requests that share
/// it go where their prompt is likely cached. Unit: bytes.
pub(super) const PREFIX_BYTES_MAX: usize = 4_096;

/// The target that knows the prompt is taken while its load is at most this many times the least, …
const AFFINITY_TIMES: u64 = 2;
/// … and this much beyond it: a few long requests, for a prompt computed again is not worth a long queue.
/// Unit: tokens for each unit of weight, times [`LOAD_SCALE`].
const AFFINITY_SLACK_TOKENS: u64 = 16_384;

/// Loads are compared as tokens × this ÷ weight, so that small weights do not round away.
const LOAD_SCALE: u64 = 1_000;

/// The weight that a target gets when nothing is said.
const WEIGHT_USUAL: u64 = 100;

/// A target that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// Its name; the same in every gateway, so that all prefer the same target for a prompt.
    pub(super) name: &'a str,
    /// Its share of requests.
    pub(super) weight: u32,
    /// Prompt and output tokens that it has promised and not yet delivered.
    pub(super) outstanding_tokens: u64,
}

/// What requests with the same beginning share: same prefix, same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affinity([u8; 32]);

impl Affinity {
    /// The affinity of a conversation. The scope keeps tenants apart: one may not learn where another's prompt is.
    pub(super) fn of(scope: u64, conversation: &[u8]) -> Self {
        let prefix = conversation.get(..PREFIX_BYTES_MAX).unwrap_or(conversation);
        Self(Sha256::new().chain_update(scope.to_be_bytes()).chain_update(prefix).finalize().into())
    }

    /// Weighted rendezvous hashing: each target draws a number for this prompt, and the highest wins. Each wins as
    /// often as its weight says, and one that comes or goes moves only its own share of prompts.
    fn draw(self, candidate: &Candidate<'_>) -> f64 {
        let digest = Sha256::new().chain_update(self.0).chain_update(candidate.name).finalize();
        let mut bytes = [0; 4];
        bytes.iter_mut().zip(digest).for_each(|(byte, drawn)| *byte = drawn);
        // Strictly between 0 and 1, so that the logarithm is finite and not zero.
        let drawn = (f64::from(u32::from_be_bytes(bytes)) + 0.5) / (f64::from(u32::MAX) + 1.0);
        f64::from(candidate.weight.max(1)) / -drawn.ln()
    }
}

/// The place of the target to ask. `None`: there is none.
pub(super) fn choose(candidates: &[Candidate<'_>], tokens: u64, affinity: Affinity) -> Option<usize> {
    if candidates.len() < 2 {
        return candidates.first().map(|_| 0);
    }
    let load = |candidate: &Candidate<'_>| {
        let tokens = u128::from(candidate.outstanding_tokens) + u128::from(tokens);
        tokens * u128::from(LOAD_SCALE) * u128::from(WEIGHT_USUAL) / u128::from(candidate.weight.max(1))
    };
    let places = || candidates.iter().enumerate();
    let (preferred, known) =
        places().max_by(|(_, one), (_, other)| affinity.draw(one).total_cmp(&affinity.draw(other)))?;
    let (least, idle) = places().min_by_key(|(_, candidate)| load(candidate))?;
    let bearable =
        load(idle) * u128::from(AFFINITY_TIMES) + u128::from(AFFINITY_SLACK_TOKENS) * u128::from(LOAD_SCALE);
    Some(if load(known) <= bearable { preferred } else { least })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn candidates(loads: &[(u32, u64)]) -> Vec<Candidate<'static>> {
        let one = |(&name, &(weight, outstanding_tokens)): (&&'static str, &(u32, u64))| Candidate {
            name,
            weight,
            outstanding_tokens,
        };
        NAMES.iter().zip(loads).map(one).collect()
    }

    /// How often each target is chosen for many different prompts.
    fn shares(loads: &[(u32, u64)]) -> Vec<u32> {
        let candidates = candidates(loads);
        let mut shares = vec![0; loads.len()];
        for prompt in 0..300_u32 {
            let affinity = Affinity::of(1, &prompt.to_be_bytes());
            shares[choose(&candidates, 100, affinity).expect("some")] += 1;
        }
        shares
    }

    #[test]
    fn one_target_is_always_chosen() {
        assert_eq!(choose(&[], 1, Affinity::of(0, b"")), None);
        assert_eq!(choose(&candidates(&[(1, u64::MAX)]), u64::MAX, Affinity::of(0, b"")), Some(0));
    }

    #[test]
    fn idle_targets_share_prompts() {
        for share in shares(&[(100, 0), (100, 0), (100, 0)]) {
            assert!((60..140).contains(&share), "{share} of 300");
        }
    }

    #[test]
    fn weights_are_shares() {
        let found = shares(&[(300, 0), (100, 0), (200, 0)]);
        for (share, expected) in found.iter().zip([150, 50, 100]) {
            assert!(share.abs_diff(expected) < 35, "{found:?}");
        }
    }

    #[test]
    fn a_much_busier_target_is_left_alone() {
        assert_eq!(shares(&[(100, 1_000_000), (100, 0)]), [0, 300]);
        assert_eq!(shares(&[(100, 1_000_000), (100, 100_000), (100, 0)]), [0, 0, 300]);
        // Twice the weight bears twice the load.
        assert_eq!(shares(&[(1, 500_000), (10_000, 500_000)]), [0, 300]);
    }

    #[test]
    fn the_same_beginning_goes_to_the_same_target() {
        let conversation = vec![b'x'; PREFIX_BYTES_MAX];
        let longer = [conversation.as_slice(), b"and more"].concat();
        let affinity = Affinity::of(1, &conversation);
        assert_eq!(affinity, Affinity::of(1, &longer));
        assert_ne!(affinity, Affinity::of(2, &conversation));
        let idle = candidates(&[(100, 0), (100, 0), (100, 0)]);
        let known = choose(&idle, 100, affinity).expect("some");
        for other in 0..3 {
            // A little more load does not move it, and the others' load never does.
            let mut busy = idle.clone();
            busy[other].outstanding_tokens = 10_000;
            assert_eq!(choose(&busy, 100, affinity), Some(known));
        }
        let mut busy = idle.clone();
        busy[known].outstanding_tokens = 1_000_000;
        assert_ne!(choose(&busy, 100, affinity), Some(known));
        // Without another target, the same stays the choice.
        let without: Vec<_> =
            idle.iter().enumerate().filter(|(at, _)| *at != (known + 1) % 3).map(|(_, one)| *one).collect();
        let chosen = choose(&without, 100, affinity).expect("some");
        assert_eq!(without[chosen].name, NAMES[known]);
    }
}
