//! Draws the next token from logits: greedy, temperature, top-k, top-p, seeded.
//! Never sees text, other sequences or time, so a draw depends only on its own sequence.
//! One `Sampler` lives in each running sequence.

#[cfg(test)]
mod tests;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::job::Sampling;

/// No entry of the vocabulary has a usable score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model gave no usable score for any token")]
pub(crate) struct NoToken;

/// Draws tokens for one sequence.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    random: ChaCha12Rng,
    /// Kept between draws so that a draw does not allocate.
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    logit: f32,
    /// Unnormalised probability.
    weight: f64,
}

impl Sampler {
    /// A sampler; without a seed in `sampling` it draws from `entropy`.
    pub(crate) fn new(sampling: Sampling, entropy: u64) -> Self {
        let random = ChaCha12Rng::seed_from_u64(sampling.seed.unwrap_or(entropy));
        Self { sampling, random, candidates: Vec::new() }
    }

    /// The next token. Ids in `banned` are never drawn; scores that are not numbers count as impossible.
    ///
    /// Errors: no score is usable.
    pub(crate) fn draw(&mut self, logits: &[f32], banned: &[u32]) -> Result<u32, NoToken> {
        // One number per token, also where none is needed: a token's randomness depends on its place alone.
        let random = self.random.next_u64();
        let is_usable =
            |(id, logit): &(u32, f32)| !logit.is_nan() && *logit != f32::NEG_INFINITY && !banned.contains(id);
        let usable = (0_u32..).zip(logits.iter().copied()).filter(is_usable);
        let has_one_choice = self.sampling.temperature == 0.0 || self.sampling.top_k == Some(1);
        let greedy = usable.clone().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (likeliest, logit_max) = greedy.ok_or(NoToken)?;
        // An infinite score would make every other probability zero or undefined.
        if has_one_choice || logit_max == f32::INFINITY {
            return Ok(likeliest);
        }
        let temperature = f64::from(self.sampling.temperature);
        let weigh = |logit: f32| ((f64::from(logit) - f64::from(logit_max)) / temperature).exp();
        self.candidates.clear();
        self.candidates.extend(usable.map(|(id, logit)| Candidate { id, logit, weight: weigh(logit) }));
        self.keep_top_k();
        self.keep_top_p();
        Ok(pick(&self.candidates, random).unwrap_or(likeliest))
    }

    fn keep_top_k(&mut self) {
        let Some(top_k) = self.sampling.top_k.and_then(|top_k| usize::try_from(top_k).ok()) else { return };
        if top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(top_k, likelier_first);
            self.candidates.truncate(top_k);
            // The selection leaves them in no particular order; drawing needs a fixed one.
            self.candidates.sort_unstable_by_key(|candidate| candidate.id);
        }
    }

    /// Keeps the smallest set of likeliest tokens whose probability reaches top-p; never fewer than one.
    fn keep_top_p(&mut self) {
        if self.sampling.top_p >= 1.0 {
            return;
        }
        self.candidates.sort_unstable_by(likelier_first);
        let total: f64 = self.candidates.iter().map(|candidate| candidate.weight).sum();
        let enough = total * f64::from(self.sampling.top_p);
        let mut sum = 0.0;
        let kept = self.candidates.iter().take_while(|candidate| {
            let is_kept = sum < enough;
            sum += candidate.weight;
            is_kept
        });
        let kept = kept.count().max(1);
        self.candidates.truncate(kept);
    }
}

/// By falling score, ties by rising id: a total order, so results never depend on the sort.
fn likelier_first(left: &Candidate, right: &Candidate) -> std::cmp::Ordering {
    right.logit.total_cmp(&left.logit).then(left.id.cmp(&right.id))
}

/// The candidate on which a uniform random number falls.
fn pick(candidates: &[Candidate], random: u64) -> Option<u32> {
    let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
    // 53 random bits as a number from 0 (included) to 1 (excluded); exact in f64.
    let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
    let mut left = unit * total;
    let fallen_on = candidates.iter().find(|candidate| {
        left -= candidate.weight;
        left < 0.0
    });
    // Rounding can leave a crumb behind the last one.
    let possible = || candidates.iter().rev().find(|candidate| candidate.weight > 0.0);
    fallen_on.or_else(possible).map(|candidate| candidate.id)
}
