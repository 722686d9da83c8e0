//! What settings that are good alone must keep together.
//! Never a rule about one value: its type has that.
//! Called by `load` once file and variables are one.

use std::{collections::HashSet, path::PathBuf};

use super::{
    Backend, BackendKind, BackendModel, Capability, Config, ConfigError, LimitsStore, Model, ModelSource,
    RedisUrl, Role, issuer_rules,
    sources::{Sources, field},
};

/// Where a node's API begins.
const NODE_PATH: &str = crate::node::API_PATH;

/// Errors: the first rule that is broken, with the place of a setting that breaks it.
pub(super) fn check(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    check_role(config, sources)?;
    check_energy(config, sources)?;
    check_journal(config, sources)?;
    check_limits(config, sources)?;
    issuer_rules::check(config, sources)?;
    check_stripe(config, sources)?;
    if config.models.is_empty() && config.backends.is_empty() {
        let reason = "at least one [[model]] or [[backend]] is needed".to_owned();
        return Err(sources.fault(&[field(["model"])], reason));
    }
    let mut names = HashSet::new();
    for (index, model) in config.models.iter().enumerate() {
        if !names.insert(&model.name) {
            return Err(refused(sources, index, model, &["name"], "the name is used twice"));
        }
        check_source(sources, index, model)?;
        check_step(config, sources, index, model)?;
    }
    let mut names = HashSet::new();
    for (index, backend) in config.backends.iter().enumerate() {
        let place = BackendPlace { sources, index: index.to_string(), backend };
        if !names.insert(&backend.name) {
            return Err(place.refused(&["name"], "the name is used twice"));
        }
        place.check()?;
    }
    Ok(())
}

/// One `[[backend]]` and where it stands.
struct BackendPlace<'a> {
    sources: &'a Sources,
    index: String,
    backend: &'a Backend,
}

impl BackendPlace<'_> {
    fn check(&self) -> Result<(), ConfigError> {
        let backend = self.backend;
        self.check_kind()?;
        if let Some(secret) = &backend.api_key {
            secret.read().map_err(|why| self.refused(&["api_key"], &why))?;
        }
        if let Some(file) = backend.ca_file.as_ref().filter(|file| !file.is_file()) {
            return Err(self.refused(&["ca_file"], &format!("{} is not a file", file.display())));
        }
        if backend.models.is_empty() {
            return Err(self.refused(&["model"], "at least one [[backend.model]] is needed"));
        }
        let mut names = HashSet::new();
        for (index, model) in backend.models.iter().enumerate() {
            let index = index.to_string();
            if !names.insert(&model.name) {
                let reason = format!("the model {} is there twice", model.name);
                return Err(self.refused(&["model", &index, "name"], &reason));
            }
            self.check_model(&index, model)?;
        }
        Ok(())
    }

    /// A node is opened by what a key signs, any other server by a secret.
    fn check_kind(&self) -> Result<(), ConfigError> {
        let Backend { kind, url, api_key, signing_key, .. } = self.backend;
        let (name, reason) = match (kind, signing_key) {
            (BackendKind::Openai, Some(_)) => {
                ("signing_key", "signing_key belongs to kind = \"node\"".to_owned())
            }
            (BackendKind::Openai, None) => return Ok(()),
            (BackendKind::Node, None) => {
                ("kind", "kind = \"node\" needs signing_key = { file = \"…\" }".to_owned())
            }
            (BackendKind::Node, Some(key)) if !key.file.is_file() => {
                ("signing_key", format!("{} is not a file", key.file.display()))
            }
            (BackendKind::Node, Some(_)) if api_key.is_some() => {
                ("api_key", "a node takes no api_key, only what signing_key signs".to_owned())
            }
            (BackendKind::Node, Some(_)) if !url.path.ends_with(NODE_PATH) => {
                ("url", format!("a node's url ends in {NODE_PATH}"))
            }
            (BackendKind::Node, Some(_)) => return Ok(()),
        };
        Err(self.refused(&[name], &reason))
    }

    fn check_model(&self, index: &str, model: &BackendModel) -> Result<(), ConfigError> {
        if model.capabilities.is_empty() {
            let reason = format!("the model {} needs at least one capability", model.name);
            return Err(self.refused(&["model", index, "capabilities"], &reason));
        }
        let has_embeddings = model.capabilities.contains(&Capability::Embeddings);
        if self.backend.kind == BackendKind::Node && has_embeddings {
            let reason = format!("the model {} has no embeddings on a node", model.name);
            return Err(self.refused(&["model", index, "capabilities"], &reason));
        }
        if let Some(file) = model.tokenizer.as_ref().filter(|file| !file.is_file()) {
            let reason = format!("{} is not a file", file.display());
            return Err(self.refused(&["model", index, "tokenizer"], &reason));
        }
        Ok(())
    }

    fn refused(&self, names: &[&str], reason: &str) -> ConfigError {
        let mut way = field(["backend", &self.index]);
        way.extend(names.iter().map(|name| (*name).to_owned()));
        self.sources.fault(&[way], format!("backend {}: {reason}", self.backend.name))
    }
}

