//! Tables and properties of the scheduler.
//! Never uses tensors or time.
//! Run by `cargo test -p engine`.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Each step as `id:start+tokens`, with `!` where it yields a token.
fn shown(plan: &[Assignment]) -> String {
    let show = |row: &Assignment| {
        format!("{}:{}+{}{}", row.id.0, row.start, row.tokens, if row.yields { "!" } else { "" })
    };
    plan.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn step(scheduler: &mut Scheduler) -> String {
    let plan = scheduler.plan();
    scheduler.advance(&plan);
    for row in plan.iter().filter(|row| row.yields) {
        scheduler.extend(row.id);
    }
    shown(&plan)
}

fn check(sequences_max: usize, step_tokens_max: usize, prompts: &[usize], steps: &[&str]) {
    let mut scheduler = Scheduler::new(Limits { sequences_max, step_tokens_max });
    for (id, tokens) in prompts.iter().enumerate() {
        scheduler.enqueue(SequenceId(id as u64), *tokens);
    }
    let seen: Vec<String> = steps.iter().map(|_| step(&mut scheduler)).collect();
    assert_eq!(seen, steps, "prompts {prompts:?}, {sequences_max} places, {step_tokens_max} tokens a step");
}

#[test]
fn decodes_go_first_and_prompts_fill_the_rest() {
    check(1, 8, &[], &["", ""]);
    check(1, 8, &[3], &["0:0+3!", "0:3+1!", "0:4+1!"]);
    check(1, 4, &[10], &["0:0+4", "0:4+4", "0:8+2!", "0:10+1!"]);
    check(2, 8, &[3, 10], &["0:0+3! 1:0+5", "0:3+1! 1:5+5!", "0:4+1! 1:10+1!"]);
    check(1, 8, &[3, 3], &["0:0+3!", "0:3+1!"]);
    check(2, 2, &[2, 2], &["0:0+1 1:0+1", "0:1+1! 1:1+1!", "0:2+1! 1:2+1!"]);
    check(3, 4, &[9, 9, 1], &["0:0+2 1:0+1 2:0+1!", "2:1+1! 0:2+2 1:1+1"]);
}

#[test]
fn a_removed_sequence_gives_its_slot_to_the_first_in_the_queue() {
    let mut scheduler = Scheduler::new(Limits { sequences_max: 1, step_tokens_max: 4 });
    for id in 0..3 {
        scheduler.enqueue(SequenceId(id), 2);
    }
    assert_eq!(step(&mut scheduler), "0:0+2!");
    assert_eq!((scheduler.running_len(), scheduler.waiting_len()), (1, 2));
    assert_eq!(scheduler.remove(SequenceId(1)), None, "it had no slot");
    assert_eq!(scheduler.remove(SequenceId(0)), Some(SlotId(0)));
    assert_eq!(scheduler.remove(SequenceId(0)), None, "removed twice");
    assert_eq!(step(&mut scheduler), "2:0+2!");
    assert_eq!((scheduler.running_len(), scheduler.waiting_len()), (1, 0));
}

#[test]
fn the_first_step_of_a_sequence_is_marked_once() {
    let mut scheduler = Scheduler::new(Limits { sequences_max: 1, step_tokens_max: 2 });
    scheduler.enqueue(SequenceId(7), 3);
    let first = scheduler.plan();
    assert!(first[0].is_first);
    assert_eq!(scheduler.plan(), first, "planning again without running changes nothing");
    scheduler.advance(&first);
    assert!(!scheduler.plan()[0].is_first);
}

proptest! {
    /// Whatever comes and goes: the token budget holds, every running sequence moves, no slot is held
    /// twice, positions follow on without gap, and the queue is served in order.
    #[test]
    fn every_step_is_lawful(
        sequences_max in 1_usize..6,
        spare in 0_usize..20,
        moves in prop::collection::vec((1_usize..40, any::<prop::sample::Index>(), 0_u8..4), 1..80),
    ) {
        let step_tokens_max = sequences_max + spare;
        let mut scheduler = Scheduler::new(Limits { sequences_max, step_tokens_max });
        let mut computed: HashMap<SequenceId, usize> = HashMap::new();
        let mut alive: Vec<SequenceId> = Vec::new();
        let mut first_steps: Vec<SequenceId> = Vec::new();
        for (number, (tokens, index, action)) in moves.into_iter().enumerate() {
            if action == 0 && !alive.is_empty() {
                let id = alive.remove(index.index(alive.len()));
                scheduler.remove(id);
            } else if action <= 2 {
                let id = SequenceId(number as u64);
                scheduler.enqueue(id, tokens);
                alive.push(id);
            }
            let plan = scheduler.plan();
            prop_assert!(plan.iter().map(|row| row.tokens).sum::<usize>() <= step_tokens_max);
            prop_assert_eq!(plan.len(), scheduler.running_len());
            prop_assert_eq!(plan.len(), alive.len().min(sequences_max));
            let mut slots: Vec<SlotId> = plan.iter().map(|row| row.slot).collect();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!(slots.len(), plan.len());
            for row in &plan {
                let before = computed.entry(row.id).or_insert(0);
                prop_assert_eq!(row.start, *before);
                prop_assert!(row.tokens >= 1);
                if row.is_first { first_steps.push(row.id); }
                *before += row.tokens;
            }
            scheduler.advance(&plan);
            plan.iter().filter(|row| row.yields).for_each(|row| scheduler.extend(row.id));
        }
        prop_assert!(first_steps.is_sorted());
        let served = first_steps.len();
        first_steps.dedup();
        prop_assert_eq!(served, first_steps.len());
    }
}
