//! What scripts are told and what they answer.
//! Never decides: a refusal's words come from `verdict`, its numbers from the script.
//! Called by the shared store.

use std::{sync::Arc, time::Duration};

use domain::{RequestId, Timestamp};
use redis::{Cmd, Value};

use super::super::TakeError;
use super::super::{
    ask::{AmountKey, AmountKind, Ask, Node, OpenHold},
    exceeded::LimitViews,
    verdict::{self, Rest},
};
use crate::admit::bucket::Bucket;

/// Parts of a level here for one of Redis', which counts milliseconds of a minute and tenths of a second of a day.
const SCALES: [u128; 3] = [1_000, 1_000, 100_000];

/// How long a window is kept after its end: a hold in it may last a day, and be remembered for another.
/// Unit: milliseconds.
const WINDOW_MEMORY_MS: i64 = 3 * 86_400_000;

/// The end of a request, said as often as needed: it counts once.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// Its place is free.
    Free(RequestId),
    /// It never was.
    Void(RequestId),
    /// It has used this much.
    Settle(Box<Settle>),
}

/// What a settlement says.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    pub(super) request_id: RequestId,
    pub(super) tokens: u64,
    pub(super) charge_nanos: i64,
    pub(super) origin: Origin,
}

/// Where a hold was taken: what was lost since then does not know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Origin {
    /// The id of the tenant's amounts then; empty when it held no amount.
    pub(super) generation: Arc<str>,
    /// The amounts it was held at.
    pub(super) amounts: Arc<[AmountKey]>,
}

/// What a take came to.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) generation: Arc<str>,
    pub(super) views: LimitViews,
    /// What is left of each amount, in the order of the ask; may be a little less than there is.
    pub(super) lefts: Vec<i64>,
}

/// An answer that no script gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// The name of an amount in a tenant's hash.
pub(super) fn amount_name(key: &AmountKey) -> String {
    let kind = match key.kind {
        AmountKind::Budget => 'b',
        AmountKind::Balance => 'a',
    };
    format!("{} {kind} {}", key.node, key.window_start.unix_micros())
}

pub(super) fn write_endings(command: &mut Cmd, endings: &[Ending]) {
    command.arg(endings.len());
    for ending in endings {
        match ending {
            Ending::Free(id) => command.arg("f").arg(id.to_string()),
            Ending::Void(id) => command.arg("v").arg(id.to_string()),
            Ending::Settle(settle) => {
                let Settle { request_id, tokens, charge_nanos, origin } = settle.as_ref();
                command.arg("s").arg(request_id.to_string()).arg(*tokens).arg((*charge_nanos).max(0));
                command.arg(origin.generation.as_ref()).arg(origin.amounts.len());
                for key in origin.amounts.iter() {
                    command.arg(amount_name(key));
                }
                &mut *command
            }
        };
    }
}

pub(super) fn write_ask(command: &mut Cmd, ask: &Ask) {
    let ttl_ms = u64::try_from(ask.ttl.as_millis()).unwrap_or(u64::MAX);
    // A time beyond 2^53 is no whole number to the script; no hold lasts a thousand years.
    const TTL_MS_MAX: u64 = 31_536_000_000_000;
    command.arg(ask.request_id.to_string()).arg(ttl_ms.min(TTL_MS_MAX));
    command.arg(ask.tokens).arg(ask.hold_nanos.max(0)).arg(ask.nodes.len());
    for node in &ask.nodes {
        command.arg(node.id.as_str());
        let quotas = node.limits.quotas().map(|quota| quota.map(|quota| quota.limit));
        for limit in quotas.into_iter().chain([node.limits.concurrency]) {
            match limit {
                Some(limit) => command.arg(limit),
                None => command.arg(""),
            };
        }
        command.arg(node.limits.amounts.len());
        for (key, amount) in node.amounts() {
            command.arg(amount_name(&key)).arg(amount.limit_nanos.max(0));
            match amount.resets_at {
                Some(at) => command.arg((at.unix_micros() / 1_000).saturating_add(WINDOW_MEMORY_MS)),
                None => command.arg(""),
            };
        }
    }
}

