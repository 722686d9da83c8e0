//! Which URLs may be called: what a name leads to is looked at before anything is sent, and exactly that is called.
//! Never an address of this machine or of a private network, unless the operator allows them.
//! Called by the notifier, and by the edges before an endpoint is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// Why a URL may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL with a host.
    #[error("an endpoint is a URL such as https://example.com/hook, without a user and without a fragment")]
    Form,
    /// Not encrypted.
    #[error("an endpoint's URL begins with https:// unless `webhooks.allow_private_addresses` is set")]
    Scheme,
    /// An address that is not reached from everywhere.
    #[error(
        "an endpoint may not be at a loopback, private or reserved address unless `webhooks.allow_private_addresses` is set"
    )]
    Address,
}

/// Checks a URL's form, and its address where it names one itself.
///
/// Errors: the first rule that it breaks.
pub fn check_url(text: &str, is_private_allowed: bool) -> Result<Url, BadUrl> {
    let url = Url::parse(text).map_err(|_| BadUrl::Form)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if url.host().is_none() || !is_plain {
        return Err(BadUrl::Form);
    }
    match url.scheme() {
        "https" => {}
        "http" if is_private_allowed => {}
        "http" => return Err(BadUrl::Scheme),
        _ => return Err(BadUrl::Form),
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_refused = host.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
    if is_refused && !is_private_allowed {
        return Err(BadUrl::Address);
    }
    Ok(url)
}

/// What a URL's host leads to now; nothing of it may be called when one of it may not.
///
/// Errors: it leads nowhere (`None`), or to an address that may not be called.
pub(super) async fn resolve(url: &Url, is_private_allowed: bool) -> Result<Vec<SocketAddr>, Option<BadUrl>> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().ok_or(None)?;
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(|_| None)?.collect();
    if found.is_empty() {
        return Err(None);
    }
    if !is_private_allowed && !found.iter().all(|address| is_public(address.ip())) {
        return Err(Some(BadUrl::Address));
    }
    Ok(found)
}

/// Whether an address is reached from everywhere.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Source: IANA IPv4 Special-Purpose Address Registry.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        // Shared by carriers, protocol assignments, benchmarks.
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (18..20).contains(&second)))
}

/// Only global unicast, and of that nothing which stands for an IPv4 address or is not routed.
///
/// Source: IANA IPv6 Special-Purpose Address Registry.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000;
    // 2001::/23 (Teredo and the like), 2001:db8::/32 (documentation), 2002::/16 (6to4), 3fff::/20 (documentation).
    let is_special = (first == 0x2001 && (second < 0x200 || second == 0xdb8))
        || first == 0x2002
        || (first == 0x3fff && second < 0x1000);
    is_global_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_everybody_reaches_are_public() {
        let public =
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"];
        let others = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ];
        for (texts, expected) in [(&public[..], true), (&others[..], false)] {
            for text in texts {
                assert_eq!(is_public(text.parse().expect("an address")), expected, "{text}");
            }
        }
    }

    #[test]
    fn urls_are_refused_for_the_first_rule_they_break() {
        let rows = [
            ("https://example.com/hook?x=1", None, None),
            ("https://example.com:8443/", None, None),
            ("http://example.com/", Some(BadUrl::Scheme), None),
            ("https://127.0.0.1/", Some(BadUrl::Address), None),
            ("https://[::1]:9/", Some(BadUrl::Address), None),
            ("https://2130706433/", Some(BadUrl::Address), None),
            ("https://0x7f.1/", Some(BadUrl::Address), None),
            ("https://anna@example.com/", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("https://anna:x@example.com/", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("https://example.com/#x", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("ftp://example.com/", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("file:///etc/passwd", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("example.com", Some(BadUrl::Form), Some(BadUrl::Form)),
            ("", Some(BadUrl::Form), Some(BadUrl::Form)),
        ];
        for (text, strict, loose) in rows {
            assert_eq!(check_url(text, false).err(), strict, "{text}");
            assert_eq!(check_url(text, true).err(), loose, "{text}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_what_they_lead_to() {
        let url = Url::parse("https://localhost:1/").expect("a URL");
        assert_eq!(resolve(&url, false).await, Err(Some(BadUrl::Address)));
        assert!(resolve(&url, true).await.is_ok_and(|found| found.iter().all(|address| address.port() == 1)));
    }
}
