//! How much text and how many images a prompt has, seen while its JSON is read and never kept.
//! Never decides what is allowed; the bytes themselves go on as they came.
//! Read by the requests that a backend may serve.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Fields whose values are data and no text: pictures, sounds, films and files. Each may be long for the model.
const DATA_FIELDS: [&str; 6] = ["image_url", "input_audio", "audio", "audio_url", "video_url", "file"];

/// How much there is to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct PromptSize {
    /// All its texts. Unit: bytes.
    pub(in crate::http) text_bytes: u64,
    /// Pictures and whatever else is data.
    pub(in crate::http) images: u32,
}

impl PromptSize {
    /// Both together.
    pub(in crate::http) fn plus(self, other: Self) -> Self {
        Self {
            text_bytes: self.text_bytes.saturating_add(other.text_bytes),
            images: self.images.saturating_add(other.images),
        }
    }
}

/// A list of objects: how many, and how much they say.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct ListSize {
    pub(in crate::http) entries: usize,
    pub(in crate::http) size: PromptSize,
}

/// Any JSON; names of fields count as text, as they do in a schema.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct SchemaSize(pub(in crate::http) PromptSize);

struct Meter<'a> {
    size: &'a mut PromptSize,
    counts_names: bool,
}

/// Reads one entry of a list, which must be an object.
struct Entry<'a>(Meter<'a>);

impl<'de> Deserialize<'de> for ListSize {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = ListSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ListSize, A::Error> {
                let mut found = ListSize::default();
                loop {
                    let meter = Meter { size: &mut found.size, counts_names: false };
                    if list.next_element_seed(Entry(meter))?.is_none() {
                        return Ok(found);
                    }
                    found.entries += 1;
                }
            }
        }
        input.deserialize_seq(ListVisitor)
    }
}

impl<'de> Deserialize<'de> for SchemaSize {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut size = PromptSize::default();
        Meter { size: &mut size, counts_names: true }.deserialize(input)?;
        Ok(Self(size))
    }
}

impl Meter<'_> {
    fn add_text(&mut self, text: &str) {
        self.size.text_bytes = self.size.text_bytes.saturating_add(text.len() as u64);
    }

    fn inner(&mut self) -> Meter<'_> {
        Meter { size: self.size, counts_names: self.counts_names }
    }
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        // A list or a text in its place is told so by serde.
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.visit_map(map)
    }
}

impl<'de> DeserializeSeed<'de> for Meter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Meter<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        self.add_text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.counts_names {
                self.add_text(&name);
            } else if DATA_FIELDS.contains(&name.as_ref()) {
                self.size.images += 1;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(self.inner())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_and_data_is_not() {
        let rows = [
            ("[]", 0, 0, 0),
            (r#"[{"role":"user","content":"ü"}]"#, 1, 6, 0),
            (r#"[{"content":null,"n":[1,2.5,true,null,-1]},{}]"#, 2, 0, 0),
            (r#"[{"content":[{"type":"text","text":"abc"}]}]"#, 1, 7, 0),
            (r#"[{"content":[{"type":"image_url","image_url":{"url":"data:…"}}]}]"#, 1, 9, 1),
            (r#"[{"content":[{"type":"input_audio","input_audio":{"data":"…"}}]}]"#, 1, 11, 1),
            (r#"[{"content":[{"type":"video_url","video_url":{"url":"…"}}]}]"#, 1, 9, 1),
            (r#"[{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]"#, 1, 4, 0),
        ];
        for (json, entries, text_bytes, images) in rows {
            let found: ListSize = serde_json::from_str(json).expect(json);
            assert_eq!((found.entries, found.size), (entries, PromptSize { text_bytes, images }), "{json}");
        }
        for json in ["{}", "\"x\"", "[1]", "[\"x\"]", "[[]]", "[null]", "3"] {
            assert!(serde_json::from_str::<ListSize>(json).is_err(), "{json}");
        }
        let SchemaSize(schema) = serde_json::from_str(r#"[{"name":"f","x":{"image_url":1}}]"#).expect("good");
        assert_eq!(schema, PromptSize { text_bytes: 4 + 1 + 1 + 9, images: 0 });
    }
}
