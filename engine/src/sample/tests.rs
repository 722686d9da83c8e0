//! What is drawn, how often, and that nothing but the seed decides.
//! Never compares with fixed random numbers; frequencies are held against probabilities with wide margins.
//! Run by `cargo test -p engine`.

use super::*;

const NAN: f32 = f32::NAN;
const NEVER: f32 = f32::NEG_INFINITY;

fn sampling(temperature: f32, top_p: f32, top_k: Option<u32>) -> Sampling {
    Sampling { temperature, top_p, top_k, seed: Some(1) }
}

/// How often each token is drawn in 20,000 draws.
fn frequencies(sampling: Sampling, logits: &[f32], banned: &[u32]) -> Vec<f64> {
    const DRAWS: u32 = 20_000;
    let mut sampler = Sampler::new(sampling, 0);
    let mut counts = vec![0_u32; logits.len()];
    for _ in 0..DRAWS {
        counts[sampler.draw(logits, banned).expect("a token") as usize] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
}

fn check(sampling: Sampling, probabilities: &[f64], expected: &[f64]) {
    #[expect(clippy::cast_possible_truncation, reason = "logits are 32 bits wide")]
    let logits: Vec<f32> = probabilities.iter().map(|probability| probability.ln() as f32).collect();
    let found = frequencies(sampling, &logits, &[]);
    for (found, expected) in found.iter().zip(expected) {
        // Five standard deviations at one half are 0.018; where nothing may be drawn, nothing is.
        let margin = if *expected == 0.0 { 0.0 } else { 0.018 };
        assert!(
            (found - expected).abs() <= margin,
            "{sampling:?} of {probabilities:?}: {found} for {expected}"
        );
    }
}

#[test]
fn tokens_come_as_often_as_their_probability_says() {
    let four = [0.5, 0.25, 0.15, 0.1];
    check(sampling(1.0, 1.0, None), &four, &four);
    check(sampling(1.0, 1.0, Some(2)), &four, &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
    check(sampling(1.0, 1.0, Some(99)), &four, &four);
    check(sampling(1.0, 0.74, None), &four, &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
    check(sampling(1.0, 0.76, None), &four, &[0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0.0]);
    check(sampling(1.0, 0.01, None), &four, &[1.0, 0.0, 0.0, 0.0]);
    check(sampling(1.0, 0.6, Some(2)), &four, &[1.0, 0.0, 0.0, 0.0]);
    check(sampling(0.5, 1.0, None), &[0.8, 0.2], &[0.64 / 0.68, 0.04 / 0.68]);
    check(sampling(2.0, 1.0, None), &[0.8, 0.2], &[2.0 / 3.0, 1.0 / 3.0]);
    check(sampling(0.0, 1.0, None), &[0.3, 0.4, 0.3], &[0.0, 1.0, 0.0]);
    check(sampling(1.0, 1.0, Some(1)), &[0.3, 0.4, 0.3], &[0.0, 1.0, 0.0]);
    check(sampling(1.0e-30, 1.0, None), &[0.3, 0.4, 0.3], &[0.0, 1.0, 0.0]);
}

#[test]
fn odd_scores_are_survived() {
    let rows: [(&[f32], &[u32], Option<u32>); 10] = [
        (&[1.0, 1.0], &[], Some(0)),
        (&[NAN, 1.0, NAN], &[], Some(1)),
        (&[NEVER, -3.0], &[], Some(1)),
        (&[f32::INFINITY, 1.0], &[], Some(0)),
        (&[f32::MAX, f32::MIN], &[], Some(0)),
        (&[5.0, 1.0], &[0], Some(1)),
        (&[5.0], &[0], None),
        (&[NAN, NAN], &[], None),
        (&[NEVER, NEVER], &[], None),
        (&[], &[], None),
    ];
    for (logits, banned, expected) in rows {
        let found = Sampler::new(sampling(0.0, 1.0, None), 0).draw(logits, banned);
        assert_eq!(found.ok(), expected, "greedy of {logits:?}");
        let drawn = Sampler::new(sampling(1.0, 0.9, Some(3)), 0).draw(logits, banned);
        assert_eq!(drawn.is_ok(), expected.is_some(), "drawn of {logits:?}");
        assert!(drawn.is_err() || logits[drawn.unwrap_or(0) as usize] > NEVER);
    }
    assert!(frequencies(sampling(1.0, 1.0, None), &[0.0, NAN, NEVER, 0.0], &[3])[0] >= 1.0);
}

#[test]
fn the_seed_alone_decides() {
    let logits = [0.0_f32; 64];
    let draws = |seed: Option<u64>, entropy: u64| -> Vec<u32> {
        let mut sampler = Sampler::new(Sampling { seed, ..Sampling::default() }, entropy);
        (0..32).map(|_| sampler.draw(&logits, &[]).expect("a token")).collect()
    };
    assert_eq!(draws(Some(5), 1), draws(Some(5), 2));
    assert_ne!(draws(Some(5), 1), draws(Some(6), 1));
    assert_ne!(draws(None, 1), draws(None, 2));
}

#[test]
fn each_draw_takes_one_random_number() {
    let (flat, sure) = ([0.0_f32; 64], [0.0, NEVER, NEVER]);
    let mut straight = Sampler::new(sampling(1.0, 1.0, None), 0);
    let mut detour = Sampler::new(sampling(1.0, 1.0, None), 0);
    straight.draw(&flat, &[]).expect("a token");
    detour.draw(&sure, &[]).expect("a token");
    let rest = |sampler: &mut Sampler| {
        (0..16).map(|_| sampler.draw(&flat, &[]).expect("a token")).collect::<Vec<_>>()
    };
    assert_eq!(rest(&mut straight), rest(&mut detour));
}
