//! Changes single fields of a JSON object and leaves every other byte as it is.
//! Never writes the object anew: numbers, order, spaces and escapes of what is not changed stay the sender's.
//! Called for bodies on their way to an upstream, and for events on their way back.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Why a body cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// It is not a JSON object.
    #[error("the body is not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// Which of the two counts would be a guess, and the next reader might guess otherwise.
    #[error("the field {0} is there twice")]
    Twice(String),
}

/// A JSON object's top-level fields, as they stand in its text.
#[derive(Debug)]
pub struct Fields<'a> {
    text: &'a [u8],
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Changes to make to one object.
#[derive(Debug)]
pub struct Splice<'a> {
    fields: Fields<'a>,
    replaced: Vec<(Range<usize>, Vec<u8>)>,
    /// Places of fields that are taken out.
    removed: Vec<usize>,
    added: Vec<u8>,
}

struct FieldList<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A field's name; escapes in it are read.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for FieldList<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = FieldList<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldList<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                Ok(FieldList(fields))
            }
        }
        input.deserialize_map(FieldVisitor)
    }
}

impl<'a> Fields<'a> {
    /// Reads an object; its values are only walked over.
    ///
    /// Errors: it is not one JSON object and nothing else.
    pub fn read(text: &'a [u8]) -> Result<Self, SpliceError> {
        let FieldList(fields) = serde_json::from_slice(text).map_err(SpliceError::NotAnObject)?;
        Ok(Self { text, fields })
    }

    /// The text of a field's value.
    ///
    /// Errors: the field is there twice.
    pub fn find(&self, name: &str) -> Result<Option<&'a str>, SpliceError> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.get());
        let value = values.next();
        match values.next() {
            Some(_) => Err(SpliceError::Twice(name.to_owned())),
            None => Ok(value),
        }
    }

    /// Begins to change the object.
    pub fn splice(self) -> Splice<'a> {
        Splice { fields: self, replaced: Vec::new(), removed: Vec::new(), added: Vec::new() }
    }

    /// Where a value that was borrowed from the text lies in it.
    fn range(&self, value: &str) -> Range<usize> {
        let from = value.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        from..from + value.len()
    }

    /// Where the value of the field at this place lies.
    fn range_at(&self, place: usize) -> Option<Range<usize>> {
        self.fields.get(place).map(|(_, value)| self.range(value.get()))
    }

    /// What goes when the fields at these places, one behind another, are taken out: with them a comma that would
    /// stand beside nothing.
    fn range_of_run(&self, first: usize, last: usize) -> Option<Range<usize>> {
        let end = self.range_at(last)?.end;
        let before = first.checked_sub(1).and_then(|place| self.range_at(place));
        if let Some(before) = before {
            return Some(before.end..end);
        }
        // Between a brace or a value and the next value there is no quote but those of its name.
        let from = self.text.iter().position(|byte| *byte == b'{')? + 1;
        let next_name = |next: Range<usize>| {
            let between = self.text.get(end..next.start)?;
            between.iter().position(|byte| *byte == b'"').map(|quote| end + quote)
        };
        match self.range_at(last + 1) {
            Some(next) => next_name(next).map(|to| from..to),
            None => Some(from..end),
        }
    }
}

