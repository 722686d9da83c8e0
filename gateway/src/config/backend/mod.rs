//! `[[backend]]`: servers that run models elsewhere, what each may be asked, and what its tokens take in energy.
//! Never connects to one and never shows a secret: `Debug` leaves secrets out.
//! Part of `Config`; read by `dispatch`.

mod bound;

use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr};

use domain::{Millijoules, ModelName};
use serde::{Deserialize, Deserializer, de::Error as _};

pub use self::bound::OutputBound;
use super::{KeyFile, bounded, output_tokens_default};

/// Longest name of a backend; it stands in every record. Unit: bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest secret; API keys and signing secrets have some dozens of bytes. Unit: bytes.
const SECRET_BYTES_MAX: usize = 4_096;
/// Digits behind the point of an energy figure: nanojoules.
const ENERGY_DIGITS: usize = 6;
/// What [`ENERGY_DIGITS`] stand for.
const NANOJOULES_PER_MILLIJOULE: u64 = 1_000_000;

/// `[[backend]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The name that records carry for what it served.
    #[serde(deserialize_with = "backend_name")]
    pub name: String,
    /// What it speaks.
    pub kind: BackendKind,
    /// Where its API begins: the part before `/chat/completions`.
    pub url: BackendUrl,
    /// The API key that opens it.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// The private key that signs what opens an engine node.
    #[serde(default)]
    pub signing_key: Option<KeyFile>,
    /// Models it serves.
    #[serde(rename = "model")]
    pub models: Vec<BackendModel>,
    /// Certificates that vouch for it, as a PEM file; without it the roots that browsers trust.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Requests to it at the same time; each takes a connection.
    #[serde(default = "connections_max", deserialize_with = "bounded::<1, 65_536, _>")]
    pub connections_max: u32,
    /// Longest wait for a connection, TLS included. Unit: milliseconds.
    #[serde(default = "connect_ms_max", deserialize_with = "bounded::<1, 600_000, _>")]
    pub connect_ms_max: u32,
    /// Longest wait from the sent request to its first token. Unit: milliseconds.
    #[serde(default = "first_token_ms_max", deserialize_with = "bounded::<1, 86_400_000, _>")]
    pub first_token_ms_max: u32,
    /// Longest silence within an answer. Unit: milliseconds.
    #[serde(default = "idle_ms_max", deserialize_with = "bounded::<1, 86_400_000, _>")]
    pub idle_ms_max: u32,
    /// Longest life of one answer; `server.request_seconds_max` bounds it as well. Unit: milliseconds.
    #[serde(default = "total_ms_max", deserialize_with = "bounded::<1, 86_400_000, _>")]
    pub total_ms_max: u32,
    /// What is asked to learn whether it lives: a path below the server's address. Any answer below 500 is good.
    #[serde(default, deserialize_with = "health_path")]
    pub health_path: Option<String>,
    /// How often it is asked; 0: never. Unit: milliseconds.
    #[serde(default = "health_interval_ms", deserialize_with = "bounded::<0, 3_600_000, _>")]
    pub health_interval_ms: u32,
}

/// What a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// The API of OpenAI, as vLLM, SGLang, Dynamo, llama.cpp and hosted providers serve it.
    Openai,
    /// The same from an engine node of ours, which tells the energy of each request.
    Node,
}

/// `[[backend.model]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendModel {
    /// The name clients ask for.
    pub name: ModelName,
    /// Its name there; without it the same.
    #[serde(default, deserialize_with = "upstream_name")]
    pub upstream_name: Option<String>,
    /// Prompt and output together. Unit: tokens.
    #[serde(deserialize_with = "bounded::<2, 16_777_216, _>")]
    pub context_tokens_max: u32,
    /// Output bound of requests that name none. Unit: tokens.
    #[serde(default = "output_tokens_default")]
    pub output_tokens_default: NonZeroU32,
    /// What it calls the output bound of a chat; without it as the host's servers do.
    #[serde(default)]
    pub output_bound: Option<OutputBound>,
    /// The model's tokenizer.json, to count what the backend does not.
    #[serde(default)]
    pub tokenizer: Option<PathBuf>,
    /// Its share of the model's requests beside other backends.
    #[serde(default = "weight", deserialize_with = "bounded::<1, 10_000, _>")]
    pub weight: u32,
    /// What it can be asked.
    #[serde(default = "capabilities")]
    pub capabilities: Vec<Capability>,
    /// Modelled energy of a prompt token.
    #[serde(default)]
    pub mj_per_prompt_token: TokenEnergy,
    /// Modelled energy of an output token.
    #[serde(default)]
    pub mj_per_output_token: TokenEnergy,
}

impl BackendModel {
    /// Its name at the backend.
    pub fn name_there(&self) -> &str {
        self.upstream_name.as_deref().unwrap_or(self.name.as_str())
    }
}

/// Something a model can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Chats, in every dialect.
    Chat,
    /// Plain texts to continue.
    Completions,
    /// Vectors of texts.
    Embeddings,
}

/// Where a backend's API begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendUrl {
    /// TLS is spoken.
    pub is_https: bool,
    /// The host, for the connection and for TLS; without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as the `Host` header has them.
    pub authority: String,
    /// What stands before every path; without a slash at its end.
    pub path: String,
}

