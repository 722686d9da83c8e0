//! The engine's one door: start it, make prompts, submit jobs, look at it, shut it down.
//! Never runs a step itself; that is the engine's own thread, in `work`.
//! Called by the gateway's backend and by tests.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use domain::{EnergySource, Millijoules, ModelName, Tokens};

use crate::{
    ChatMessage, EngineConfig, EngineError, Forecast, Generation, Job, Prompt,
    energy::{self, Attribution},
    forecast::Load,
    generation::Outlet,
    model::{self, LoadedModel},
    runner::{Batch, BatchRow, Runner},
    schedule::{Limits, Scheduler, SlotId},
    text::Text,
    work::{Arrival, Inbox, Worker},
};

/// What a started engine says about its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name clients ask for.
    pub name: ModelName,
    /// Tokens of prompt and output together.
    pub context_tokens_max: u32,
    /// Entries of the vocabulary.
    pub vocabulary: u32,
    /// Numbers the model consists of.
    pub parameters: u64,
    /// Its architecture and size, for people.
    pub architecture: String,
    /// Where energy figures come from.
    pub energy_source: EnergySource,
}

/// What a running engine is doing.
///
/// `meter_total = requests_total + idle_total`, to the millijoule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Sequences being decoded together.
    pub running: usize,
    /// Jobs waiting for a place among them.
    pub queued: usize,
    /// It takes jobs.
    pub is_ready: bool,
    /// It broke and takes no more jobs.
    pub is_failed: bool,
    /// What the meter showed since the start.
    pub meter_total: Millijoules,
    /// The part of it that went to jobs.
    pub requests_total: Millijoules,
    /// The part of it in which the device rested.
    pub idle_total: Millijoules,
    /// Output tokens of all jobs.
    pub tokens_total: Tokens,
    /// Steps run, failed ones included.
    pub steps_total: u64,
}

/// A loaded model and the thread that runs it. Clones share both; the last one to go shuts it down.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModelInfo,
    text: Text,
    inbox: Arc<Inbox>,
    limits: Limits,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Loads the model, runs a first step and starts the engine's thread. Blocks until done.
    ///
    /// Errors: a configuration out of range, a model that cannot be loaded, a meter that cannot be opened.
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        config.check()?;
        let LoadedModel { text, mut runner, context_tokens_max, vocabulary, parameters, architecture } =
            model::load(&config)?;
        warm_up(runner.as_mut())?;
        let attribution = Attribution::new(energy::open_meter(config.energy)?, config.energy, Instant::now());
        let info = ModelInfo {
            name: config.name,
            context_tokens_max,
            vocabulary,
            parameters,
            architecture,
            energy_source: attribution.source(),
        };
        let inbox = Arc::new(Inbox::new(config.queue_jobs_max));
        let limits = Limits { sequences_max: config.sequences_max, step_tokens_max: config.step_tokens_max };
        let scheduler = Scheduler::new(limits);
        let worker = Worker::new(Arc::clone(&inbox), scheduler, runner, attribution, text.clone());
        let thread = std::thread::Builder::new().name(format!("engine {}", info.name));
        let thread = thread.spawn(move || worker.run()).map_err(EngineError::Thread)?;
        let inner = Inner { info, text, inbox, limits, thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is known about the model.
    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// A chat as the model reads it, ready for the assistant's answer.
    ///
    /// Errors: no chat template, or one that refuses these messages.
    pub fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt, EngineError> {
        Ok(self.inner.text.prompt(messages)?)
    }

    /// A plain text to continue.
    ///
    /// Errors: the tokenizer's.
    pub fn prompt_text(&self, text: &str) -> Result<Prompt, EngineError> {
        Ok(self.inner.text.prompt_text(text)?)
    }

    /// Takes a job, or says why not. Never blocks.
    ///
    /// Errors: [`EngineError::EmptyPrompt`], [`EngineError::PromptTooLong`], [`EngineError::BadSampling`],
    /// [`EngineError::QueueFull`], [`EngineError::Stopped`], [`EngineError::Failed`].
    pub fn submit(&self, job: Job) -> Result<Generation, EngineError> {
        let context = self.inner.info.context_tokens_max;
        job.check(context)?;
        if job.prompt.ids().iter().any(|id| *id >= self.inner.info.vocabulary) {
            // A prompt made by another engine.
            return Err(EngineError::BadSampling {
                what: "the prompt has tokens that this model does not know",
            });
        }
        let output_tokens_max = job.output_tokens_clamped(context);
        let (outlet, generation) = Outlet::open(output_tokens_max, self.inner.info.energy_source);
        self.inner.inbox.push(Arrival { job, output_tokens_max, outlet, at: Instant::now() })?;
        Ok(generation)
    }

    /// What a job with this prompt would meet if it came now. `None` before the first job has run.
    pub fn forecast(&self, prompt: Tokens) -> Option<Forecast> {
        let (pace, running, queued) = self.inner.inbox.pace();
        let Limits { sequences_max, step_tokens_max } = self.inner.limits;
        pace.forecast(Load { running, queued, sequences_max, step_tokens_max }, prompt)
    }

    /// What the engine is doing.
    pub fn status(&self) -> EngineStatus {
        self.inner.inbox.status()
    }

    /// Takes no more jobs, ends the running ones as cancelled, and waits for the thread. A second call does nothing.
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

impl Inner {
    fn shutdown(&self) {
        self.inbox.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("info", &self.inner.info).finish_non_exhaustive()
    }
}

/// Runs one token through the model, so that the first request pays for no first-time work.
fn warm_up(runner: &mut dyn Runner) -> Result<(), EngineError> {
    let row = BatchRow { slot: SlotId(0), start: 0, tokens: vec![0], logits_rows: 0 };
    runner.step(&Batch { rows: vec![row] }).map_err(|error| {
        tracing::error!(%error, "the model's first step failed");
        EngineError::WarmUp
    })?;
    runner.clear(SlotId(0));
    Ok(())
}
