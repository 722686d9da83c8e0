//! `[exports]`: whose name exports carry, and the bucket service that takes them.
//! Never a bucket or a file name: those are said with each export.
//! Read with the rest of the configuration.

use serde::Deserialize;

use super::Secret;

/// `[exports]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exports {
    /// Who provides the service and issues the invoices, in FOCUS columns.
    pub provider: String,
    /// The bucket service.
    pub s3: S3,
}

impl Default for Exports {
    fn default() -> Self {
        Self { provider: "Tallygate".to_owned(), s3: S3::default() }
    }
}

/// `[exports.s3]`; what is left out comes from the usual variables, such as `AWS_ACCESS_KEY_ID` and `AWS_REGION`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// The address of a service that speaks S3, when it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whose account.
    pub access_key_id: Option<Secret>,
    /// The secret that signs requests.
    pub secret_access_key: Option<Secret>,
}
