//! The currency codes that are in use, by the decimals of their smallest unit.
//! Never metals, test codes and other units that nobody can be billed in, nor codes that went out of use.
//! Asked by `Currency`; a change of the standard changes this list.
//!
//! Source: ISO 4217:2015 with its amendments up to 2026, list one, minor unit column.

/// How many bytes there are from one code to the next.
const STEP: usize = 4;

/// Units that have no parts.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Units of a hundred parts, among them what is paid in fifths.
const TWO_DECIMALS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD \
    CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
    GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD \
    LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB \
    PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP \
    SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";
/// Units of a thousand parts.
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Units of account of ten thousand parts.
const FOUR_DECIMALS: &str = "CLF UYW";

/// The decimals of a code that is in use.
pub(super) fn exponent(code: [u8; 3]) -> Option<u32> {
    let lists = [(NO_DECIMALS, 0), (TWO_DECIMALS, 2), (THREE_DECIMALS, 3), (FOUR_DECIMALS, 4)];
    let has = |codes: &str| codes.as_bytes().chunks(STEP).any(|one| one.starts_with(&code));
    lists.into_iter().find(|(codes, _)| has(codes)).map(|(_, exponent)| exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_codes_in_order_each_once() {
        let mut all = Vec::new();
        for list in [NO_DECIMALS, TWO_DECIMALS, THREE_DECIMALS, FOUR_DECIMALS] {
            let codes: Vec<_> = list.split(' ').collect();
            assert!(codes.is_sorted(), "{list}");
            assert_eq!(list.len() + 1, codes.len() * STEP, "one space between two codes");
            all.extend(codes);
        }
        assert!(all.iter().all(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), count), (164, 164));
    }
}
