//! Reads form-encoded bodies and queries with nested names: `lines[0][amount]=5`, `metadata[k]=v`, `expand[]=x`.
//! Never judges what a name means: that is done where a parameter is taken.
//! Called for every request before it is routed.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// A form as nested objects; the parts of a list are under their numbers.
///
/// Errors: a name whose brackets do not fit; a name that is both a value and a list.
pub(super) fn read_form(text: &str) -> Result<Map<String, Value>, Refusal> {
    let mut form = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain(name)?, plain(value)?);
        let parts = parts(&name)?;
        put(&mut form, &parts, value).map_err(|()| Refusal::invalid(name, "Invalid request parameters"))?;
    }
    Ok(form)
}

/// `a[b][c]` as its three parts.
fn parts(name: &str) -> Result<Vec<&str>, Refusal> {
    let refusal = || Refusal::invalid(name, "Invalid parameter name");
    let Some((first, rest)) = name.split_once('[') else { return Ok(vec![name]) };
    let rest = rest.strip_suffix(']').ok_or_else(refusal)?;
    let parts: Vec<_> = std::iter::once(first).chain(rest.split("][")).collect();
    let is_whole = !first.is_empty() && parts.iter().all(|part| !part.contains(['[', ']']));
    is_whole.then_some(parts).ok_or_else(refusal)
}

fn put(form: &mut Map<String, Value>, parts: &[&str], value: String) -> Result<(), ()> {
    let Some((first, rest)) = parts.split_first() else { return Err(()) };
    let name = match *first {
        "" => form.len().to_string(),
        first => first.to_owned(),
    };
    if rest.is_empty() {
        return match form.insert(name, Value::String(value)) {
            Some(earlier) if earlier.is_object() => Err(()),
            Some(_) | None => Ok(()),
        };
    }
    let inner = form.entry(name).or_insert_with(|| Value::Object(Map::new()));
    put(inner.as_object_mut().ok_or(())?, rest, value)
}

/// Undoes percent encoding.
fn plain(text: &str) -> Result<String, Refusal> {
    let refusal = || Refusal::unfit("Invalid form encoding");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits =
                    after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(refusal)?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refusal())?);
                rest = &after[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| refusal())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_names_make_nested_objects() {
        for (text, expected) in [
            ("", json!({})),
            ("a=1&b=two+words%21", json!({"a": "1", "b": "two words!"})),
            ("metadata[k]=v&metadata%5Bl%5D=", json!({"metadata": {"k": "v", "l": ""}})),
            (
                "lines[1][amount]=2&lines[0][amount]=-1&lines[0][period][end]=3",
                json!({"lines": {"1": {"amount": "2"}, "0": {"amount": "-1", "period": {"end": "3"}}}}),
            ),
            ("expand[]=a&expand[]=b.c", json!({"expand": {"0": "a", "1": "b.c"}})),
        ] {
            assert_eq!(Value::Object(read_form(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn broken_names_and_values_are_refused() {
        for text in ["a[b=1", "[a]=1", "a=1&a[b]=2", "a[b]=2&a=1", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(read_form(text).unwrap_err().status, 400, "{text}");
        }
    }
}
