//! Which settings two configurations differ in, and which of them a running gateway can take over.
//! Never what they differ by: a setting may hold a password.
//! Called by `reload`.

use super::{Config, Limits, Server};

/// The sections of issuers.
pub const ISSUER: &str = "issuer";
/// The section of which a running node takes over the gateways' keys.
pub const NODE: &str = "node";

/// A setting that is not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The setting, or its section.
    pub name: &'static str,
    /// Whether a running gateway takes it over; else it needs a restart.
    pub is_live: bool,
}

impl Config {
    /// The settings for which another configuration says something else, in the order of the configuration.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        // Named one by one, so that a new section cannot be forgotten here.
        let Self {
            role,
            node,
            server,
            admin,
            data,
            ledger,
            journal,
            invoicing,
            retention,
            limits,
            energy,
            slo,
            webhooks,
            log,
            statements,
            exports,
            stripe,
            issuers,
            models,
            backends,
        } = self;
        let mut changes = vec![fixed("role", *role != other.role), fixed(NODE, *node != other.node)];
        changes.extend(server.changes(&other.server));
        changes.extend([
            fixed("admin", *admin != other.admin),
            fixed("data", *data != other.data),
            fixed("ledger", *ledger != other.ledger),
            fixed("journal", *journal != other.journal),
            fixed("invoicing", *invoicing != other.invoicing),
            fixed("retention", *retention != other.retention),
        ]);
        changes.extend(limits.changes(&other.limits));
        changes.extend([
            // Engines of this process are started with it.
            fixed("energy", *energy != other.energy),
            live("slo.when_late", *slo != other.slo),
            fixed("webhooks", *webhooks != other.webhooks),
            live("log.filter", *log != other.log),
            // Read when the process starts.
            fixed("statements", *statements != other.statements),
            fixed("exports", *exports != other.exports),
            fixed("stripe", *stripe != other.stripe),
            live(ISSUER, *issuers != other.issuers),
            fixed("model", *models != other.models),
            live("backend", *backends != other.backends),
        ]);
        changes.into_iter().flatten().collect()
    }
}

impl Server {
    fn changes(&self, other: &Self) -> Vec<Option<Change>> {
        let Self {
            listen,
            workers,
            body_bytes_max,
            drain_seconds,
            request_seconds_max,
            connections_max,
            connections_per_peer_max,
            idempotency_seconds,
            stream_silence_ms_max,
            response_days,
        } = self;
        vec![
            fixed("server.listen", *listen != other.listen),
            fixed("server.workers", *workers != other.workers),
            live("server.body_bytes_max", *body_bytes_max != other.body_bytes_max),
            live("server.drain_seconds", *drain_seconds != other.drain_seconds),
            live("server.request_seconds_max", *request_seconds_max != other.request_seconds_max),
            fixed("server.connections_max", *connections_max != other.connections_max),
            fixed(
                "server.connections_per_peer_max",
                *connections_per_peer_max != other.connections_per_peer_max,
            ),
            live("server.idempotency_seconds", *idempotency_seconds != other.idempotency_seconds),
            live("server.stream_silence_ms_max", *stream_silence_ms_max != other.stream_silence_ms_max),
            live("server.response_days", *response_days != other.response_days),
        ]
    }
}

impl Limits {
    fn changes(&self, other: &Self) -> Vec<Option<Change>> {
        let Self { store, redis, on_redis_failure, gateways_expected } = self;
        vec![
            fixed("limits.store", *store != other.store),
            fixed("limits.redis", *redis != other.redis),
            live("limits.on_redis_failure", *on_redis_failure != other.on_redis_failure),
            live("limits.gateways_expected", *gateways_expected != other.gateways_expected),
        ]
    }
}

fn live(name: &'static str, is_changed: bool) -> Option<Change> {
    is_changed.then_some(Change { name, is_live: true })
}

fn fixed(name: &'static str, is_changed: bool) -> Option<Change> {
    is_changed.then_some(Change { name, is_live: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_and_say_whether_they_need_a_restart() {
        let usual = Config::default();
        assert!(usual.changes(&usual.clone()).is_empty());
        let mut other = usual.clone();
        other.server.workers = 7;
        other.server.body_bytes_max += 1;
        other.ledger.url = Some("postgres://somebody:secret@db.example.com/x".to_owned());
        other.log.filter = "debug".to_owned();
        other.models.clear();
        let found: Vec<_> =
            usual.changes(&other).into_iter().map(|change| (change.name, change.is_live)).collect();
        let expected = [
            ("server.workers", false),
            ("server.body_bytes_max", true),
            ("ledger", false),
            ("log.filter", true),
            ("model", false),
        ];
        assert_eq!(found, expected);
    }
}
