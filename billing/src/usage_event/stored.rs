//! A usage event as it is stored: in its place in its tenant's chain, with what it counts for and its hash.
//! Never changed once it is there: the hash covers all of it and the one before.
//! Made by `ledger::usage_events`, given out by exports, read back by `verify`.

use std::collections::BTreeMap;

use domain::{PlanVersionId, ProjectId, RecordHash, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{EventError, UsageEvent};
use crate::plan::MeterName;

/// An event in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Whose usage it is.
    pub tenant_id: TenantId,
    /// Its place among all events of the tenant, from 1.
    pub sequence: u64,
    /// The hash of the event before; genesis for the first.
    pub previous_hash: RecordHash,
    /// When it came.
    pub received_at: Timestamp,
    /// When it happened: what it says, else when it came.
    pub time: Timestamp,
    /// Its project, if the subject names one.
    pub project_id: Option<ProjectId>,
    /// The plan version in force at its time: whose meters count it, and whose prices apply.
    pub price_version: PlanVersionId,
    /// What it counts for, in the last decimal of each meter.
    pub counts: BTreeMap<MeterName, u64>,
    /// What came.
    pub event: UsageEvent,
}

/// The same as one JSON object: what is hashed, with the hash and the project's name beside it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLine {
    tenant_id: TenantId,
    sequence: u64,
    previous_hash: RecordHash,
    received_unix_us: i64,
    time_unix_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project_id: Option<ProjectId>,
    price_version: PlanVersionId,
    counts: BTreeMap<String, u64>,
    event: Box<RawValue>,
    /// SHA-256 of the object without this and what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<RecordHash>,
    /// What its project is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_path: Option<String>,
}

/// Why a line is no stored event.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not such an object.
    #[error("not a usage event: {0}")]
    NotALine(#[from] serde_json::Error),
    /// The event itself is none.
    #[error("its event: {0}")]
    NotAnEvent(#[from] EventError),
    /// A name that no meter has.
    #[error("counts: {0}")]
    NotAMeter(#[from] crate::plan::BadMeterName),
}

impl StoredEvent {
    /// SHA-256 of its JSON.
    ///
    /// Errors: none in practice.
    pub fn hash(&self) -> Result<RecordHash, serde_json::Error> {
        let line = serde_json::to_vec(&self.to_line()?)?;
        Ok(RecordHash::from_bytes(Sha256::digest(line).into()))
    }

    /// As it is hashed: without its hash.
    ///
    /// Errors: none in practice.
    pub fn to_line(&self) -> Result<EventLine, serde_json::Error> {
        Ok(EventLine {
            tenant_id: self.tenant_id,
            sequence: self.sequence,
            previous_hash: self.previous_hash,
            received_unix_us: self.received_at.unix_micros(),
            time_unix_us: self.time.unix_micros(),
            project_id: self.project_id,
            price_version: self.price_version.clone(),
            counts: self.counts.iter().map(|(meter, count)| (meter.to_string(), *count)).collect(),
            event: RawValue::from_string(self.event.to_json())?,
            hash: None,
            project_path: None,
        })
    }

    /// As it is given out: with its hash, and what its project is called now.
    ///
    /// Errors: none in practice.
    pub fn to_export(
        &self,
        hash: RecordHash,
        project_path: Option<&str>,
    ) -> Result<EventLine, serde_json::Error> {
        let project_path = project_path.map(str::to_owned);
        Ok(EventLine { hash: Some(hash), project_path, ..self.to_line()? })
    }

    /// Reads a line back.
    ///
    /// Errors: it is none.
    pub fn from_line(line: &EventLine) -> Result<Self, LineError> {
        let counts = line.counts.iter().map(|(meter, count)| Ok((meter.parse()?, *count)));
        Ok(Self {
            tenant_id: line.tenant_id,
            sequence: line.sequence,
            previous_hash: line.previous_hash,
            received_at: Timestamp::from_unix_micros(line.received_unix_us),
            time: Timestamp::from_unix_micros(line.time_unix_us),
            project_id: line.project_id,
            price_version: line.price_version.clone(),
            counts: counts.collect::<Result<_, LineError>>()?,
            event: UsageEvent::from_json(line.event.get())?,
        })
    }
}
