//! The same requests on three ways, in turns: straight to the backend, and through the gateway with two keys.
//! Never runs one way long before another: a machine that gets busy slows all of them alike.
//! Called by `main`.

use std::{io, time::Duration};

use crate::{
    load::{Load, Target, micros},
    subject::{Mocks, Subject},
};

/// From one caller to more than the cores can serve at once.
pub(crate) const CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1_024];
/// Each lane runs this often at each number of connections.
const ROUNDS: u32 = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON answer.
    Whole,
    /// Sixteen events.
    Stream,
}

impl Shape {
    pub(crate) const ALL: [Self; 2] = [Self::Whole, Self::Stream];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole answers",
            Self::Stream => "streams of 16 events",
        }
    }

    pub(crate) fn body(self, model: &str) -> String {
        let stream = match self {
            Self::Whole => "",
            Self::Stream => r#","stream":true"#,
        };
        format!(
            r#"{{"model":"{model}","max_tokens":64,"messages":[{{"role":"user","content":"What is goodput?"}}]{stream}}}"#
        )
    }
}

/// The three ways.
pub(crate) const LANES: [&str; 3] = ["direct", "ungoverned", "governed"];

/// What one lane brought at one number of connections.
pub(crate) struct Cell {
    pub(crate) shape: Shape,
    pub(crate) connections: usize,
    pub(crate) lane: &'static str,
    pub(crate) load: Load,
    /// The gateway's own; `None` on the direct way.
    pub(crate) cpu_us_per_request: Option<f64>,
}

/// Runs every lane at every number of connections.
pub(crate) async fn measure(
    subject: &Subject,
    mocks: &Mocks,
    connections: &[usize],
    seconds: f64,
) -> io::Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for shape in Shape::ALL {
        let body = shape.body("instant");
        let targets = [
            Target::new(mocks.instant.address, None, &body),
            Target::new(subject.address, Some(&subject.free_key), &body),
            Target::new(subject.address, Some(&subject.governed_key), &body),
        ];
        for &connections in connections {
            cells.extend(at(subject, &targets, (shape, connections), seconds).await?);
        }
    }
    Ok(cells)
}

async fn at(
    subject: &Subject,
    targets: &[Target; 3],
    (shape, connections): (Shape, usize),
    seconds: f64,
) -> io::Result<Vec<Cell>> {
    let time = Duration::from_secs_f64(seconds / f64::from(ROUNDS));
    let mut loads = [Load::default(), Load::default(), Load::default()];
    let mut cpu = [Duration::ZERO; 3];
    for _ in 0..ROUNDS {
        for (lane, target) in targets.iter().enumerate() {
            let before = subject.cpu();
            loads[lane].add(target.load(connections, time).await?);
            cpu[lane] += subject.cpu().saturating_sub(before);
        }
    }
    let cells = LANES.iter().zip(loads).zip(cpu).map(|((&lane, load), cpu)| {
        let requests = load.answers.len().max(1) as f64;
        let is_gateway = lane != LANES[0];
        let cpu_us_per_request = is_gateway.then(|| micros(cpu) as f64 / requests);
        Cell { shape, connections, lane, load, cpu_us_per_request }
    });
    Ok(cells.collect())
}
