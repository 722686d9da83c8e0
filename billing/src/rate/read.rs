//! Reads decimals that somebody else wrote: plain ones of bounded length, and nothing else.
//! Never an exponent: `1e999999999` is short to write and takes for ever to add.
//! Called wherever an amount comes from a file or a stored text.

use bigdecimal::BigDecimal;

/// Longest text of an exact amount. Unit: bytes; the largest invoice and the finest price take fewer than 80.
const DECIMAL_BYTES_MAX: usize = 128;

/// A minus or nothing, digits, and at most one point between them; `None` for any other text.
pub(crate) fn plain_decimal(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = text.len() <= DECIMAL_BYTES_MAX && is_digits(whole) && is_digits(decimals);
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_of_bounded_length_are_read() {
        let long = "9".repeat(DECIMAL_BYTES_MAX);
        for text in ["0", "-0", "12", "-12.50", "0.0000000000000000000000001", "00.10", &long] {
            assert!(plain_decimal(text).is_some(), "{text}");
        }
        let longer = format!("{long}9");
        let bad = [
            "",
            "-",
            "--1",
            "+1",
            ".5",
            "5.",
            "1.2.3",
            "1e9",
            "1E9",
            "1e-999999999",
            "1e9999999999",
            " 1",
            "1 ",
            "1_000",
            "1,5",
            "０",
            "NaN",
            "inf",
            "0x10",
            "1.-5",
            "-.5",
            &longer,
        ];
        for text in bad {
            assert!(plain_decimal(text).is_none(), "{text}");
        }
    }
}
