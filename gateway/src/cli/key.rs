//! `tallygate key`: the credentials of a tenant.
//! Never shows a secret twice and never stores one.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use billing::ledger::{Key, KeyChange, Ledger, NewKey, Rotation, SecretHash};
use clap::{Args, Subcommand};
use domain::{
    Clock as _, KeyId, KeyScope, KeyScopes, ModelName, ProjectId, SloClass, SystemClock, Timestamp,
};

use super::{
    CliError,
    limit::{LimitArguments, limit_cells},
    open, out,
};
use crate::{
    authenticate::key::{self, SecretText},
    config::Config,
};

/// Longest span a key may be given: a hundred years. Unit: seconds.
const SPAN_SECONDS_MAX: u64 = 100 * 365 * 86_400;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key; its text is shown this once.
    Create(CreateArguments),
    /// List keys, revoked ones included.
    List {
        /// Only this tenant's; its name or id.
        tenant: Option<String>,
    },
    /// Change a key that is in use, for requests from now on: all that is given, or nothing.
    Change(ChangeArguments),
    /// Make a key that takes another's place, with the same rights, limits and budget; its text is shown this once.
    Rotate {
        /// The old key's public id.
        key_id: KeyId,
        /// How long the old key still opens: 90s, 30m, 24h, 7d; 0s ends it at once.
        #[arg(long, default_value = "24h", value_name = "SPAN")]
        overlap: Span,
        /// When the new key expires; without it, when the old one would have.
        #[arg(long, value_name = "WHEN")]
        expires: Option<Expiry>,
    },
    /// Refuse a key until it is enabled again.
    Disable {
        /// The key's public id.
        key_id: KeyId,
    },
    /// Accept a disabled key again. A revoked one stays out.
    Enable {
        /// The key's public id.
        key_id: KeyId,
    },
    /// Revoke a key for good.
    Revoke {
        /// The key's public id: the middle part of tg-<id>-….
        key_id: KeyId,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The tenant's name or id.
    tenant: String,
    /// What its owner calls it.
    #[arg(long, default_value = "key", value_name = "NAME")]
    name: String,
    /// A model it may use; may be given several times. Without it, all models of the plan.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<ModelName>,
    /// The project its usage belongs to, by path or id.
    #[arg(long, value_name = "PATH")]
    project: Option<String>,
    /// What it may be used for: inference, models:read, usage:read; may be given several times. Without it, everything.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<KeyScope>,
    /// When it expires: an instant such as 2027-01-31T00:00:00Z, or a span from now such as 90d.
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// The latency class of its requests, looser than the plan's: interactive, standard or batch.
    #[arg(long, value_name = "CLASS")]
    slo_class: Option<SloClass>,
    #[command(flatten)]
    limits: LimitArguments,
}

#[derive(Debug, Args)]
pub(super) struct ChangeArguments {
    /// The key's public id.
    key_id: KeyId,
    /// What its owner calls it.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// All models it may use; may be given several times.
    #[arg(long = "model", value_name = "MODEL", conflicts_with = "all_models")]
    models: Vec<ModelName>,
    /// It may use all models of the plan.
    #[arg(long)]
    all_models: bool,
    /// All it may be used for: inference, models:read, usage:read; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<KeyScope>,
    /// When it expires: an instant such as 2027-01-31T00:00:00Z, or a span from now such as 90d.
    #[arg(long, value_name = "WHEN", conflicts_with = "never_expires")]
    expires: Option<Expiry>,
    /// It has no end.
    #[arg(long)]
    never_expires: bool,
    /// The latency class of its requests: interactive, standard or batch.
    #[arg(long, value_name = "CLASS", conflicts_with = "plan_class")]
    slo_class: Option<SloClass>,
    /// Its requests have the plan's latency class.
    #[arg(long)]
    plan_class: bool,
}

/// A span of time: a whole number and s, m, h or d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(Duration);

