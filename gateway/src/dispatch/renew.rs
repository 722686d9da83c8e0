//! Puts the servers elsewhere of a changed configuration in the place of those before, and keeps what is as it was.
//! Never touches what runs: an answer holds its target, whatever becomes of the route that chose it.
//! Called by `reload`.

use std::sync::{Arc, Mutex, atomic::AtomicU64};

use super::{BackendError, Backends, Remote, RemoteTarget, Route, breaker::Breaker, pace::Pace};
use crate::config;

/// What a target is doing, as far as this gateway knows.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) outstanding_tokens: AtomicU64,
    pub(super) breaker: Mutex<Breaker>,
    pub(super) pace: Mutex<Pace>,
}

/// What a server was built from.
#[derive(PartialEq)]
pub(super) struct Origin {
    /// As configured, without its models.
    configured: config::Backend,
    /// Its secret as it was read: a file may hold another one by now.
    secret: Option<String>,
    /// The key that signs for it, as it was read.
    signing_key: Option<Vec<u8>>,
    /// The certificates that vouch for it, as they were read.
    certificates: Option<Vec<u8>>,
}

/// Shows no secret.
impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl Origin {
    pub(super) fn of(config: &config::Backend) -> Self {
        Self {
            configured: config::Backend { models: Vec::new(), ..config.clone() },
            // What cannot be read is refused where it is used.
            secret: config.api_key.as_ref().and_then(|secret| secret.read().ok()),
            signing_key: config.signing_key.as_ref().and_then(|key| std::fs::read(&key.file).ok()),
            certificates: config.ca_file.as_ref().and_then(|file| std::fs::read(file).ok()),
        }
    }
}

/// Servers elsewhere before a change and after it.
#[derive(Debug)]
pub struct Renewed {
    /// What serves from now on.
    pub backends: Backends,
    /// Servers that were not there before, or not as they are now.
    pub added: Vec<Arc<Remote>>,
    /// Servers that are no longer asked.
    pub removed: Vec<Arc<Remote>>,
}

impl Backends {
    /// The same engines, with the servers elsewhere that a configuration names.
    ///
    /// A server whose section and secret are as they were is the same one: its connections, its health, and what its
    /// models have to do. So is a model whose section is as it was; one that changed at such a server keeps its load.
    /// Errors: secrets, certificates or tokenizers that cannot be read; then nothing has changed.
    pub fn renewed(&self, configured: &[config::Backend]) -> Result<Renewed, BackendError> {
        let before = self.remotes();
        let mut targets = Vec::new();
        for backend in configured {
            for target in Remote::build(backend)? {
                targets.push(self.kept(target));
            }
        }
        let mut backends = Self::default();
        for route in self.all().filter(|route| route.engine.is_some()) {
            backends.add(Route { remotes: None, ..route.clone() });
        }
        backends.add_remotes(&targets);
        for (model, route) in &mut backends.by_model {
            let before = self.find(model).and_then(|route| route.remotes.as_ref());
            if let (Some(now), Some(before)) = (&mut route.remotes, before) {
                *now = Arc::new(now.going_on_from(before));
            }
        }
        let after = backends.remotes();
        let missing_in = |others: &[Arc<Remote>], remote: &Arc<Remote>| {
            !others.iter().any(|other| Arc::ptr_eq(other, remote))
        };
        Ok(Renewed {
            added: after.iter().filter(|remote| missing_in(&before, remote)).cloned().collect(),
            removed: before.iter().filter(|remote| missing_in(&after, remote)).cloned().collect(),
            backends,
        })
    }