impl Splice<'_> {
    /// Gives a field this value, given as JSON; adds the field where it is missing.
    ///
    /// Errors: the field is there twice.
    pub fn set(&mut self, name: &str, json: &[u8]) -> Result<(), SpliceError> {
        match self.fields.find(name)? {
            Some(value) => self.replaced.push((self.fields.range(value), json.to_vec())),
            None => {
                let is_first = self.fields.fields.len() == self.removed.len() && self.added.is_empty();
                self.added.extend_from_slice(if is_first { b"\"" } else { b",\"" });
                self.added.extend_from_slice(name.as_bytes());
                self.added.extend_from_slice(b"\":");
                self.added.extend_from_slice(json);
            }
        }
        Ok(())
    }

    /// Gives a field of an object within this object this value, and makes the object where there is none.
    ///
    /// Errors: one of the fields is there twice.
    pub fn set_within(&mut self, object: &str, name: &str, json: &[u8]) -> Result<(), SpliceError> {
        let inner = self.fields.find(object)?.unwrap_or("null");
        let text = if inner.starts_with('{') { inner.as_bytes() } else { b"{}" };
        let mut splice = Fields::read(text)?.splice();
        splice.set(name, json)?;
        let changed = splice.finish();
        self.set(object, &changed)
    }

    /// Takes a field out; one that is not there stays so. What is taken out is not set, and what is set later comes
    /// last.
    ///
    /// Errors: the field is there twice.
    pub fn remove(&mut self, name: &str) -> Result<(), SpliceError> {
        if self.fields.find(name)?.is_some() {
            let place = self.fields.fields.iter().position(|(field, _)| field == name);
            self.removed.extend(place);
        }
        Ok(())
    }

    /// The object's text with all changes made.
    pub fn finish(mut self) -> Vec<u8> {
        self.removed.sort_unstable();
        let runs: Vec<_> = self.removed.chunk_by(|one, next| one + 1 == *next).collect();
        let ranges = runs.into_iter().filter_map(|run| self.fields.range_of_run(*run.first()?, *run.last()?));
        self.replaced.extend(ranges.map(|range| (range, Vec::new())));
        self.replaced.sort_by_key(|(range, _)| range.start);
        let text = self.fields.text;
        let more: usize = self.replaced.iter().map(|(_, json)| json.len()).sum();
        let mut bytes = Vec::with_capacity(text.len() + more + self.added.len());
        let mut from = 0;
        for (range, json) in &self.replaced {
            bytes.extend_from_slice(text.get(from..range.start).unwrap_or_default());
            bytes.extend_from_slice(json);
            from = range.end;
        }
        // What was read is an object, so its text has a last brace; new fields go before it.
        let end = text.iter().rposition(|byte| *byte == b'}').unwrap_or(text.len());
        bytes.extend_from_slice(text.get(from..end).unwrap_or_default());
        bytes.extend_from_slice(&self.added);
        bytes.extend_from_slice(text.get(end..).unwrap_or_default());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str, name: &str, json: &str) -> Result<String, SpliceError> {
        let mut splice = Fields::read(text.as_bytes())?.splice();
        splice.set(name, json.as_bytes())?;
        Ok(String::from_utf8(splice.finish()).expect("text"))
    }

    /// An object, a field, its new value, and the object's text afterwards.
    fn check(text: &str, name: &str, json: &str, expected: &str) {
        assert_eq!(set(text, name, json).expect("an object"), expected);
    }

    #[test]
    fn every_other_byte_stays() {
        check(r#"{"model":"a","x":1}"#, "model", r#""b""#, r#"{"model":"b","x":1}"#);
        check(
            r#" { "x" : 1.50e3 ,"model" :  "a" } "#,
            "model",
            r#""b""#,
            r#" { "x" : 1.50e3 ,"model" :  "b" } "#,
        );
        check(r#"{"x":{"model":"a"},"model":null}"#, "model", "2", r#"{"x":{"model":"a"},"model":2}"#);
        check(r#"{"\u006dodel":"a"}"#, "model", "2", r#"{"\u006dodel":2}"#);
        check("{}", "model", "2", r#"{"model":2}"#);
        check(" {\n} ", "model", "2", " {\n\"model\":2} ");
        check(r#"{"x":"}"}"#, "model", "2", r#"{"x":"}","model":2}"#);
        check(r#"{"x":"é🦊","model":"好"}"#, "model", "2", r#"{"x":"é🦊","model":2}"#);
        check(r#"{"a":1,"a":2}"#, "model", "2", r#"{"a":1,"a":2,"model":2}"#);
    }

    #[test]
    fn several_changes_are_made_at_once() {
        let text = br#"{"stream_options":{"a": 1},"max_tokens":9,"model":"a"}"#;
        let mut splice = Fields::read(text).expect("an object").splice();
        splice.set("model", b"\"b\"").expect("once");
        splice.set("max_tokens", b"5").expect("once");
        splice.set("new", b"1").expect("once");
        splice.set("newer", b"2").expect("once");
        splice.set_within("stream_options", "include_usage", b"true").expect("once");
        let expected = r#"{"stream_options":{"a": 1,"include_usage":true},"max_tokens":5,"model":"b","new":1,"newer":2}"#;
        assert_eq!(String::from_utf8(splice.finish()).expect("text"), expected);
    }

    #[test]
    fn objects_within_are_made_where_they_lack() {
        let rows = [
            ("{}", r#"{"o":{"f":true}}"#),
            (r#"{"o":null}"#, r#"{"o":{"f":true}}"#),
            (r#"{"o":{}}"#, r#"{"o":{"f":true}}"#),
            (r#"{"o":{"f":false}}"#, r#"{"o":{"f":true}}"#),
            (r#"{"o": { "g":1, "f" : null } }"#, r#"{"o": { "g":1, "f" : true } }"#),
        ];
        for (text, expected) in rows {
            let mut splice = Fields::read(text.as_bytes()).expect("an object").splice();
            splice.set_within("o", "f", b"true").expect("once");
            assert_eq!(String::from_utf8(splice.finish()).expect("text"), expected);
        }
    }

    #[test]
    fn fields_are_taken_out_with_their_commas() {
        // An object, what is taken out of it, and its text then, with `x` set to 1 as well.
        let rows = [
            (r#"{"a":1}"#, "a", r#"{"x":1}"#),
            (r#"{ "a" : "}" , "b":2}"#, "a", r#"{"b":2,"x":1}"#),
            (r#"{"a":[1,"\""], "b" : 2 ,"c":3}"#, "b", r#"{"a":[1,"\""] ,"c":3,"x":1}"#),
            (r#"{"a":1,"b":2 }"#, "b", r#"{"a":1 ,"x":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, "ab", r#"{"c":3,"x":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, "ac", r#"{"b":2,"x":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, "bc", r#"{"a":1,"x":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, "cba", r#"{"x":1}"#),
            (r#"{"\u0061":1,"b":2}"#, "a", r#"{"b":2,"x":1}"#),
            (r#"{"b":2}"#, "a", r#"{"b":2,"x":1}"#),
        ];
        for (text, names, expected) in rows {
            let mut splice = Fields::read(text.as_bytes()).expect("an object").splice();
            for name in names.chars() {
                splice.remove(&name.to_string()).expect("once");
            }
            splice.set("x", b"1").expect("once");
            assert_eq!(String::from_utf8(splice.finish()).expect("text"), expected, "{text} without {names}");
        }
        let mut twice = Fields::read(br#"{"a":1,"a":2}"#).expect("an object").splice();
        assert!(matches!(twice.remove("a"), Err(SpliceError::Twice(_))));
    }

    #[test]
    fn what_is_no_object_or_ambiguous_is_refused() {
        for text in ["", "[]", "null", "1", "{", r#"{"a":1}{}"#, r#"{"a":1,}"#, "{\"a\":\"\u{1}\"}"] {
            assert!(matches!(set(text, "model", "1"), Err(SpliceError::NotAnObject(_))), "{text:?}");
        }
        for text in [r#"{"model":1,"model":2}"#, r#"{"model":1,"\u006dodel":2}"#] {
            assert!(matches!(set(text, "model", "1"), Err(SpliceError::Twice(_))), "{text:?}");
        }
        let mut splice = Fields::read(br#"{"o":{"f":1,"f":2}}"#).expect("an object").splice();
        assert!(matches!(splice.set_within("o", "f", b"1"), Err(SpliceError::Twice(_))));
    }

    proptest! {
        #[test]
        fn values_change_and_nothing_else(
            keys in prop::collection::vec("[a-z\"\\\\é]{1,4}", 1..6),
            values in prop::collection::vec("[ -~é]{0,8}", 6),
            chosen in 0_usize..6,
        ) {
            let mut object = serde_json::Map::new();
            for (key, value) in keys.iter().zip(&values) {
                object.insert(key.clone(), serde_json::json!({"v": value, "n": [1, null]}));
            }
            let text = serde_json::to_string_pretty(&object).expect("json");
            let key = &keys[chosen % keys.len()];
            let changed = set(&text, key, "7").expect("an object");
            object.insert(key.clone(), serde_json::json!(7));
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&changed).expect("json");
            prop_assert_eq!(read, object);
        }
    }
}