/// A moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    At(Timestamp),
    After(Span),
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("a span must be a whole number and s, m, h or d, such as 24h, not {text:?}");
        let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(bad()),
        };
        let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.parse::<u64>().ok().filter(|_| is_digits);
        let seconds =
            count.and_then(|count| count.checked_mul(seconds)).filter(|seconds| *seconds <= SPAN_SECONDS_MAX);
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(bad)
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::After(span));
        }
        let instant = text.parse::<jiff::Timestamp>().map_err(|_| {
            format!("an expiry must be an instant such as 2027-01-31T00:00:00Z or a span such as 90d, not {text:?}")
        })?;
        Ok(Self::At(Timestamp::from_unix_micros(instant.as_microsecond())))
    }
}

impl Expiry {
    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(Span(span)) => {
                let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_unix_micros(now.unix_micros().saturating_add(micros))
            }
        }
    }
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Create(arguments) => create(&ledger, arguments).await,
        Command::List { tenant } => list(&ledger, tenant).await,
        Command::Change(arguments) => change(&ledger, arguments).await,
        Command::Rotate { key_id, overlap, expires } => rotate(&ledger, &key_id, overlap, expires).await,
        Command::Disable { key_id } => {
            ledger.disable_key(&key_id, SystemClock.now()).await?;
            out::say(&format!("disabled key {key_id}; `tallygate key enable {key_id}` accepts it again"));
            Ok(())
        }
        Command::Enable { key_id } => {
            ledger.enable_key(&key_id).await?;
            out::say(&format!("enabled key {key_id}"));
            Ok(())
        }
        Command::Revoke { key_id } => {
            ledger.revoke_key(&key_id, SystemClock.now()).await?;
            out::say(&format!("revoked key {key_id}"));
            Ok(())
        }
    }
}

async fn create(ledger: &Ledger, arguments: CreateArguments) -> Result<(), CliError> {
    let tenant = open::tenant(ledger, &arguments.tenant).await?;
    let project = match &arguments.project {
        Some(path) => Some(open::project(ledger, &tenant, path).await?),
        None => None,
    };
    let fresh = key::generate_key()?;
    let now = SystemClock.now();
    let new = NewKey {
        project_id: project.map(|project| project.id),
        // None named are all.
        scopes: KeyScopes::new(arguments.scopes).unwrap_or_default(),
        slo_class: arguments.slo_class,
        expires_at: arguments.expires.map(|expires| expires.resolve(now)),
        limits: arguments.limits.to_limits()?,
        models_allowed: Some(arguments.models).filter(|models| !models.is_empty()),
        ..NewKey::unlimited(fresh.key_id, &arguments.name, SecretHash::from_bytes(fresh.secret_hash))
    };
    let key = ledger.create_key(tenant.id, &new, now).await?;
    out::say(&format!("created key {} for tenant {}", key.id, tenant.name));
    say_secret(&fresh.text);
    Ok(())
}

/// What a value and the word that takes it away say together.
fn given<T>(value: Option<T>, is_taken_away: bool) -> Option<Option<T>> {
    match (value, is_taken_away) {
        (Some(value), _) => Some(Some(value)),
        (None, true) => Some(None),
        (None, false) => None,
    }
}

async fn change(ledger: &Ledger, arguments: ChangeArguments) -> Result<(), CliError> {
    let now = SystemClock.now();
    let models = Some(arguments.models).filter(|models| !models.is_empty());
    let change = KeyChange {
        name: arguments.name.as_deref(),
        scopes: KeyScopes::new(arguments.scopes),
        models_allowed: given(models, arguments.all_models),
        slo_class: given(arguments.slo_class, arguments.plan_class),
        expires_at: given(arguments.expires.map(|expires| expires.resolve(now)), arguments.never_expires),
    };
    let key = ledger.change_key(&arguments.key_id, &change, now).await?;
    out::say(&format!("changed key {}", key.id));
    Ok(())
}