/// Each role has what it needs, and nothing that it would not look at.
fn check_role(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let node = &config.node;
    let missing = |file: &&PathBuf| !file.is_file();
    let tls = node.tls.iter().flat_map(|tls| [("certificate", &tls.certificate), ("key", &tls.key)]);
    let (fields, reason) = match config.role {
        Role::All => return Ok(()),
        Role::Gateway if config.models.is_empty() => return Ok(()),
        Role::Gateway => {
            (vec![field(["model"]), field(["role"])], "role = \"gateway\" runs no [[model]]".to_owned())
        }
        Role::Engine if !config.backends.is_empty() => {
            let reason = "role = \"engine\" has no [[backend]]: gateways ask it, it asks nobody";
            (vec![field(["backend"]), field(["role"])], reason.to_owned())
        }
        Role::Engine if node.name.is_none() => {
            (vec![field(["node", "name"]), field(["role"])], "role = \"engine\" needs node.name".to_owned())
        }
        Role::Engine if node.gateway_keys.is_empty() => {
            let reason = "role = \"engine\" needs node.gateway_keys, the public keys of its gateways";
            (vec![field(["node", "gateway_keys"]), field(["role"])], reason.to_owned())
        }
        Role::Engine => {
            match (node.gateway_keys.iter().find(missing), tls.into_iter().find(|(_, file)| missing(file))) {
                (Some(file), _) => {
                    (vec![field(["node", "gateway_keys"])], format!("{} is not a file", file.display()))
                }
                (None, Some((name, file))) => {
                    (vec![field(["node", "tls", name])], format!("{} is not a file", file.display()))
                }
                (None, None) => return Ok(()),
            }
        }
    };
    Err(sources.fault(&fields, reason))
}

fn check_energy(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let (busy, idle) = (config.energy.busy_milliwatts, config.energy.idle_milliwatts);
    if busy >= idle {
        return Ok(());
    }
    let fields = ["busy_milliwatts", "idle_milliwatts"].map(|name| field(["energy", name]));
    let reason = format!("energy.busy_milliwatts ({busy}) must not be below energy.idle_milliwatts ({idle})");
    Err(sources.fault(&fields, reason))
}

fn check_journal(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let (unshipped, segment) = (config.journal.unshipped_mib_max, config.journal.segment_mib_max);
    if unshipped >= segment {
        return Ok(());
    }
    let fields = ["unshipped_mib_max", "segment_mib_max"].map(|name| field(["journal", name]));
    let reason = format!(
        "journal.unshipped_mib_max ({unshipped}) must not be below journal.segment_mib_max ({segment})"
    );
    Err(sources.fault(&fields, reason))
}

fn check_limits(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let (fields, reason) = match (config.limits.store, &config.limits.redis.url) {
        (LimitsStore::Redis, None) => {
            (vec![field(["limits", "store"])], "limits.store = \"redis\" needs limits.redis.url")
        }
        (LimitsStore::Local, Some(_)) => (
            vec![field(["limits", "redis", "url"]), field(["limits", "store"])],
            "limits.redis.url belongs to limits.store = \"redis\"",
        ),
        (LimitsStore::Redis, Some(_)) | (LimitsStore::Local, None) => return check_redis(config, sources),
    };
    Err(sources.fault(&fields, reason.to_owned()))
}

