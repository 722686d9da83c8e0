//! Measures the device's energy and splits it over the sequences that ran, to the millijoule.
//! Never differences the meter around one request: a window is split by the work done in it.
//! Kept by the engine's thread; tallies and the engine's status read from it.

mod attribution;
mod modelled;
mod rapl;

use std::{path::PathBuf, time::Duration};

use domain::{EnergySource, Fault};

pub(crate) use attribution::{Attribution, EnergyTotals, WINDOW_MAX};
use modelled::ModelledMeter;
use rapl::{RAPL_ROOT, RaplMeter};

use crate::config::{EnergyChoice, EnergyConfig};

/// Why the energy meter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnergyError {
    /// No package counter exists.
    #[error("no processor energy counter (intel-rapl:N named package-N) under {}", root.display())]
    NoCounter {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// A counter's file cannot be read; often a matter of permission.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// A counter's file holds something else than a number in range.
    #[error("{} does not hold a counter value", path.display())]
    NotACounter {
        /// The file.
        path: PathBuf,
    },
    /// The counters do not move, as in some virtual machines.
    #[error("the processor energy counters under {} stand still", root.display())]
    StandsStill {
        /// Where they are.
        root: PathBuf,
    },
}

impl EnergyError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoCounter { .. } => Fault::Missing,
            Self::Unreadable { .. } => Fault::Forbidden,
            Self::NotACounter { .. } | Self::StandsStill { .. } => Fault::Broken,
        }
    }
}

/// Time since the engine started, and the part of it in which steps ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elapsed {
    pub(crate) total: Duration,
    pub(crate) busy: Duration,
}

/// A counter of energy that only grows.
pub(crate) trait Meter: Send {
    /// Millijoules since the meter was opened; never less than before.
    fn read(&mut self, elapsed: Elapsed) -> Result<u64, EnergyError>;

    /// What kind of meter it is.
    fn source(&self) -> EnergySource;
}

/// Opens the meter that the configuration asks for.
///
/// Errors: only for `Rapl`, when it cannot be used; `Auto` falls back to the declared model and says so in the log.
pub(crate) fn open_meter(config: EnergyConfig) -> Result<Box<dyn Meter>, EnergyError> {
    let modelled = || Box::new(ModelledMeter::new(config.busy_milliwatts, config.idle_milliwatts));
    let rapl = || RaplMeter::open(RAPL_ROOT.as_ref()).and_then(RaplMeter::check_moves);
    match config.source {
        EnergyChoice::Modelled => Ok(modelled()),
        EnergyChoice::Rapl => Ok(Box::new(rapl()?)),
        EnergyChoice::Auto => match rapl() {
            Ok(meter) => Ok(Box::new(meter)),
            Err(error) => {
                tracing::info!(reason = %error, "energy is modelled from declared power, not measured");
                Ok(modelled())
            }
        },
    }
}
