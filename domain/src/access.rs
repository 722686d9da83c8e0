//! What a key may be used for.
//! Never a limit and never a model: those bound how much, this bounds what.
//! Stored by the ledger, asked by every route that a key opens.

use std::{fmt, str::FromStr};

/// One kind of route that a key may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyScope {
    /// Requests that are metered and billed: completions, messages, embeddings, token counts.
    Inference,
    /// The list of models.
    ModelsRead,
    /// The tenant's own usage and limits.
    UsageRead,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Inference, Self::ModelsRead, Self::UsageRead];

    /// The name on the command line, in SQL and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::ModelsRead => "models:read",
            Self::UsageRead => "usage:read",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Inference => 1,
            Self::ModelsRead => 2,
            Self::UsageRead => 4,
        }
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope must be inference, models:read or usage:read")]
pub struct UnknownKeyScope;

impl FromStr for KeyScope {
    type Err = UnknownKeyScope;

    fn from_str(text: &str) -> Result<Self, UnknownKeyScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownKeyScope)
    }
}

/// All that one key may be used for: at least one scope.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyScopes(u8);

impl KeyScopes {
    /// Everything.
    pub const ALL: Self =
        Self(KeyScope::Inference.bit() | KeyScope::ModelsRead.bit() | KeyScope::UsageRead.bit());

    /// These scopes, in any order, also twice. `None`: there are none.
    pub fn new(scopes: impl IntoIterator<Item = KeyScope>) -> Option<Self> {
        let bits = scopes.into_iter().fold(0, |bits, scope| bits | scope.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Whether it has this one.
    pub const fn has(self, scope: KeyScope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Each of them, in their own order.
    pub fn iter(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl Default for KeyScopes {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for KeyScopes {
    /// The names, with commas between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(KeyScope::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for KeyScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyScopes({self})")
    }
}

impl FromStr for KeyScopes {
    type Err = UnknownKeyScope;

    fn from_str(text: &str) -> Result<Self, UnknownKeyScope> {
        let scopes: Vec<KeyScope> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Self::new(scopes).ok_or(UnknownKeyScope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back() {
        let rows = [
            ("inference", Some("inference")),
            ("usage:read,inference,usage:read", Some("inference,usage:read")),
            ("inference,models:read,usage:read", Some("inference,models:read,usage:read")),
            ("", None),
            ("inference,", None),
            ("Inference", None),
            ("inference, models:read", None),
            ("admin", None),
        ];
        for (text, expected) in rows {
            let found = text.parse::<KeyScopes>().ok().map(|scopes| scopes.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert_eq!(KeyScopes::new(KeyScope::ALL), Some(KeyScopes::ALL));
        assert_eq!(KeyScopes::new([]), None);
        let one = KeyScopes::new([KeyScope::ModelsRead]).expect("one");
        assert!(one.has(KeyScope::ModelsRead) && !one.has(KeyScope::Inference));
    }
}
