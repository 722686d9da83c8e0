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

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    const GOOD: &str = "[stripe]\nsecret_key = \"sk_test_1\"\nwebhook_secrets = [\"whsec_1\", \"whsec_2\"]\n";

    #[test]
    fn an_account_is_whole_or_refused() {
        let config = check(&format!("{GOOD}test_clock = \"clock_1\"\n"), &[]).expect("good").stripe;
        assert_eq!(
            (config.webhook_secrets.len(), config.calls_per_second, config.days_until_due),
            (2, 20, 30)
        );
        assert!(check("", &[]).expect("none").stripe.secret_key.is_none());
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let of_file = format!("[stripe]\nsecret_key = {{ file = \"{}\" }}\n", empty.path().display());
        let rows = [
            (of_file, "FILE:2:14: stripe.secret_key: the secret is empty"),
            ("[stripe]\nsecret_key = \"\"\n".to_owned(), "stripe.secret_key: the secret is empty"),
            (
                "[stripe]\nsecret_key = \"pk_test_1\"\n".to_owned(),
                "a secret key of Stripe's begins with sk_live_",
            ),
            (
                "[stripe]\nsecret_key = \"sk_test_1\"\n".to_owned(),
                "stripe.webhook_secrets: at least one is needed",
            ),
            (GOOD.replace("whsec_2", ""), "stripe.webhook_secrets: the secret is empty"),
            (
                GOOD.replace("sk_test_1", "sk_live_1") + "test_clock = \"clock_1\"\n",
                "test clocks with a test key only",
            ),
            ("[stripe]\nwebhook_secrets = [\"whsec_1\"]\n".to_owned(), "the section stripe needs secret_key"),
            (format!("{GOOD}api_url = \"http://example.com\"\n"), "an api_url is https://"),
            (format!("{GOOD}return_url = \"example.com\"\n"), "a return_url begins with https://"),
            (format!("{GOOD}calls_per_second = 0\n"), "0 is not between 1 and 100"),
            (format!("{GOOD}days_until_due = 366\n"), "366 is not between 1 and 365"),
            (format!("{GOOD}secret = 1\n"), "unknown field `secret`"),
        ];
        for (file, expected) in rows {
            let error = check(&file, &[]).expect_err(&file);
            assert!(error.contains(expected), "{file}: {error}");
            assert!(
                !error.contains("whsec_1") && !error.contains("sk_test_1"),
                "no secret is shown: {error}"
            );
        }
        for url in ["https://stripe.example.com", "http://127.0.0.1:12111", "http://localhost:1"] {
            assert!(check(&format!("{GOOD}api_url = \"{url}\"\n"), &[]).is_ok(), "{url}");
        }
    }
}
