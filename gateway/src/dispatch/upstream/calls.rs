//! Tells the calls of tools of one stream apart: some servers give every call the same number.
//! Never looks at arguments and never changes the order of what came.
//! Called by the relay for each part of a call that it reads.

use crate::dispatch::ToolCallDelta;

/// The calls that a stream has begun, in order.
#[derive(Debug, Default)]
pub(super) struct Calls {
    begun: Vec<Begun>,
}

#[derive(Debug)]
struct Begun {
    choice: u32,
    /// The upstream's number for it, or its place in its chunk.
    upstream_number: u32,
    /// Our number for it; no other call of the choice has it.
    number: u32,
    id: Option<String>,
}

impl Calls {
    /// Gives a part the number of the call that it belongs to.
    pub(super) fn number(&mut self, choice: u32, part: &mut ToolCallDelta) {
        let last =
            self.begun.iter().rfind(|call| call.choice == choice && call.upstream_number == part.index);
        let number = match last {
            Some(call) if !call.is_followed_by(part) => call.number,
            _ => self.begin(choice, part),
        };
        part.index = number;
    }

    fn begin(&mut self, choice: u32, part: &ToolCallDelta) -> u32 {
        let taken = || self.begun.iter().filter(|call| call.choice == choice).map(|call| call.number);
        let number = match taken().any(|number| number == part.index) {
            true => taken().max().unwrap_or(0).saturating_add(1),
            false => part.index,
        };
        let (upstream_number, id) = (part.index, part.id.clone());
        self.begun.push(Begun { choice, upstream_number, number, id });
        number
    }
}

impl Begun {
    /// A part with an id and a name of its own begins another call. An id alone does not: some servers make a new
    /// one for each part, but name the tool once.
    fn is_followed_by(&self, part: &ToolCallDelta) -> bool {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (some(&self.id), some(&part.id), some(&part.name)) {
            (Some(begun), Some(id), Some(_)) => begun != id,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_with_one_number_are_told_apart() {
        let mut calls = Calls::default();
        let rows = [
            ((0, 0, "a", "f"), 0),
            ((0, 0, "", ""), 0),
            ((0, 0, "another", ""), 0),
            ((0, 0, "a", "f"), 0),
            ((0, 0, "b", "g"), 1),
            ((0, 0, "", ""), 1),
            ((1, 0, "c", "f"), 0),
            ((0, 1, "d", "f"), 2),
            ((0, 1, "", ""), 2),
            ((0, 7, "", "f"), 7),
            ((0, 7, "e", "f"), 7),
        ];
        for ((choice, index, id, name), expected) in rows {
            let (id, name) = (Some(id.to_owned()), Some(name.to_owned()));
            let mut part = ToolCallDelta { index, id, name, arguments: String::new() };
            calls.number(choice, &mut part);
            assert_eq!(part.index, expected, "{part:?}");
        }
    }
}
