//! What every request must keep before any route sees it: one host, one length, a bounded head.
//! Never looks at a body, a key or a route; the server itself has read the head in form.
//! Called by `http::name_request`, first of all.

use actix_web::{
    dev::RequestHead,
    http::{
        Version,
        header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
        uri::Authority,
    },
};

use super::ApiError;

/// Headers in one request; clients send about twenty. The server itself refuses more than 96.
pub(super) const HEADERS_MAX: usize = 64;
/// Names and values of all headers together. Unit: bytes. A key takes 70, a signed token 4,096 at most.
pub(super) const HEADER_BYTES_MAX: usize = 16 * 1_024;
/// The path with what follows it. Unit: bytes. The longest path of ours has a model's name in it.
pub(super) const TARGET_BYTES_MAX: usize = 8 * 1_024;

/// Checks a request's head.
///
/// Errors: what of it another server on the way could have read in another way, or what is beyond a bound.
pub(super) fn check(head: &RequestHead) -> Result<(), ApiError> {
    let headers = head.headers();
    if headers.len() > HEADERS_MAX {
        return Err(ApiError::large_head(&format!("{HEADERS_MAX} headers")));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(ApiError::large_head(&format!("{HEADER_BYTES_MAX} bytes of headers")));
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
        return Err(ApiError::long_target(TARGET_BYTES_MAX));
    }
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    if is_chunked && (headers.contains_key(CONTENT_LENGTH) || head.version < Version::HTTP_11) {
        return Err(ApiError::bad_frame(
            "send either Content-Length or, in HTTP/1.1, Transfer-Encoding: chunked",
        ));
    }
    let mut hosts = headers.get_all(HOST);
    match (hosts.next(), hosts.next()) {
        (None, None) if head.version < Version::HTTP_11 => Ok(()),
        (Some(host), None) if host.to_str().is_ok_and(is_host) => Ok(()),
        (Some(_) | None, Some(_) | None) => Err(ApiError::bad_frame("send one Host header with one host")),
    }
}

/// `name`, `name:port`, `[address]:port`; never a user, and never nothing.
fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    // What the parser leaves to its users: users before the host, and ports that are no numbers.
    let rest = text.strip_prefix(authority.host()).unwrap_or(text);
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    !authority.host().is_empty()
        && authority.host().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        http::header::{HeaderName, HeaderValue},
        test::TestRequest,
    };

    use super::*;

    type Row<'a> = (Version, &'a [(&'a str, &'a str)], Result<(), &'a str>);

    fn verdict(version: Version, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut test = TestRequest::default().version(version);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            test = test.append_header((name, HeaderValue::from_bytes(value.as_bytes()).expect("a value")));
        }
        check(test.to_srv_request().head()).map_err(|error| error.code())
    }

    #[test]
    fn a_host_is_one_name_with_a_port_at_most() {
        let good = [
            "a",
            "a.example",
            "a.example:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "A_b~c",
            "a:0",
        ];
        for host in good {
            assert!(is_host(host), "{host}");
        }
        let bad = [
            "", " ", "a b", "a/b", "http://a", "u@a", "u:p@a", "a,b", "a?b", "a#b", "a:b", "a:", ":80",
            "a:99999", "a:+1", "a:1:2", "\u{fc}", "a\\b", "[::1", "::1]", "*",
        ];
        for host in bad {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn heads_that_can_be_read_in_two_ways_are_refused() {
        let one = Version::HTTP_11;
        let host = ("host", "a");
        let rows: [Row<'_>; 10] = [
            (one, &[host], Ok(())),
            (one, &[host, ("content-length", "3")], Ok(())),
            (one, &[host, ("transfer-encoding", "chunked")], Ok(())),
            (one, &[host, ("transfer-encoding", "chunked"), ("content-length", "3")], Err("bad_request")),
            (Version::HTTP_10, &[host, ("transfer-encoding", "chunked")], Err("bad_request")),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_10, &[host], Ok(())),
            (one, &[], Err("bad_request")),
            (one, &[host, host], Err("bad_request")),
            (one, &[("host", "a b")], Err("bad_request")),
        ];
        for (version, headers, expected) in rows {
            assert_eq!(verdict(version, headers), expected, "{version:?} {headers:?}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let host = ("host", "a");
        let many = |count: usize| [vec![host], vec![("x-a", "1"); count]].concat();
        assert_eq!(verdict(Version::HTTP_11, &many(HEADERS_MAX - 1)), Ok(()));
        assert_eq!(verdict(Version::HTTP_11, &many(HEADERS_MAX)), Err("request_headers_too_large"));
        let long = "x".repeat(HEADER_BYTES_MAX);
        let short = &long[..HEADER_BYTES_MAX - 5 - 3];
        assert_eq!(verdict(Version::HTTP_11, &[host, ("x-a", short)]), Ok(()));
        assert_eq!(verdict(Version::HTTP_11, &[host, ("x-a", &long)]), Err("request_headers_too_large"));
    }
}
