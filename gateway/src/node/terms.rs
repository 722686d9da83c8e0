//! What goes along with a request to a node beside its body: until when it may run, and whose it is like.
//! Never a tenant: fairness key and cache scope are numbers that mean nothing there.
//! Written by `dispatch`, read by `http::node`.

use std::{fmt, str::FromStr};

/// How long the request may run. Unit: milliseconds; a span, so that clocks need not agree.
pub const DEADLINE_HEADER: &str = "x-tallygate-deadline-ms";
/// Requests of one number share the engine fairly with those of another.
pub const FAIRNESS_KEY_HEADER: &str = "x-tallygate-fairness-key";
/// Requests of different numbers never share cached prompts.
pub const CACHE_SCOPE_HEADER: &str = "x-tallygate-cache-scope";

/// Digits of an opaque number.
const DIGITS: usize = 16;
/// Longest span of a request: a day.
const DEADLINE_MS_MAX: u32 = 86_400_000;
/// Longest id of a request. Unit: bytes.
const ID_BYTES_MAX: usize = 64;

/// A number without a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueNumber(pub u64);

impl fmt::Display for OpaqueNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl FromStr for OpaqueNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match text.len() == DIGITS && text.bytes().all(is_digit) {
            true => u64::from_str_radix(text, 16).map(Self).map_err(|_| ()),
            false => Err(()),
        }
    }
}

/// What goes along with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The gateway's name for it.
    pub request_id: String,
    /// How long it may run. Unit: milliseconds.
    pub deadline_ms: u32,
    /// Whose share of the engine it takes.
    pub fairness_key: OpaqueNumber,
    /// Whose cached prompts it may share.
    pub cache_scope: OpaqueNumber,
}

/// Which of them is missing or has another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header}: must be {form}, once")]
pub struct TermsError {
    /// The header.
    pub header: &'static str,
    /// What it must be.
    pub form: &'static str,
}

impl Terms {
    /// Reads them; `header` gives the text of a header that is there exactly once.
    ///
    /// Errors: the first that is missing or has another form. Without a scope, prompts of all would be shared.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, TermsError> {
        let number = |name| {
            let number = header(name).and_then(|text| text.parse().ok());
            number.ok_or(TermsError { header: name, form: "16 hexadecimal digits" })
        };
        let deadline_ms = header(DEADLINE_HEADER).and_then(|text| text.parse().ok());
        let deadline_ms = deadline_ms.filter(|ms| (1..=DEADLINE_MS_MAX).contains(ms)).ok_or(TermsError {
            header: DEADLINE_HEADER,
            form: "a whole number of milliseconds, at most a day",
        })?;
        let request_id = header("x-request-id").filter(|id| is_request_id(id));
        let request_id = request_id
            .map(str::to_owned)
            .ok_or(TermsError { header: "x-request-id", form: "1 to 64 letters, digits and dashes" })?;
        Ok(Self {
            request_id,
            deadline_ms,
            fairness_key: number(FAIRNESS_KEY_HEADER)?,
            cache_scope: number(CACHE_SCOPE_HEADER)?,
        })
    }
}

fn is_request_id(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for number in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let number = OpaqueNumber(number);
            assert_eq!(number.to_string().parse(), Ok(number));
        }
        for text in ["", "0", "0123456789abcde", "0123456789ABCDEF", "+123456789abcdef", "0123456789abcdef0"]
        {
            assert_eq!(text.parse::<OpaqueNumber>(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn each_of_them_must_be_there_in_form() {
        let good = [
            ("x-request-id", "0193-a"),
            (DEADLINE_HEADER, "1500"),
            (FAIRNESS_KEY_HEADER, "00000000000000aa"),
            (CACHE_SCOPE_HEADER, "00000000000000bb"),
        ];
        let read = |name: &str, text: Option<&'static str>| {
            Terms::read(|asked| match asked == name {
                true => text,
                false => good.iter().find(|(header, _)| *header == asked).map(|(_, text)| *text),
            })
        };
        let terms = read("", None).expect("good");
        assert_eq!(
            (terms.deadline_ms, terms.fairness_key, terms.cache_scope),
            (1_500, OpaqueNumber(0xaa), OpaqueNumber(0xbb))
        );
        for (name, _) in good {
            for bad in [None, Some(""), Some("x y"), Some("-1"), Some("0"), Some("86400001"), Some("a/b")] {
                let is_id = name == "x-request-id" && matches!(bad, Some("-1" | "0" | "86400001"));
                let found = read(name, bad);
                assert!(found.is_ok() == is_id, "{name} {bad:?}: {found:?}");
                assert!(is_id || found.is_err_and(|error| error.header == name), "{name} {bad:?}");
            }
        }
    }
}
