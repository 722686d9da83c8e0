//! Reads a JSON value of the form that is expected, and takes any other form for nothing.
//! Never buffers a value: each is read once, in place, on the way of every event.
//! Called by the types of `chunk`.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// What a JSON value can be read as. Each form that a type does not take reads as nothing.
pub(super) trait Form<'de>: Sized {
    fn of_text(_: &str) -> Option<Self> {
        None
    }

    fn of_count(_: u64) -> Option<Self> {
        None
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Form<'_> for String {
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Form<'_> for u64 {
    fn of_count(count: u64) -> Option<Self> {
        Some(count)
    }
}

impl Form<'_> for u32 {
    fn of_count(count: u64) -> Option<Self> {
        Self::try_from(count).ok()
    }
}

impl<'de, T: Form<'de>> Form<'de> for Vec<T> {
    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut items = Self::new();
        while let Some(item) = list.next_element::<Lenient<T>>()? {
            items.extend(item.0);
        }
        Ok(Some(items))
    }
}

/// Any value; only that there is one matters.
#[derive(Debug)]
pub(super) struct Anything;

impl<'de> Form<'de> for Anything {
    fn of_text(_: &str) -> Option<Self> {
        Some(Self)
    }

    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Self))
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Some(Self))
    }
}

/// A type with named fields, read from an object.
pub(super) fn object<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: A) -> Result<Option<T>, A::Error> {
    T::deserialize(MapAccessDeserializer::new(map)).map(Some)
}

struct Lenient<T>(Option<T>);

struct FormVisitor<T>(PhantomData<T>);

impl<'de, T: Form<'de>> Visitor<'de> for FormVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Lenient<T>, E> {
        Ok(Lenient(T::of_count(count)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Lenient<T>, E> {
        Ok(Lenient(T::of_text(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Lenient<T>, E> {
        Ok(Lenient(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Lenient<T>, A::Error> {
        T::of_list(list).map(Lenient)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
        T::of_object(map).map(Lenient)
    }
}

impl<'de, T: Form<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(FormVisitor(PhantomData))
    }
}

/// For `#[serde(deserialize_with)]`: what a field holds when it has the form that is expected.
pub(super) fn lenient<'de, T: Form<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    Lenient::deserialize(input).map(|Lenient(value)| value)
}