impl FromStr for BackendUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: hyper::Uri = text.parse().map_err(|_| "a backend's url must be http://… or https://…")?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("a backend's url must begin with http:// or https://"),
        };
        let authority = uri.authority().ok_or("a backend's url needs a host")?;
        if authority.as_str().contains('@') {
            return Err("a backend's url must have no user and no password; use api_key");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("a backend's url must have no query and no fragment");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("a backend's url needs a host");
        }
        // The library takes a port that is none for no port.
        let port = match authority.as_str().strip_prefix(authority.host()).unwrap_or_default() {
            "" => Some(if is_https { 443 } else { 80 }),
            written => written.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port > 0),
        };
        Ok(Self {
            is_https,
            host,
            port: port.ok_or("a backend's url has a port that is none")?,
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl<'de> Deserialize<'de> for BackendUrl {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

/// A secret, or where it is to be found. `Debug` shows where, never what.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "a text, { variable = \"NAME\" } or { file = \"PATH\" }")]
pub enum Secret {
    /// The secret itself.
    Value(String),
    /// In a variable of the environment.
    Variable {
        /// Its name.
        variable: String,
    },
    /// In a file, which may end with a line break.
    File {
        /// Its path.
        file: PathBuf,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Secret(…)"),
            Self::Variable { variable } => write!(f, "Secret(variable {variable})"),
            Self::File { file } => write!(f, "Secret(file {})", file.display()),
        }
    }
}

impl Secret {
    /// The secret's text.
    ///
    /// Errors: why it is not to be had, without showing any of it.
    pub fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Value(text) => text.clone(),
            Self::Variable { variable } => std::env::var(variable)
                .map_err(|error| match error {
                    std::env::VarError::NotPresent => format!("the variable {variable} is not set"),
                    std::env::VarError::NotUnicode(_) => format!("the variable {variable} is not UTF-8"),
                })?
                .trim()
                .to_owned(),
            Self::File { file } => std::fs::read_to_string(file)
                .map_err(|error| format!("{}: {error}", file.display()))?
                .trim()
                .to_owned(),
        };
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        match text.len() {
            0 => Err("the secret is empty".to_owned()),
            length if length > SECRET_BYTES_MAX => {
                Err(format!("the secret has {length} bytes; at most {SECRET_BYTES_MAX} are taken"))
            }
            _ if !text.bytes().all(is_visible) => {
                Err("the secret must have visible ASCII characters only, without spaces".to_owned())
            }
            _ => Ok(text),
        }
    }
}

/// Modelled energy of one token, exact to a nanojoule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenEnergy {
    nanojoules: u64,
}

impl TokenEnergy {
    /// The energy of `prompt` tokens at one figure and `output` tokens at another, a half rounded up, once.
    pub fn of(prompt: (u64, Self), output: (u64, Self)) -> Millijoules {
        let part = |(tokens, energy): (u64, Self)| u128::from(tokens) * u128::from(energy.nanojoules);
        let half = u128::from(NANOJOULES_PER_MILLIJOULE / 2);
        let whole = (part(prompt) + part(output) + half) / u128::from(NANOJOULES_PER_MILLIJOULE);
        Millijoules::new(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

impl FromStr for TokenEnergy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "energy must be a decimal number of millijoules with at most 6 digits behind the point";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > ENERGY_DIGITS {
            return Err(FORM);
        }
        let fraction: u64 = format!("{fraction:0<ENERGY_DIGITS$}").parse().map_err(|_| FORM)?;
        // A kilojoule a token is far beyond any machine, and keeps every product in bounds.
        let whole = whole.parse::<u64>().ok().filter(|whole| *whole <= 1_000_000);
        let whole = whole.ok_or("energy must be at most 1000000 millijoules a token")?;
        Ok(Self { nanojoules: whole * NANOJOULES_PER_MILLIJOULE + fraction })
    }
}

impl<'de> Deserialize<'de> for TokenEnergy {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a whole number, or a decimal as text such as \"0.35\"")]
        enum Wire {
            Whole(u64),
            Text(String),
        }
        match Wire::deserialize(input)? {
            Wire::Whole(count) => count.to_string().parse().map_err(D::Error::custom),
            Wire::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

fn backend_name<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let name = String::deserialize(input)?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_good) && name != LOCAL {
        true => Ok(name),
        false => Err(D::Error::custom(
            "a backend's name must be 1 to 64 letters, digits, dots, dashes and underscores, and not \"local\"",
        )),
    }
}

/// What records carry for engines inside the process.
const LOCAL: &str = crate::dispatch::LOCAL_BACKEND;

fn upstream_name<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(input)?;
    match name.is_empty() || name.len() > 512 || name.chars().any(char::is_control) {
        true => Err(D::Error::custom("upstream_name must have 1 to 512 bytes and no control characters")),
        false => Ok(Some(name)),
    }
}

fn health_path<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let path = String::deserialize(input)?;
    let is_good = path.starts_with('/') && path.parse::<hyper::Uri>().is_ok();
    match is_good {
        true => Ok(Some(path)),
        false => Err(D::Error::custom("health_path must be a path that begins with a slash")),
    }
}

fn connections_max() -> u32 {
    // As many as one vLLM server decodes together, with room for those that wait.
    1_024
}

fn connect_ms_max() -> u32 {
    // A round trip round the world, three times over for TCP and TLS, and then some.
    2_000
}

fn first_token_ms_max() -> u32 {
    // A long prompt behind a full queue.
    120_000
}

fn idle_ms_max() -> u32 {
    60_000
}

fn total_ms_max() -> u32 {
    600_000
}

fn health_interval_ms() -> u32 {
    5_000
}

fn weight() -> u32 {
    100
}

fn capabilities() -> Vec<Capability> {
    vec![Capability::Chat, Capability::Completions]
}

#[cfg(test)]
mod tests;