fn check_redis(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let redis = &config.limits.redis;
    let Some(file) = &redis.ca_file else { return Ok(()) };
    let reason = match (redis.url.as_ref().is_some_and(RedisUrl::is_tls), file.is_file()) {
        (true, true) => return Ok(()),
        (true, false) => format!("{} is not a file", file.display()),
        (false, _) => "limits.redis.ca_file belongs to a url that begins with rediss://".to_owned(),
    };
    Err(sources.fault(&[field(["limits", "redis", "ca_file"])], reason))
}

/// Secrets are read here, so that an empty one stops the start.
fn check_stripe(config: &Config, sources: &Sources) -> Result<(), ConfigError> {
    let stripe = &config.stripe;
    let refused = |name: &str, reason: String| Err(sources.fault(&[field(["stripe", name])], reason));
    let Some(secret_key) = &stripe.secret_key else {
        return match stripe.webhook_secrets.is_empty() && stripe.test_clock.is_none() {
            true => Ok(()),
            false => refused("secret_key", "the section stripe needs secret_key".to_owned()),
        };
    };
    let key = match secret_key.read() {
        Ok(key) => key,
        Err(why) => return refused("secret_key", format!("stripe.secret_key: {why}")),
    };
    let is_test = key.starts_with("sk_test_") || key.starts_with("rk_test_");
    if !is_test && !key.starts_with("sk_live_") && !key.starts_with("rk_live_") {
        let reason = "stripe.secret_key: a secret key of Stripe's begins with sk_live_, sk_test_, rk_live_ or rk_test_";
        return refused("secret_key", reason.to_owned());
    }
    if stripe.webhook_secrets.is_empty() {
        let reason = "stripe.webhook_secrets: at least one is needed: without it nobody learns that an invoice is paid";
        return refused("webhook_secrets", reason.to_owned());
    }
    for secret in &stripe.webhook_secrets {
        if let Err(why) = secret.read() {
            return refused("webhook_secrets", format!("stripe.webhook_secrets: {why}"));
        }
    }
    match stripe.test_clock.is_some() && !is_test {
        true => {
            refused("test_clock", "stripe.test_clock: there are test clocks with a test key only".to_owned())
        }
        false => Ok(()),
    }
}

fn check_source(sources: &Sources, index: usize, model: &Model) -> Result<(), ConfigError> {
    let (name, reason) = match (model.source, &model.path, &model.sim) {
        (ModelSource::Folder, None, _) => ("source", "source = \"folder\" needs path = \"…\"".to_owned()),
        (ModelSource::Folder, Some(path), _) if !path.is_dir() => {
            ("path", format!("{} is not a folder", path.display()))
        }
        (ModelSource::Demo | ModelSource::Sim, Some(_), _) => {
            ("path", "path belongs to source = \"folder\"".to_owned())
        }
        (ModelSource::Demo | ModelSource::Folder, _, Some(_)) => {
            ("sim", "[model.sim] belongs to source = \"sim\"".to_owned())
        }
        (ModelSource::Folder | ModelSource::Demo | ModelSource::Sim, _, _) => return Ok(()),
    };
    Err(refused(sources, index, model, &[name], &reason))
}

/// Every sequence must move in each step. What is not set is the engine's own.
fn check_step(config: &Config, sources: &Sources, index: usize, model: &Model) -> Result<(), ConfigError> {
    let engine = config.engine(model);
    let (step, sequences) = (engine.step_tokens_max, engine.sequences_max);
    if step >= sequences {
        return Ok(());
    }
    let reason = format!("step_tokens_max ({step}) must be at least sequences_max ({sequences})");
    Err(refused(sources, index, model, &["step_tokens_max", "sequences_max"], &reason))
}

fn refused(sources: &Sources, index: usize, model: &Model, names: &[&str], reason: &str) -> ConfigError {
    let index = index.to_string();
    let fields: Vec<_> = names.iter().map(|name| field(["model", &index, name])).collect();
    sources.fault(&fields, format!("model {}: {reason}", model.name))
}
