//! An answer of an engine in this process: one generation for each choice, told as one stream of events.
//! Never blocks the engine and never waits for one choice while another has something to say.
//! Made by `run_on_engine`.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use domain::{EnergySource, Micros, Millijoules, Tokens, UsageSource};
use engine::Generation;

use super::answer::{Content, Delta, Event, Finish, Part, Stop, Tally};

/// The choices of one request on one engine.
#[derive(Debug)]
pub struct EngineAnswer {
    choices: Vec<Choice>,
    /// Choices that read the same prompt; it is counted once.
    choices_per_prompt: usize,
    /// Where the next look begins, so that a busy choice does not silence the others.
    next: usize,
    is_started: bool,
    is_told: bool,
    energy_source: EnergySource,
}

#[derive(Debug)]
struct Choice {
    generation: Generation,
    tally: Option<engine::Tally>,
}

impl EngineAnswer {
    pub(super) fn new(
        generations: Vec<Generation>,
        choices_per_prompt: usize,
        energy_source: EnergySource,
    ) -> Self {
        let choices = generations.into_iter().map(|generation| Choice { generation, tally: None }).collect();
        let (next, is_started, is_told) = (0, false, false);
        Self { choices, choices_per_prompt, next, is_started, is_told, energy_source }
    }

    /// The next event; `None` after `Finished`.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Ends all choices within one step.
    pub fn cancel(&self) {
        for choice in &self.choices {
            choice.generation.cancel();
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.is_told {
            return Poll::Ready(None);
        }
        let count = self.choices.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            if let Poll::Ready(event) = self.poll_choice(index, context) {
                self.next = index + 1;
                return Poll::Ready(Some(event));
            }
        }
        if self.choices.iter().all(|choice| choice.tally.is_some()) {
            self.is_told = true;
            return Poll::Ready(Some(Event::Finished(Box::new(self.tally()))));
        }
        Poll::Pending
    }

    /// The next event of one choice that means something for the whole.
    fn poll_choice(&mut self, index: usize, context: &mut Context<'_>) -> Poll<Event> {
        let Some(choice) = self.choices.get_mut(index) else { return Poll::Pending };
        while choice.tally.is_none() {
            let Poll::Ready(event) = choice.generation.poll_next(context) else { return Poll::Pending };
            match event {
                Some(engine::Event::Started(_)) if self.is_started => {}
                Some(engine::Event::Started(_)) => {
                    self.is_started = true;
                    return Poll::Ready(Event::Started);
                }
                Some(engine::Event::Token(token)) => {
                    let at = token.at;
                    let content = content(index, token.text);
                    return Poll::Ready(Event::Part(Part { content, tokens: 1, at }));
                }
                Some(engine::Event::Finished(tally)) => choice.tally = Some(tally),
                // The engine promises a tally for every job; without one nothing is known.
                None => choice.tally = Some(lost(self.energy_source)),
            }
        }
        Poll::Pending
    }

    /// All choices together.
    fn tally(&mut self) -> Tally {
        let mut whole = Tally::nothing(Finish::Failed);
        whole.energy_source = self.energy_source;
        whole.usage_source = UsageSource::Engine;
        let tallies: Vec<_> = self.choices.iter_mut().filter_map(|choice| choice.tally.take()).collect();
        whole.finish = finish(&tallies);
        let sum = |left: Tokens, right: Tokens| Tokens::new(left.get().saturating_add(right.get()));
        for choices in tallies.chunks(self.choices_per_prompt) {
            let (prompt_tokens, cached_prompt_tokens) = prompt_once(choices);
            whole.prompt_tokens = sum(whole.prompt_tokens, prompt_tokens);
            whole.cached_prompt_tokens = sum(whole.cached_prompt_tokens, cached_prompt_tokens);
        }
        for (index, tally) in tallies.into_iter().enumerate() {
            whole.output_tokens = sum(whole.output_tokens, tally.output_tokens);
            whole.energy = Millijoules::new(whole.energy.get().saturating_add(tally.energy.get()));
            whole.queue = whole.queue.max(tally.queue);
            if !tally.tail.is_empty() {
                whole.tails.push((choice_number(index), tally.tail));
            }
        }
        whole
    }
}

/// The tokens of a prompt that all these choices read, and those of them that none had to compute. Any choice may be
/// the one that computed it: the first can end while it still waits.
fn prompt_once(choices: &[engine::Tally]) -> (Tokens, Tokens) {
    let started = || choices.iter().filter(|tally| tally.prompt_tokens > Tokens::ZERO);
    let prompt = started().map(|tally| tally.prompt_tokens).max();
    let cached = started().map(|tally| tally.cached_prompt_tokens).min();
    (prompt.unwrap_or(Tokens::ZERO), cached.unwrap_or(Tokens::ZERO))
}

