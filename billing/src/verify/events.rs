//! Reads a tenant's export of usage events, checks each, counts it again by its plan, and sums them up.
//! Never takes a count on trust, and never holds more than one event.
//! Called by `verify`, and by `reconcile` for events that come from the ledger.

use std::{collections::BTreeMap, io::BufRead};

use domain::{Period, PlanVersionId, QuantityError, RecordHash, TenantId, Timestamp};

use super::{VerifyError, lines::each_line};
use crate::{
    ledger::EventSum,
    plan::{MeterName, Plan},
    statement::{EventSeal, EventSealBuilder},
    usage_event::{EVENT_BYTES_MAX, EventError, EventLine, LineError, StoredEvent, counts_of},
};

/// The event and what stands around it; beyond this a line is something else. Unit: bytes.
const LINE_BYTES_MAX: usize = EVENT_BYTES_MAX + 16 * 1_024;

/// What is wrong with a usage event.
#[derive(Debug, thiserror::Error)]
pub enum EventLineProblem {
    /// Too long for an event.
    #[error("more than {LINE_BYTES_MAX} bytes: this is no usage event")]
    TooLong,
    /// Not an event.
    #[error(transparent)]
    NotALine(#[from] LineError),
    /// Not what came.
    #[error("event {sequence}: it hashes to {computed}, and says {stated}: it was changed")]
    WrongHash {
        /// Its place in the tenant's chain.
        sequence: u64,
        /// What its fields give.
        computed: RecordHash,
        /// What it says.
        stated: String,
    },
    /// Somebody else's.
    #[error("event {0} is another tenant's")]
    OtherTenant(u64),
    /// Of another time.
    #[error("event {0} happened outside the invoice's period")]
    OtherPeriod(u64),
    /// Filed under another time than its own.
    #[error("event {0} is filed under another time than it says, or than it came where it says none")]
    OtherTime(u64),
    /// Twice, or sorted in another way.
    #[error("event {0} is there twice, or not in the order of the export")]
    OutOfOrder(u64),
    /// Its plan is not here.
    #[error("event {0} is counted by plan {1}: give its file with --plan")]
    MissingPlan(u64, PlanVersionId),
    /// The plan does not count it.
    #[error("event {0}: {1}")]
    NotCounted(u64, EventError),
    /// Counted wrongly.
    #[error("event {sequence} counts {stated} by {meter}, and comes to {computed}")]
    WrongCount {
        /// Its place in the tenant's chain.
        sequence: u64,
        /// The meter.
        meter: MeterName,
        /// What is stated.
        stated: u64,
        /// What the plan's meter gives.
        computed: u64,
    },
    /// More than can be counted.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Not to be hashed.
    #[error("not a usage event: {0}")]
    NotHashed(#[from] serde_json::Error),
}

/// The sums of usage events and their seal.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadEvents {
    /// By plan version and meter.
    pub(crate) sums: Vec<EventSum>,
    /// The events in short; nothing of none.
    pub(crate) seal: Option<EventSeal>,
    /// Events that a statement says came too late for the invoice; they are in no sum.
    pub(crate) late: u64,
}

impl ReadEvents {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.seal.as_ref().map_or(0, |seal| seal.events)
    }
}

/// Takes the events of one tenant and period, one after another.
pub(crate) struct EventReader<'a> {
    tenant: TenantId,
    period: &'a Period,
    /// What a statement says is on the invoice. `None`: there is no statement.
    stated: Option<Option<&'a EventSeal>>,
    sums: BTreeMap<(PlanVersionId, MeterName), (u64, u64)>,
    seal: EventSealBuilder,
    late: u64,
    last: Option<(Timestamp, u64)>,
}

impl<'a> EventReader<'a> {
    pub(crate) fn new(tenant: TenantId, period: &'a Period, stated: Option<Option<&'a EventSeal>>) -> Self {
        let (sums, seal) = (BTreeMap::new(), EventSealBuilder::default());
        Self { tenant, period, stated, sums, seal, late: 0, last: None }
    }

