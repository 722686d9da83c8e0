//! The eight kinds of failure every error in Tallygate belongs to.
//! Never an HTTP status, a message or an exit code: those are chosen by whoever shows the error.
//! Every error type answers `fault()`; `gateway::http::error` maps the answer to a status.

/// What kind of failure an error is, from the point of view of whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The input is wrong; sending it again will fail again.
    Invalid,
    /// No credential, or one that is not known.
    Unauthenticated,
    /// The credential is known and does not allow this.
    Forbidden,
    /// The thing named does not exist, or is not visible to the caller.
    Missing,
    /// The request contradicts what is already stored.
    Conflict,
    /// A limit of the caller is used up; waiting helps.
    Limited,
    /// The service has no room now; waiting helps.
    Overloaded,
    /// Something of ours broke.
    Broken,
}
