//! Takes the parameters of a request one by one, each as what it has to be.
//! Never lenient: what nobody took is refused by name, as Stripe refuses it.
//! Called by every object of the fake.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// Most keys of metadata, longest key and longest value. Source: Stripe's page on metadata.
const METADATA: (usize, usize, usize) = (50, 40, 500);

/// The parameters that were not taken yet.
#[derive(Debug)]
pub(super) struct Params {
    form: Map<String, Value>,
    /// Where they are in the request, such as `lines[0]`.
    place: String,
}

impl Params {
    /// All parameters of a request.
    pub(super) fn new(form: Map<String, Value>) -> Self {
        Self { form, place: String::new() }
    }

    /// The name of a parameter as the asker wrote it.
    pub(super) fn name(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}[{name}]", self.place) }
    }

    /// Whether it was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.form.contains_key(name)
    }

    /// A text; an empty one unsets what it names, as null.
    pub(super) fn settable(&mut self, name: &str) -> Result<Option<Value>, Refusal> {
        let Some(value) = self.form.remove(name) else { return Ok(None) };
        match value.as_str() {
            Some("") => Ok(Some(Value::Null)),
            Some(_) => Ok(Some(value)),
            None => Err(Refusal::invalid(self.name(name), "Invalid string")),
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let Some(value) = self.settable(name)? else { return Ok(None) };
        let name = self.name(name);
        let Some(text) = value.as_str() else {
            let message = format!(
                "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a field; \
                 however '{name}' cannot be unset. You should remove '{name}' from your request or supply a \
                 non-empty value."
            );
            return Err(Refusal::invalid(name, message).code("parameter_invalid_empty"));
        };
        Ok(Some(text.to_owned()))
    }

    /// A text that has to be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| self.absent(name))
    }

    /// The refusal of a request without this parameter.
    pub(super) fn absent(&self, name: &str) -> Refusal {
        let name = self.name(name);
        Refusal::invalid(name.clone(), format!("Missing required param: {name}.")).code("parameter_missing")
    }

    /// A whole number.
    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let name = self.name(name);
        let refusal =
            || Refusal::invalid(name, format!("Invalid integer: {text}")).code("parameter_invalid_integer");
        text.parse().map(Some).map_err(|_| refusal())
    }

    /// Yes or no.
    pub(super) fn truth(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Refusal::invalid(self.name(name), format!("Invalid boolean: {other}"))),
        }
    }

    /// One of a few words.
    pub(super) fn choice(&mut self, name: &str, words: &[&str]) -> Result<Option<String>, Refusal> {
        let Some(word) = self.text(name)? else { return Ok(None) };
        if words.contains(&word.as_str()) {
            return Ok(Some(word));
        }
        let listed = match words.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, [one])) => format!("{one} or {last}"),
            Some((last, rest)) => format!("{}, or {last}", rest.join(", ")),
            None => String::new(),
        };
        Err(Refusal::invalid(self.name(name), format!("Invalid {name}: must be one of {listed}")))
    }

    /// A nested object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let Some(value) = self.form.remove(name) else { return Ok(None) };
        let place = self.name(name);
        let refusal = Refusal::invalid(place.clone(), "Invalid object");
        let form = value.as_object().cloned().ok_or(refusal)?;
        Ok(Some(Self { form, place }))
    }

    /// The members of a list of objects, by their numbers.
    pub(super) fn objects(&mut self, name: &str) -> Result<Option<Vec<Self>>, Refusal> {
        let Some(mut list) = self.object(name)? else { return Ok(None) };
        let mut members = Vec::new();
        for number in list.numbers()? {
            members.extend(list.object(&number)?);
        }
        Ok(Some(members))
    }

    /// The members of a list of texts, by their numbers.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(mut list) = self.object(name)? else { return Ok(None) };
        let numbers = list.numbers()?;
        numbers.iter().map(|number| list.needed(number)).collect::<Result<_, _>>().map(Some)
    }

    fn numbers(&self) -> Result<Vec<String>, Refusal> {
        let number = |name: &String| name.parse::<usize>().map(|number| (number, name.clone()));
        let numbers: Result<Vec<_>, _> = self.form.keys().map(number).collect();
        let mut numbers = numbers.map_err(|_| Refusal::invalid(self.place.clone(), "Invalid array"))?;
        numbers.sort();
        Ok(numbers.into_iter().map(|(_, name)| name).collect())
    }

    /// Takes these texts as they are; an empty one becomes null.
    pub(super) fn keep(&mut self, names: &[&str], object: &mut Value) -> Result<(), Refusal> {
        for name in names {
            if let Some(value) = self.settable(name)? {
                object[*name] = value;
            }
        }
        Ok(())
    }

    /// Takes these whatever they are, unread.
    pub(super) fn keep_whole(&mut self, names: &[&str], object: &mut Value) {
        for name in names {
            if let Some(value) = self.form.remove(*name) {
                object[*name] = value;
            }
        }
    }

    /// Changes metadata key by key: an empty value unsets one, an empty text all.
    pub(super) fn metadata(&mut self, object: &mut Value) -> Result<(), Refusal> {
        if object["metadata"].is_null() {
            object["metadata"] = json!({});
        }
        if self.form.get("metadata").is_some_and(|value| value == "") {
            self.form.remove("metadata");
            object["metadata"] = json!({});
        }
        let Some(changes) = self.object("metadata")? else { return Ok(()) };
        let (keys_max, key_max, value_max) = METADATA;
        let mut metadata = object["metadata"].as_object().cloned().unwrap_or_default();
        for (key, value) in &changes.form {
            let name = changes.name(key);
            let Some(text) = value.as_str() else {
                return Err(Refusal::invalid(
                    name,
                    "Invalid value: metadata must be a set of key-value pairs",
                ));
            };
            if key.chars().count() > key_max || text.chars().count() > value_max {
                let message = "Metadata keys can be up to 40 characters and values up to 500 characters long";
                return Err(Refusal::invalid(name, message));
            }
            if text.is_empty() {
                metadata.remove(key);
            } else {
                metadata.insert(key.clone(), value.clone());
            }
        }
        if metadata.len() > keys_max {
            return Err(Refusal::invalid("metadata", "Metadata can have up to 50 keys"));
        }
        object["metadata"] = Value::Object(metadata);
        Ok(())
    }

    /// These parameters as one of this name, for what is called otherwise elsewhere.
    pub(super) fn renamed(self, name: &str) -> Self {
        let form = Map::from_iter([(name.to_owned(), Value::Object(self.form))]);
        Self { form, place: String::new() }
    }

    /// Gives a text back, to be taken by somebody else.
    pub(super) fn put_back(&mut self, name: &str, text: Option<String>) {
        if let Some(text) = text {
            self.form.insert(name.to_owned(), Value::String(text));
        }
    }

    /// A text, without taking it.
    pub(super) fn peek(&self, name: &str) -> Option<String> {
        self.form.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// One that was not taken.
    pub(super) fn any(&self) -> Option<String> {
        self.form.keys().next().map(|name| self.name(name))
    }

    /// Everything that is left, unread.
    pub(super) fn into_form(self) -> Value {
        Value::Object(self.form)
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        let Some(name) = self.any() else { return Ok(()) };
        let message = format!("Received unknown parameter: {name}");
        Err(Refusal::invalid(name, message).code("parameter_unknown"))
    }
}