    /// Takes one line of an export.
    ///
    /// Errors: it is no event, not what came, not of here, or does not count what it says.
    pub(crate) fn take_line(
        &mut self,
        text: &[u8],
        plans: &BTreeMap<PlanVersionId, Plan>,
    ) -> Result<(), EventLineProblem> {
        let line: EventLine = serde_json::from_slice(text).map_err(LineError::from)?;
        let stored = StoredEvent::from_line(&line)?;
        let (sequence, hash) = (stored.sequence, stored.hash()?);
        if line.hash != Some(hash) {
            let stated = line.hash.map_or_else(|| "nothing".to_owned(), |hash| hash.to_string());
            return Err(EventLineProblem::WrongHash { sequence, computed: hash, stated });
        }
        if stored.tenant_id != self.tenant {
            return Err(EventLineProblem::OtherTenant(sequence));
        }
        if !self.period.contains(stored.time) {
            return Err(EventLineProblem::OtherPeriod(sequence));
        }
        if stored.time != stored.event.time.unwrap_or(stored.received_at) {
            return Err(EventLineProblem::OtherTime(sequence));
        }
        let place = (stored.time, sequence);
        if self.last.is_some_and(|last| place <= last) {
            return Err(EventLineProblem::OutOfOrder(sequence));
        }
        self.last = Some(place);
        if self.stated.is_some_and(|seal| EventSeal::is_late(seal, sequence)) {
            self.late += 1;
            return Ok(());
        }
        check_counts(&stored, plans)?;
        self.seal.add(&stored, hash)?;
        for (meter, count) in &stored.counts {
            let sum = self.sums.entry((stored.price_version.clone(), *meter)).or_default();
            let overflow = QuantityError::Overflow { unit: "counts" };
            *sum = (sum.0 + 1, sum.1.checked_add(*count).ok_or(overflow)?);
        }
        Ok(())
    }

    /// All that were taken.
    pub(crate) fn finish(self) -> ReadEvents {
        let sum =
            |((price_version, meter), (events, counts))| EventSum { price_version, meter, events, counts };
        ReadEvents {
            sums: self.sums.into_iter().map(sum).collect(),
            seal: self.seal.finish(),
            late: self.late,
        }
    }
}

/// Counts an event again by the meters of its plan.
fn check_counts(stored: &StoredEvent, plans: &BTreeMap<PlanVersionId, Plan>) -> Result<(), EventLineProblem> {
    let (sequence, version) = (stored.sequence, &stored.price_version);
    let missing = || EventLineProblem::MissingPlan(sequence, version.clone());
    let plan = plans.get(version).ok_or_else(missing)?;
    let computed = counts_of(&stored.event, plan);
    let computed = computed.map_err(|error| EventLineProblem::NotCounted(sequence, error))?;
    let meters = computed.keys().chain(stored.counts.keys());
    let of = |counts: &BTreeMap<MeterName, u64>, meter: &MeterName| counts.get(meter).copied();
    let mut differing = meters.filter(|meter| of(&computed, meter) != of(&stored.counts, meter));
    match differing.next() {
        None => Ok(()),
        Some(meter) => Err(EventLineProblem::WrongCount {
            sequence,
            meter: *meter,
            stated: of(&stored.counts, meter).unwrap_or(0),
            computed: of(&computed, meter).unwrap_or(0),
        }),
    }
}

/// Reads all of an export.
///
/// Errors: the first event that is not good, by its line.
pub(super) fn read(
    events: impl BufRead,
    mut reader: EventReader<'_>,
    plans: &BTreeMap<PlanVersionId, Plan>,
) -> Result<ReadEvents, VerifyError> {
    each_line(events, LINE_BYTES_MAX, |line, text| {
        let taken = match text {
            Some(text) => reader.take_line(text, plans),
            None => Err(EventLineProblem::TooLong),
        };
        taken.map_err(|problem| VerifyError::BadEvent { line, problem: Box::new(problem) })
    })?;
    Ok(reader.finish())
}