fn choice_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn content(index: usize, text: String) -> Content {
    match text.is_empty() {
        true => Content::Nothing,
        false => Content::Delta { choice: choice_number(index), delta: Delta::Text(text) },
    }
}

/// The whole stopped when every choice did; else the worst of them counts.
fn finish(tallies: &[engine::Tally]) -> Finish {
    let has = |wanted| tallies.iter().any(|tally| tally.finish == wanted);
    if has(engine::Finish::Failed) {
        return Finish::Failed;
    }
    if has(engine::Finish::Deadline) {
        return Finish::Deadline;
    }
    if has(engine::Finish::Cancelled) {
        return Finish::Cancelled;
    }
    let stop = |tally: &engine::Tally| match (tally.finish, &tally.stop_text) {
        (engine::Finish::Length, _) => Stop::Length,
        (_, Some(text)) => Stop::StopText(text.clone()),
        (_, None) => Stop::Done,
    };
    Finish::Stopped(tallies.iter().map(stop).collect())
}

fn lost(energy_source: EnergySource) -> engine::Tally {
    engine::Tally {
        prompt_tokens: Tokens::ZERO,
        cached_prompt_tokens: Tokens::ZERO,
        output_tokens: Tokens::ZERO,
        finish: engine::Finish::Failed,
        tail: String::new(),
        stop_text: None,
        energy: Millijoules::ZERO,
        energy_source,
        queue: Micros::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::ModelName;
    use engine::{Engine, EngineConfig, Job, ModelSource, SimConfig};

    use super::*;

    const OUTPUT_TOKENS: u32 = 4;

    /// An engine with one place, taken for long enough that nothing submitted at once starts.
    fn busy_engine() -> (Engine, Generation) {
        let sim = SimConfig { decode_step: Duration::from_millis(20), ..SimConfig::default() };
        let name = ModelName::new("sim").expect("a name");
        let mut config = EngineConfig::new(name, ModelSource::Sim(sim));
        config.sequences_max = 1;
        let engine = Engine::start(config).expect("started");
        let first = job(&engine, "a prompt of somebody else", 30);
        let running = engine.submit(first).expect("submitted");
        (engine, running)
    }

    fn job(engine: &Engine, text: &str, output_tokens: u32) -> Job {
        let prompt = engine.prompt_text(text).expect("a prompt");
        Job { ignore_eos: true, ..Job::new(prompt, output_tokens) }
    }

    /// Choices of each prompt, and which of all choices are cancelled before they start; expected: how often each
    /// prompt's tokens count, and how many choices have output.
    async fn check(prompts: &[&str], per_prompt: usize, cancelled: &[usize], expected: (&[u64], u64)) {
        let (engine, mut other) = busy_engine();
        let tokens: Vec<_> =
            prompts.iter().map(|text| engine.prompt_text(text).expect("a prompt").tokens().get()).collect();
        let jobs = prompts.iter().flat_map(|text| std::iter::repeat_n(text, per_prompt));
        let submit = |text: &&str| engine.submit(job(&engine, text, OUTPUT_TOKENS)).expect("submitted");
        let generations: Vec<_> = jobs.map(submit).collect();
        for choice in cancelled {
            generations[*choice].cancel();
        }
        while other.next().await.is_some() {}
        let mut answer = EngineAnswer::new(generations, per_prompt, EnergySource::Modelled);
        let mut tally = None;
        while let Some(event) = answer.next().await {
            if let Event::Finished(finished) = event {
                tally = Some(finished);
            }
        }
        let tally = tally.expect("a tally");
        let counted: u64 = tokens.iter().zip(expected.0).map(|(tokens, times)| tokens * times).sum();
        let found = (tally.prompt_tokens.get(), tally.output_tokens.get());
        assert_eq!(found, (counted, expected.1 * u64::from(OUTPUT_TOKENS)), "{per_prompt} {cancelled:?}");
    }

    #[tokio::test]
    async fn a_prompt_counts_once_whichever_choice_computed_it() {
        let (one, two) = ("one prompt", "another prompt, and a longer one");
        check(&[one, two], 2, &[], (&[1, 1], 4)).await;
        check(&[one, two], 2, &[0], (&[1, 1], 3)).await;
        check(&[one, two], 2, &[1, 2], (&[1, 1], 2)).await;
        check(&[one, two], 2, &[0, 1], (&[0, 1], 2)).await;
        check(&[one], 3, &[0, 1], (&[1], 1)).await;
        check(&[one], 2, &[0, 1], (&[0], 0)).await;
    }
}
