//! The shape of a JSON body, bounded before it is parsed: how deep it is, how many values it has.
//! Never says whether it is JSON: the parser does, and names the place.
//! Called by `body::read`, once for each body.

use memchr::memchr2;

use super::ApiError;

/// Objects and lists within each other. Tool schemas go about ten deep; the parser's own bound is 128.
pub(super) const DEPTH_MAX: usize = 64;
/// Values in one body. A prompt of 128k token ids fits in twice; each value may cost some 100 bytes when parsed.
pub(super) const VALUES_MAX: usize = 262_144;

/// Checks the shape in one pass; what stands within texts does not count.
///
/// Errors: it is deeper, or has more values, than the bounds.
pub(super) fn check_shape(body: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_text(after),
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("the body is nested more than {DEPTH_MAX} deep");
            return Err(ApiError::invalid("json_too_deep", "", message));
        }
        if values > VALUES_MAX {
            let message = format!("the body has more than {VALUES_MAX} values");
            return Err(ApiError::invalid("json_too_many_values", "", message));
        }
    }
    Ok(())
}

/// What follows a text whose opening quote was read. Nothing, when it does not end.
fn after_text(mut rest: &[u8]) -> &[u8] {
    while let Some(place) = memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(place) == Some(&b'"');
        rest = rest.get(place + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(body: &str) -> Result<(), &'static str> {
        check_shape(body.as_bytes()).map_err(|error| error.code())
    }

    #[test]
    fn depth_is_bounded() {
        let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for (body, expected) in [
            (lists(DEPTH_MAX), Ok(())),
            (objects(DEPTH_MAX), Ok(())),
            (lists(DEPTH_MAX + 1), Err("json_too_deep")),
            (objects(DEPTH_MAX + 1), Err("json_too_deep")),
            ("[".repeat(100_000), Err("json_too_deep")),
            ("[{\"a\":".repeat(100_000), Err("json_too_deep")),
            (format!("[{}1]", "[],".repeat(1_000)), Ok(())),
            // Within texts brackets are letters; escapes do not end a text.
            (format!("\"{}\"", "[".repeat(1_000)), Ok(())),
            (format!("\"\\\"{}\"", "[".repeat(1_000)), Ok(())),
            (format!("\"\\\\\"{}", "[".repeat(1_000)), Err("json_too_deep")),
            (format!("\"{}", "[".repeat(1_000)), Ok(())),
            ("\"\\".to_owned(), Ok(())),
            (String::new(), Ok(())),
            ("]]]]}}}}".to_owned(), Ok(())),
        ] {
            assert_eq!(verdict(&body), expected, "{}", &body[..body.len().min(80)]);
        }
    }

    #[test]
    fn values_are_bounded() {
        let list = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        assert_eq!(verdict(&list(VALUES_MAX - 1)), Ok(()));
        assert_eq!(verdict(&list(VALUES_MAX)), Err("json_too_many_values"));
        assert_eq!(verdict(&format!("\"{}\"", ",".repeat(VALUES_MAX))), Ok(()));
        assert_eq!(verdict(&"[]".repeat(VALUES_MAX)), Err("json_too_many_values"));
    }
}