async fn rotate(
    ledger: &Ledger,
    old: &KeyId,
    Span(overlap): Span,
    expires: Option<Expiry>,
) -> Result<(), CliError> {
    let fresh = key::generate_key()?;
    let now = SystemClock.now();
    let rotation = Rotation {
        id: fresh.key_id,
        secret_hash: SecretHash::from_bytes(fresh.secret_hash),
        overlap,
        expires_at: expires.map(|expires| expires.resolve(now)),
    };
    let (old, new) = ledger.rotate_key(old, &rotation, now).await?;
    let until = old.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    out::say(&format!("created key {} in the place of {}, which opens until {until}", new.id, old.id));
    say_secret(&fresh.text);
    Ok(())
}

fn say_secret(text: &SecretText) {
    out::say("");
    out::say(&format!("  API key  {}", text.reveal()));
    out::say("");
    out::say("It is shown this once; only its hash is stored.");
}

/// What a key's state is, in a word.
fn state(key: &Key, now: Timestamp) -> &'static str {
    match key {
        Key { revoked_at: Some(_), .. } => "revoked",
        Key { disabled_at: Some(_), .. } => "disabled",
        Key { expires_at: Some(at), .. } if *at <= now => "expired",
        _ => "active",
    }
}

async fn list(ledger: &Ledger, tenant: Option<String>) -> Result<(), CliError> {
    let tenant = match tenant {
        Some(name) => Some(open::tenant(ledger, &name).await?),
        None => None,
    };
    let tenants = ledger.tenants().await?;
    let name_of = |id| tenants.iter().find(|tenant| tenant.id == id).map_or("?", |tenant| &tenant.name);
    let now = SystemClock.now();
    let keys = ledger.keys(tenant.as_ref().map(|tenant| tenant.id)).await?;
    let mut projects: BTreeMap<ProjectId, String> = BTreeMap::new();
    for tenant in tenant.as_ref().map_or(tenants.as_slice(), std::slice::from_ref) {
        let all = ledger.projects(tenant.id).await?;
        projects.extend(all.into_iter().map(|project| (project.id, project.path)));
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let models = key.models_allowed.as_ref().map_or_else(
                || "all".to_owned(),
                |models| models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(","),
            );
            let [requests, tokens, _, concurrency, _] = limit_cells(&key.limits);
            let project = key.project_id.and_then(|id| projects.get(&id)).cloned();
            [
                key.id.to_string(),
                name_of(key.tenant_id).to_owned(),
                key.name.clone(),
                project.unwrap_or_else(|| "-".to_owned()),
                models,
                key.scopes.to_string(),
                requests,
                tokens,
                concurrency,
                state(key, now).to_owned(),
                key.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                key.created_at.to_string(),
            ]
        })
        .collect();
    let headings = [
        "KEY",
        "TENANT",
        "NAME",
        "PROJECT",
        "MODELS",
        "SCOPES",
        "REQUESTS/MIN",
        "TOKENS/MIN",
        "CONCURRENCY",
        "STATE",
        "EXPIRES",
        "CREATED",
    ];
    out::table(headings, &rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_instants_read_as_people_write_them() {
        let seconds = |seconds| Some(Expiry::After(Span(Duration::from_secs(seconds))));
        let rows = [
            ("0s", seconds(0)),
            ("90s", seconds(90)),
            ("30m", seconds(1_800)),
            ("24h", seconds(86_400)),
            ("7d", seconds(604_800)),
            ("1970-01-01T00:00:01Z", Some(Expiry::At(Timestamp::from_unix_micros(1_000_000)))),
            ("1970-01-01T01:00:01+01:00", Some(Expiry::At(Timestamp::from_unix_micros(1_000_000)))),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("+1h", None),
            ("1.5h", None),
            ("24 h", None),
            ("24", None),
            ("1w", None),
            ("1\u{e9}", None),
            ("99999999999999999999d", None),
            ("36501d", None),
            ("2027-01-31", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Expiry>().ok(), expected, "{text:?}");
        }
    }
}