    /// A target as it was built, or what it is already known as.
    fn kept(&self, mut built: Arc<RemoteTarget>) -> Arc<RemoteTarget> {
        let targets = || self.all().flat_map(Route::targets);
        let is_same = |known: &&Arc<RemoteTarget>| known.remote.origin == built.remote.origin;
        let Some(remote) = targets().find(is_same).map(|known| Arc::clone(&known.remote)) else {
            return built;
        };
        let known = targets().find(|known| Arc::ptr_eq(&known.remote, &remote) && known.model == built.model);
        if let Some(known) = known.filter(|known| known.configured == built.configured) {
            return Arc::clone(known);
        }
        // It was just built, so nobody else holds it.
        if let Some(built) = Arc::get_mut(&mut built) {
            built.remote = remote;
            if let Some(known) = known.filter(|known| known.name_there == built.name_there) {
                built.load = Arc::clone(&known.load);
            }
        }
        built
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use domain::ModelName;

    use super::*;

    /// Backends of the form `[[backend]]` with these lines each.
    fn configured(texts: &[&str]) -> Vec<config::Backend> {
        let sections = texts.iter().map(|text| format!("[[backend]]\nkind = \"openai\"\n{text}\n"));
        let text: String = sections.collect();
        toml::from_str::<config::Config>(&text).expect("a configuration").backends
    }

    fn lines(name: &str, more: &str, models: &[(&str, u32)]) -> String {
        let models = models.iter().map(|(model, weight)| {
            format!("[[backend.model]]\nname = \"{model}\"\ncontext_tokens_max = 100\nweight = {weight}\n")
        });
        let models: String = models.collect();
        format!("name = \"{name}\"\nurl = \"http://127.0.0.1:9/{name}\"\n{more}\n{models}")
    }

    fn target(backends: &Backends, model: &str, remote: &str) -> Arc<RemoteTarget> {
        let route = backends.find(&ModelName::new(model).expect("a name")).expect("a route");
        let target = route.targets().find(|target| &*target.remote.name == remote);
        Arc::clone(target.expect("a target"))
    }

    fn names(remotes: &[Arc<Remote>]) -> Vec<&str> {
        remotes.iter().map(|remote| &*remote.name).collect()
    }

    #[test]
    fn what_is_as_it_was_goes_on_as_it_was() {
        let first = configured(&[
            &lines("a", "", &[("x", 100), ("y", 100)]),
            &lines("b", "api_key = \"one\"", &[("x", 100)]),
            &lines("c", "", &[("z", 100)]),
        ]);
        let start = Backends::default().renewed(&first).expect("built");
        assert_eq!(names(&start.added), ["a", "b", "c"]);
        let now = Instant::now();
        let (before, from) = (start.backends, |backends: &Backends| {
            [("x", "a"), ("y", "a"), ("x", "b")].map(|(model, remote)| target(backends, model, remote))
        });
        let [x_at_a, y_at_a, x_at_b] = from(&before);
        let running: Vec<_> = [&x_at_a, &y_at_a, &x_at_b].map(|target| target.begin(7, now)).into();
        // At a, the weight of y changes; b gets another key; c goes and d comes.
        let second = configured(&[
            &lines("a", "", &[("x", 100), ("y", 50)]),
            &lines("b", "api_key = \"two\"", &[("x", 100)]),
            &lines("d", "", &[("z", 100)]),
        ]);
        let renewed = before.renewed(&second).expect("renewed");
        assert_eq!((names(&renewed.added), names(&renewed.removed)), (vec!["b", "d"], vec!["b", "c"]));
        let [new_x_at_a, new_y_at_a, new_x_at_b] = from(&renewed.backends);
        assert!(Arc::ptr_eq(&x_at_a, &new_x_at_a), "nothing changed for it");
        assert!(Arc::ptr_eq(&y_at_a.remote, &new_y_at_a.remote), "the server is the same");
        let outstanding = [&new_x_at_a, &new_y_at_a, &new_x_at_b].map(|target| target.outstanding_tokens());
        assert_eq!((new_y_at_a.weight, outstanding), (50, [7, 7, 0]));
        drop(running);
        assert_eq!(new_y_at_a.outstanding_tokens(), 0, "what ran before the change gives back what it took");
        // Nothing changes: nothing is built anew.
        let same = renewed.backends.renewed(&second).expect("renewed");
        assert!(same.added.is_empty() && same.removed.is_empty());
    }

    #[test]
    fn another_secret_in_the_same_file_makes_another_server() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "one").expect("written");
        let key = format!("api_key = {{ file = \"{}\" }}", file.path().display());
        let configured = configured(&[&lines("a", &key, &[("x", 100)])]);
        let first = Backends::default().renewed(&configured).expect("built").backends;
        assert!(first.renewed(&configured).expect("renewed").added.is_empty());
        std::fs::write(file.path(), "two").expect("written");
        assert_eq!(names(&first.renewed(&configured).expect("renewed").added), ["a"]);
        assert!(!format!("{:?}", first.remotes()).contains("two"));
        std::fs::write(file.path(), "").expect("written");
        assert!(first.renewed(&configured).is_err(), "and none makes an error");
    }
}
