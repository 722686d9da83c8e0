//! What a table of lanes does not show: paced chunks, bad keys in floods, a huge prompt, a thousand slow streams.
//! Never mixes two of them: each has the gateway to itself.
//! Called by `main` after the lanes.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    lanes::Shape,
    load::{Load, Sorted, Target, micros},
    mock::Mock,
    subject::{Mocks, Subject},
};

/// Streams read one after another through the paced backend.
const PACED_STREAMS: usize = 20;
/// Connections that send bad keys.
const FLOOD_CONNECTIONS: usize = 64;
/// Connections of small requests beside a flood or a huge prompt.
const SMALL_CONNECTIONS: usize = 4;
/// A word of the huge prompt is about one token.
const HUGE_PROMPT_WORDS: usize = 100_000;
/// Streams at the same time.
const SLOW_STREAMS: usize = 1_000;

/// When the pieces of paced streams arrived, after they had been sent.
pub(crate) struct Paced {
    pub(crate) direct: Ages,
    pub(crate) gateway: Ages,
}

/// First pieces and all others apart: only the others can betray a sender that waits for an acknowledgement.
pub(crate) struct Ages {
    pub(crate) first_us: Sorted,
    pub(crate) rest_us: Sorted,
}

pub(crate) async fn paced(subject: &Subject, mocks: &Mocks) -> io::Result<Paced> {
    let body = Shape::Stream.body("paced");
    let direct = Target::new(mocks.paced.address, None, &body);
    let gateway = Target::new(subject.address, Some(&subject.governed_key), &body);
    Ok(Paced { direct: ages(&direct, mocks.paced).await?, gateway: ages(&gateway, mocks.paced).await? })
}

async fn ages(target: &Target, mock: Mock) -> io::Result<Ages> {
    let mut client = target.connect().await?;
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for _ in 0..PACED_STREAMS {
        let mut seen = Vec::new();
        client.ask(|part| seen.extend(mock.ages_us(part))).await?;
        first.extend(seen.iter().take(1).copied());
        rest.extend(seen.iter().skip(1).copied());
    }
    Ok(Ages { first_us: Sorted::new(first.into_iter()), rest_us: Sorted::new(rest.into_iter()) })
}

/// Refusals of one kind of bad key, and what small good requests saw meanwhile.
pub(crate) struct Flood {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) beside: Load,
}

pub(crate) async fn floods(subject: &Subject, seconds: f64) -> io::Result<Vec<Flood>> {
    let body = Shape::Whole.body("instant");
    let time = Duration::from_secs_f64(seconds);
    let good = Target::new(subject.address, Some(&subject.governed_key), &body);
    let wrong_secret = with_letter(&subject.governed_key, subject.governed_key.len() - 1);
    let unknown = with_letter(&subject.governed_key, "tg-".len());
    let rows = [
        ("no good form", "sk-0123456789abcdef".to_owned()),
        ("unknown id", unknown),
        ("wrong secret", wrong_secret),
    ];
    let mut floods = Vec::new();
    for (name, key) in rows {
        let bad = Target::new(subject.address, Some(&key), &body);
        // Alone first: that is what a refusal costs.
        let before = subject.cpu();
        let load = bad.load(FLOOD_CONNECTIONS, time).await?;
        let cpu = micros(subject.cpu().saturating_sub(before)) as f64;
        let cpu_us_per_request = cpu / load.answers.len().max(1) as f64;
        let (_, beside) =
            tokio::try_join!(bad.load(FLOOD_CONNECTIONS, time), good.load(SMALL_CONNECTIONS, time))?;
        floods.push(Flood { name, load, cpu_us_per_request, beside });
    }
    Ok(floods)
}

/// Small requests alone, and beside a connection that sends one huge prompt after another.
pub(crate) struct HeadOfLine {
    pub(crate) alone: Load,
    pub(crate) beside: Load,
    pub(crate) huge: Load,
}

pub(crate) async fn head_of_line(subject: &Subject, seconds: f64) -> io::Result<HeadOfLine> {
    let time = Duration::from_secs_f64(seconds);
    let key = Some(subject.governed_key.as_str());
    let small = Target::new(subject.address, key, &Shape::Whole.body("instant"));
    let words = "word ".repeat(HUGE_PROMPT_WORDS);
    let huge = Shape::Whole.body("instant").replace("What is goodput?", &words);
    let huge = Target::new(subject.address, key, &huge);
    let alone = small.load(SMALL_CONNECTIONS, time).await?;
    let (beside, huge) = tokio::try_join!(small.load(SMALL_CONNECTIONS, time), huge.load(1, time))?;
    Ok(HeadOfLine { alone, beside, huge })
}

/// Many streams at the same time, read as slowly as they come.
pub(crate) struct SlowStreams {
    pub(crate) asked: usize,
    pub(crate) whole: usize,
    pub(crate) first_us: Sorted,
    pub(crate) piece_us: Sorted,
    pub(crate) took: Duration,
    pub(crate) memory_before_kib: u64,
    pub(crate) memory_kib: u64,
    pub(crate) cpu: Duration,
}

pub(crate) async fn slow_streams(subject: &Subject, mocks: &Mocks) -> io::Result<SlowStreams> {
    let target = Target::new(subject.address, Some(&subject.governed_key), &Shape::Stream.body("slow"));
    let (mock, memory_before_kib, cpu) = (mocks.slow, subject.memory_kib(), subject.cpu());
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..SLOW_STREAMS {
        let target = target.clone();
        running.spawn(async move { stream(&target, mock).await });
    }
    let is_half_over = mock.pace.gap * mock.pace.pieces / 2;
    tokio::time::sleep(is_half_over).await;
    let memory_kib = subject.memory_kib();
    let (mut whole, mut first, mut pieces) = (0, Vec::new(), Vec::new());
    while let Some(joined) = running.join_next().await {
        let Ok((first_us, ages, is_whole)) = joined.map_err(io::Error::other)? else { continue };
        whole += usize::from(is_whole);
        first.push(first_us);
        pieces.extend(ages);
    }
    Ok(SlowStreams {
        asked: SLOW_STREAMS,
        whole,
        first_us: Sorted::new(first.into_iter()),
        piece_us: Sorted::new(pieces.into_iter()),
        took: started.elapsed(),
        memory_before_kib,
        memory_kib,
        cpu: subject.cpu().saturating_sub(cpu),
    })
}

async fn stream(target: &Target, mock: Mock) -> io::Result<(u64, Vec<u64>, bool)> {
    let mut client = target.connect().await?;
    let (mut ages, mut end) = (Vec::new(), Vec::new());
    let answer = client
        .ask(|part| {
            ages.extend(mock.ages_us(part));
            end.extend_from_slice(part);
            let keep = end.len().saturating_sub(64);
            end.drain(..keep);
        })
        .await?;
    let is_ended = String::from_utf8_lossy(&end).trim_end().ends_with("data: [DONE]");
    let pieces = usize::try_from(mock.pace.pieces).unwrap_or(0);
    let is_whole = answer.status == 200 && is_ended && ages.len() == pieces;
    Ok((micros(answer.first), ages, is_whole))
}
