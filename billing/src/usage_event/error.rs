//! What can be wrong with a usage event, told with the attribute or the field of its data.
//! Never a value that is long: of those only the beginning.
//! Returned by reading and counting events.

use domain::{Fault, PlanVersionId, Timestamp};

use super::{EVENT_BYTES_MAX, EVENTS_MAX, exact::ExactError};

/// An event that was refused, and where the reason stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    /// Which event of a batch, from 0. `None`: there is only one, or it is about the whole batch.
    pub index: Option<usize>,
    /// The attribute, or the place in the data: `time`, `data.gpu.seconds`. Empty: the event as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: Box<EventProblem>,
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventProblem {
    /// Not JSON, or not of a form that is read.
    #[error("{0}")]
    Unreadable(#[from] ExactError),
    /// Not an object.
    #[error("an event is a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// Not a list.
    #[error("a batch is a JSON list of events, not {0}")]
    NotAList(&'static str),
    /// More than is taken at once.
    #[error("a batch has at most {EVENTS_MAX} events, not {0}")]
    TooManyEvents(usize),
    /// A batch of nothing.
    #[error("a batch has at least one event")]
    NoEvents,
    /// Too large.
    #[error("an event has at most {EVENT_BYTES_MAX} bytes")]
    TooLarge,
    /// An attribute that must be there.
    #[error("is required")]
    Missing,
    /// Another type of value.
    #[error("must be {wanted}, not {found}")]
    WrongType {
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A text outside its bounds.
    #[error("must be 1 to {0} bytes without control characters")]
    BadText(usize),
    /// Another version of the specification.
    #[error("must be \"1.0\", not {0:?}")]
    BadSpecVersion(String),
    /// A name that no attribute may have.
    #[error("is no name of an attribute: they have 1 to 64 lower-case letters and digits")]
    BadAttributeName,
    /// Not a URI reference.
    #[error("must be a URI reference such as \"/jobs/gpu\", not {0:?}")]
    BadUri(String),
    /// Not an instant.
    #[error("must be an instant as RFC 3339 has it, such as \"2026-11-24T12:00:00Z\", not {0:?}")]
    BadTime(String),
    /// A time that has not come.
    #[error("{time} has not come: it is {now}")]
    InFuture {
        /// The event's.
        time: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// A time from before the tenant.
    #[error("{time} is before {tenant} was created, at {created_at}")]
    BeforeTenant {
        /// The event's.
        time: Timestamp,
        /// Whose event.
        tenant: String,
        /// Since when there is this tenant.
        created_at: Timestamp,
    },
    /// Data that is no JSON.
    #[error("data must be JSON, not {0:?}")]
    NotJsonData(String),
    /// Nobody has this name.
    #[error("there is no tenant {0:?}; a subject is a tenant's name or id, or with a project TENANT/PATH")]
    UnknownTenant(String),
    /// The tenant has no such project.
    #[error("the tenant has no project {0:?}")]
    UnknownProject(String),
    /// The tenant has no plan at that time.
    #[error("the tenant had no plan at {0}")]
    NoPlan(Timestamp),
    /// No meter of the plan counts such events.
    #[error("plan {plan} has no [[meter]] for events of type {found:?}; it has: {known}")]
    UnknownType {
        /// The plan in force at the event's time.
        plan: PlanVersionId,
        /// The event's type.
        found: String,
        /// The types that it counts.
        known: String,
    },
    /// No value where a meter looks for one.
    #[error("the meter {0} takes its value from here, and there is none")]
    NoValue(String),
    /// A value that is no plain number.
    #[error("must be a number, or its digits as a text, not {0}")]
    NotANumber(String),
    /// Below zero.
    #[error("must not be below zero, as {0} is")]
    Negative(String),
    /// More decimals than the meter keeps.
    #[error("{value} has more decimals than the {decimals_max} of meter {meter}")]
    TooManyDecimals {
        /// The value.
        value: String,
        /// The meter.
        meter: String,
        /// What the meter keeps.
        decimals_max: u32,
    },
    /// More than one event may say.
    #[error("{value} is more than the {max} {unit} that one event may say")]
    TooMuch {
        /// The value.
        value: String,
        /// The bound.
        max: String,
        /// Of what.
        unit: String,
    },
    /// The same id and source with another body.
    #[error(
        "event {id:?} of source {origin:?} is stored with {stored} here, and not {given}; an id is used once"
    )]
    Conflict {
        /// The event's id.
        id: String,
        /// Its source.
        origin: String,
        /// What is stored.
        stored: String,
        /// What came now.
        given: String,
    },
}

impl EventError {
    pub(crate) fn at(field: impl Into<String>, problem: EventProblem) -> Self {
        Self { index: None, field: field.into(), problem: Box::new(problem) }
    }

    /// The same of an event in a batch.
    pub(crate) fn of_event(self, index: Option<usize>) -> Self {
        Self { index: self.index.or(index), ..self }
    }

    /// The same of an event that came alone.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { index: None, ..self }
    }

    /// Where it stands, as a path: `[3].data.seconds`.
    pub fn path(&self) -> String {
        match (self.index, self.field.as_str()) {
            (None, field) => field.to_owned(),
            (Some(index), "") => format!("[{index}]"),
            (Some(index), field) => format!("[{index}].{field}"),
        }
    }

    /// Which kind of failure this is.
    pub fn fault(&self) -> Fault {
        match *self.problem {
            EventProblem::Conflict { .. } => Fault::Conflict,
            EventProblem::Unreadable(_)
            | EventProblem::NotAnObject(_)
            | EventProblem::NotAList(_)
            | EventProblem::TooManyEvents(_)
            | EventProblem::NoEvents
            | EventProblem::TooLarge
            | EventProblem::Missing
            | EventProblem::WrongType { .. }
            | EventProblem::BadText(_)
            | EventProblem::BadSpecVersion(_)
            | EventProblem::BadAttributeName
            | EventProblem::BadUri(_)
            | EventProblem::BadTime(_)
            | EventProblem::InFuture { .. }
            | EventProblem::BeforeTenant { .. }
            | EventProblem::NotJsonData(_)
            | EventProblem::UnknownTenant(_)
            | EventProblem::UnknownProject(_)
            | EventProblem::NoPlan(_)
            | EventProblem::UnknownType { .. }
            | EventProblem::NoValue(_)
            | EventProblem::NotANumber(_)
            | EventProblem::Negative(_)
            | EventProblem::TooManyDecimals { .. }
            | EventProblem::TooMuch { .. } => Fault::Invalid,
        }
    }
}

impl std::fmt::Display for EventError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path().as_str() {
            "" => write!(f, "{}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl std::error::Error for EventError {}
