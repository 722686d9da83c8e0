//! `[stripe]`: the account at Stripe through which tenants are billed.
//! Never a secret in the open: keys are in files or variables, and none is shown.
//! Read with the rest of the configuration.

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{Secret, bounded, private_url};

/// `[stripe]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stripe {
    /// The secret key, or a restricted one. Without it nothing goes to Stripe.
    pub secret_key: Option<Secret>,
    /// What signs what Stripe tells; more than one while a secret is replaced.
    pub webhook_secrets: Vec<Secret>,
    /// Where the API is, when it is not Stripe's own; https, or a loopback address.
    #[serde(deserialize_with = "api_url")]
    pub api_url: Option<String>,
    /// Calls in a second at most, of this gateway.
    #[serde(deserialize_with = "bounded::<1, 100, _>")]
    pub calls_per_second: u32,
    /// The time to pay an invoice that is sent, where the invoice names none. Unit: days.
    #[serde(deserialize_with = "bounded::<1, 365, _>")]
    pub days_until_due: u32,
    /// Where tenants go after a page at Stripe.
    #[serde(deserialize_with = "return_url")]
    pub return_url: Option<String>,
    /// The test clock on which customers are made; only with a key for tests.
    pub test_clock: Option<String>,
}

impl Default for Stripe {
    fn default() -> Self {
        Self {
            secret_key: None,
            webhook_secrets: Vec::new(),
            api_url: None,
            // Stripe takes 25 of an account that tests and 100 of one that does not; others use the account as well.
            calls_per_second: 20,
            days_until_due: 30,
            return_url: None,
            test_clock: None,
        }
    }
}

fn api_url<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let url = String::deserialize(input)?;
    match private_url(&url).is_some() {
        true => Ok(Some(url)),
        false => Err(D::Error::custom("an api_url is https://…, or http:// with a loopback address")),
    }
}

fn return_url<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let url = String::deserialize(input)?;
    let parsed = url::Url::parse(&url);
    match parsed.is_ok_and(|parsed| matches!(parsed.scheme(), "https" | "http")) {
        true => Ok(Some(url)),
        false => Err(D::Error::custom("a return_url begins with https:// or http://")),
    }
}
