//! A hub model's text side: `tokenizer.json` and the chat template.
//! Never runs the template here; it is compiled and handed on.
//! Called while a model is loaded.

use std::sync::Arc;

use serde::Deserialize;

use super::{ModelError, config::ModelConfig, files::ModelFiles};
use crate::text::{ChatTemplate, HubVocabulary, TemplateNames, Text};

const TOKENIZER_FILE: &str = "tokenizer.json";
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
const TEMPLATE_FILE: &str = "chat_template.jinja";

/// The name of the template to use where a model has several.
const TEMPLATE_NAME: &str = "default";

#[derive(Debug, Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<TemplateField>,
    bos_token: Option<SpecialToken>,
    eos_token: Option<SpecialToken>,
}

/// One template, or several with names.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TemplateField {
    One(String),
    Many(Vec<NamedTemplate>),
}

#[derive(Debug, Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// A token's text, bare or as a record.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Bare(String),
    Record { content: String },
}

impl SpecialToken {
    fn into_text(self) -> String {
        match self {
            Self::Bare(text) | Self::Record { content: text } => text,
        }
    }
}

/// Reads tokenizer and template.
///
/// Errors: missing or malformed files, a tokenizer with more ids than the model has rows.
pub(crate) fn read(files: &ModelFiles, config: &ModelConfig) -> Result<Text, ModelError> {
    let file = files.path(TOKENIZER_FILE);
    let json =
        files.find_json(TOKENIZER_FILE)?.ok_or_else(|| ModelError::MissingFile { file: file.clone() })?;
    let vocabulary = HubVocabulary::from_json(&json)
        .map_err(|what| ModelError::BadTokenizer { file: file.clone(), what })?;
    let entries = u32::try_from(config.vocabulary).unwrap_or(u32::MAX);
    if let Some(id_max) = vocabulary.id_max().filter(|id| *id >= entries) {
        return Err(ModelError::TokenizerTooLarge { file, id_max, vocabulary: entries });
    }
    let settings: TokenizerConfig = files.parse_if_there(TOKENIZER_CONFIG_FILE)?.unwrap_or_default();
    let names = TemplateNames {
        bos_token: settings.bos_token.map(SpecialToken::into_text),
        eos_token: settings.eos_token.map(SpecialToken::into_text),
    };
    let mut eos = config.eos.clone();
    // The end token that the chat template writes ends answers too.
    eos.extend(names.eos_token.as_deref().and_then(|token| vocabulary.find_id(token)));
    eos.sort_unstable();
    eos.dedup();
    let template = match find_template(files, settings.chat_template)? {
        Some((file, source)) => {
            let compiled = ChatTemplate::new(source, names);
            Some(Arc::new(
                compiled.map_err(|error| ModelError::BadTemplate { file: files.path(file), error })?,
            ))
        }
        None => None,
    };
    Ok(Text { vocabulary: Arc::new(vocabulary), template, eos: eos.into() })
}

/// The template's source and the file it is in. A file of its own comes before the field.
fn find_template(
    files: &ModelFiles,
    field: Option<TemplateField>,
) -> Result<Option<(&'static str, String)>, ModelError> {
    if let Some(bytes) = files.find_json(TEMPLATE_FILE)? {
        let source = String::from_utf8(bytes.into_owned()).map_err(|_| ModelError::BadValue {
            file: files.path(TEMPLATE_FILE),
            field: "the template",
            rule: "must be UTF-8",
        })?;
        return Ok(Some((TEMPLATE_FILE, source)));
    }
    let source = match field {
        None => None,
        Some(TemplateField::One(source)) => Some(source),
        Some(TemplateField::Many(named)) => {
            let found = named.into_iter().find(|named| named.name == TEMPLATE_NAME);
            let found = found.ok_or_else(|| ModelError::BadValue {
                file: files.path(TOKENIZER_CONFIG_FILE),
                field: "chat_template",
                rule: "must have one named default",
            })?;
            Some(found.template)
        }
    };
    Ok(source.map(|source| (TOKENIZER_CONFIG_FILE, source)))
}
