//! Puts what a model says into turns, for dialects that end one call of a tool before the next begins.
//! Never drops or changes a word; what comes out of turn is kept until the answer ends, and told then.
//! Used by the writers of messages and of responses, for every delta of an answer.

use crate::stream::{Delta, ToolCallDelta};

/// The turns of one answer. A server may go back to an earlier call, so the first one stays open to the end:
/// everything else that follows its beginning waits behind it, joined by call and in order.
#[derive(Debug, Default)]
pub(in crate::http) struct Turns {
    first_call: Option<u32>,
    waiting: Vec<Delta>,
}

impl Turns {
    /// Whether it is the delta's turn. One that has to wait is kept.
    pub(in crate::http) fn take(&mut self, delta: &Delta) -> bool {
        match (delta, self.first_call) {
            (Delta::ToolCall(part), None) => {
                self.first_call = Some(part.index);
                true
            }
            (_, None) => true,
            (Delta::ToolCall(part), Some(first)) if part.index == first => true,
            (delta, Some(_)) => {
                self.wait(delta);
                false
            }
        }
    }

    /// What waited, each call whole, once the answer has ended.
    pub(in crate::http) fn rest(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.waiting)
    }

    fn wait(&mut self, delta: &Delta) {
        let is_joined = match (delta, self.waiting.last_mut()) {
            (Delta::ToolCall(part), Some(_)) => self.join(part),
            (Delta::Text(more), Some(Delta::Text(text)))
            | (Delta::Reasoning(more), Some(Delta::Reasoning(text)))
            | (Delta::Refusal(more), Some(Delta::Refusal(text))) => {
                text.push_str(more);
                true
            }
            _ => false,
        };
        if !is_joined {
            self.waiting.push(delta.clone());
        }
    }

    /// `false`: the call has not begun.
    fn join(&mut self, part: &ToolCallDelta) -> bool {
        let calls = self.waiting.iter_mut().filter_map(|delta| match delta {
            Delta::ToolCall(call) => Some(call),
            Delta::Text(_) | Delta::Reasoning(_) | Delta::Refusal(_) => None,
        });
        let Some(call) = calls.into_iter().find(|call| call.index == part.index) else { return false };
        call.arguments.push_str(&part.arguments);
        call.id = call.id.take().or_else(|| part.id.clone());
        call.name = call.name.take().or_else(|| part.name.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(index: u32, id: Option<&str>, arguments: &str) -> Delta {
        let (id, name) = (id.map(ToOwned::to_owned), id.map(|_| "f".to_owned()));
        Delta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
    }

    fn text(text: &str) -> Delta {
        Delta::Text(text.to_owned())
    }

    #[test]
    fn nothing_is_lost_in_any_order() {
        let mut turns = Turns::default();
        let deltas = [
            (text("a"), true),
            (call(3, Some("x"), "{"), true),
            (call(1, Some("y"), "["), false),
            (call(3, None, "}"), true),
            (text("b"), false),
            (text("c"), false),
            (call(2, Some("z"), ""), false),
            (call(1, None, "]"), false),
            (call(3, None, " "), true),
            (text("d"), false),
        ];
        for (delta, is_its_turn) in &deltas {
            assert_eq!(turns.take(delta), *is_its_turn, "{delta:?}");
        }
        let rest = [call(1, Some("y"), "[]"), text("bc"), call(2, Some("z"), ""), text("d")];
        assert_eq!(turns.rest(), rest);
        assert_eq!(turns.rest(), []);
    }
}
