//! `[energy]`: which meter measures the engine's device, and what it draws where none does.
//! Never a reading: the engine has those.
//! Read with the rest of the configuration.

use serde::Deserialize;

use super::bounded;

/// `[energy]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Energy {
    /// `auto` takes RAPL where readable, else the model.
    pub source: EnergyChoice,
    /// Declared power of the busy device. Unit: milliwatts.
    #[serde(deserialize_with = "bounded::<1, 100_000_000, _>")]
    pub busy_milliwatts: u32,
    /// Declared power of the idle device. Unit: milliwatts.
    #[serde(deserialize_with = "bounded::<0, 100_000_000, _>")]
    pub idle_milliwatts: u32,
}

impl Default for Energy {
    fn default() -> Self {
        // Two busy server cores with their share of package and memory, and the same at rest.
        Self { source: EnergyChoice::Auto, busy_milliwatts: 20_000, idle_milliwatts: 5_000 }
    }
}

/// Which energy meter to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyChoice {
    /// RAPL where readable, else modelled.
    Auto,
    /// The CPU package counter; start is refused when it cannot be read.
    Rapl,
    /// The declared power model.
    Modelled,
}