/// Reads what `take` answered.
pub(super) fn read_take(
    answer: &Value,
    ask: &Ask,
    now: Timestamp,
) -> Result<Result<Granted, TakeError>, Garbled> {
    let parts = array(answer)?;
    let part = |index: usize| parts.get(index).ok_or(Garbled);
    let word = text(part(0)?)?;
    if word == "repeated" {
        return Ok(Err(TakeError::Repeated));
    }
    let levels = read_levels(part(1)?, &ask.nodes)?;
    let mut views = LimitViews::default();
    for (node, buckets) in ask.nodes.iter().zip(&levels) {
        verdict::show(&mut views, node, buckets);
    }
    let amounts = || ask.nodes.iter().flat_map(|node| node.amounts().map(move |amount| (node, amount)));
    let amount_at = |value: &Value| amounts().nth(index(value)?).ok_or(Garbled);
    let refused = |exceeded| Ok(Err(TakeError::Exceeded(Box::new(exceeded), views)));
    match word {
        "taken" => {
            let lefts = array(part(3)?)?.iter().map(number).collect::<Result<_, _>>()?;
            Ok(Ok(Granted { generation: text(part(2)?)?.into(), views, lefts }))
        }
        "unseeded" => {
            let keys = parts.iter().skip(2).map(|value| amount_at(value).map(|(_, (key, _))| key));
            Ok(Err(TakeError::Unseeded(keys.collect::<Result<_, _>>()?)))
        }
        "poor" => {
            let (node, (_, amount)) = amount_at(part(2)?)?;
            let nanos = |index| text(part(index)?)?.parse::<i64>().map(i128::from).map_err(|_| Garbled);
            let rest = Rest { remaining: nanos(3)?, held: nanos(4)? };
            refused(verdict::unaffordable(node, amount, rest, ask.hold_nanos.max(0), now))
        }
        "full" => {
            let (place, limiter) = (index(part(2)?)?, index(part(3)?)?);
            let node = ask.nodes.get(place).ok_or(Garbled)?;
            match levels.get(place).and_then(|buckets| buckets.get(limiter)) {
                Some(bucket) => refused(verdict::rated(node, limiter, *bucket, ask.tokens).ok_or(Garbled)?),
                None => refused(verdict::placed(node, node.limits.concurrency.ok_or(Garbled)?)),
            }
        }
        _ => Err(Garbled),
    }
}

fn read_levels(value: &Value, nodes: &[Node]) -> Result<Vec<[Bucket; 3]>, Garbled> {
    let levels = array(value)?;
    let mut rows = Vec::with_capacity(nodes.len());
    for row in levels.chunks(SCALES.len()) {
        let mut buckets = [Bucket::default(); 3];
        for ((bucket, level), scale) in buckets.iter_mut().zip(row).zip(SCALES) {
            *bucket = Bucket::at_level(u128::try_from(number(level)?.max(0)).unwrap_or(0) * scale);
        }
        rows.push(buckets);
    }
    if rows.len() == nodes.len() { Ok(rows) } else { Err(Garbled) }
}

/// The sum of the amounts that `held` answered, and how many there are.
pub(super) fn read_held(answer: &Value) -> Result<super::super::Holds, Garbled> {
    let texts = array(answer)?;
    let mut held = super::super::Holds::default();
    for value in texts {
        let nanos: i64 = text(value)?.parse().map_err(|_| Garbled)?;
        held.count += 1;
        held.nanos += i128::from(nanos);
    }
    Ok(held)
}

/// What `open` answered: five values for each hold.
pub(super) fn read_open(answer: &Value) -> Result<Vec<OpenHold>, Garbled> {
    let (rows, rest) = array(answer)?.as_chunks::<5>();
    if !rest.is_empty() {
        return Err(Garbled);
    }
    let hold = |[id, tokens, nanos, age, left]: &[Value; 5]| {
        Ok(OpenHold {
            request_id: text(id)?.parse().map_err(|_| Garbled)?,
            tokens: text(tokens)?.parse().map_err(|_| Garbled)?,
            nanos: text(nanos)?.parse().map_err(|_| Garbled)?,
            age: millis(age)?,
            left: millis(left)?,
        })
    };
    rows.iter().map(hold).collect()
}

fn millis(value: &Value) -> Result<Duration, Garbled> {
    number(value).map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

pub(super) fn number(value: &Value) -> Result<i64, Garbled> {
    if let Value::Int(number) = value { Ok(*number) } else { Err(Garbled) }
}

fn array(value: &Value) -> Result<&[Value], Garbled> {
    if let Value::Array(parts) = value { Ok(parts) } else { Err(Garbled) }
}

fn text(value: &Value) -> Result<&str, Garbled> {
    if let Value::BulkString(bytes) = value {
        std::str::from_utf8(bytes).map_err(|_| Garbled)
    } else {
        Err(Garbled)
    }
}

/// Scripts count from one.
fn index(value: &Value) -> Result<usize, Garbled> {
    number(value)?.checked_sub(1).and_then(|index| usize::try_from(index).ok()).ok_or(Garbled)
}
