//! Fields of an object whose type says which others it has: read one by one, each fault with its path.
//! Never knows what an object means; the callers name its fields.
//! Called by `content` and `tools`.

use serde_json::{Map, Value};

use crate::http::ApiError;

/// An object, and where it stands in the body.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, path: &'a str) -> Self {
        Self { object, path }
    }

    /// A field's path.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Refuses fields that are not among these, as Anthropic does.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.object.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => {
                let path = self.path(name);
                let message = format!("{path}: Extra inputs are not permitted");
                Err(ApiError::invalid("unknown_field", path, message))
            }
            None => Ok(()),
        }
    }

    /// A field that is there and not null.
    pub(super) fn find(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, ApiError> {
        self.find_text(name)?.ok_or_else(|| required(&self.path(name)))
    }

    /// A text that may be there.
    pub(super) fn find_text(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(&self.path(name), "must be a string")),
        }
    }

    /// A truth that may be there.
    pub(super) fn find_bool(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(invalid(&self.path(name), "must be true or false")),
        }
    }

    /// An object that must be there.
    pub(super) fn object(&self, name: &str) -> Result<&'a Map<String, Value>, ApiError> {
        match self.find(name) {
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(invalid(&self.path(name), "must be an object")),
            None => Err(required(&self.path(name))),
        }
    }
}

pub(super) fn required(path: &str) -> ApiError {
    ApiError::invalid("missing_required_parameter", path, format!("{path}: Field required"))
}

pub(super) fn invalid(path: &str, why: &str) -> ApiError {
    ApiError::invalid("invalid_value", path, format!("{path}: {why}"))
}

pub(super) fn unsupported(path: &str, why: &str) -> ApiError {
    ApiError::invalid("unsupported_value", path, format!("{path}: {why}"))
}
