//! Which sections two configurations differ in, for a reload to decide what it can take over.
//! Never what they differ by: a section may hold a password.
//! Called by `reload`.

use super::Config;

/// The section that a running gateway takes over.
pub const ISSUER: &str = "issuer";
/// The section of which a running node takes over the gateways' keys.
pub const NODE: &str = "node";

impl Config {
    /// The names of the sections in which another configuration says something else.
    pub fn changed_sections(&self, other: &Self) -> Vec<&'static str> {
        // Named one by one, so that a new section cannot be forgotten here.
        let Self {
            role,
            node,
            server,
            admin,
            data,
            ledger,
            journal,
            limits,
            energy,
            slo,
            issuers,
            models,
            backends,
        } = self;
        let sections = [
            ("role", *role != other.role),
            (NODE, *node != other.node),
            ("server", *server != other.server),
            ("admin", *admin != other.admin),
            ("data", *data != other.data),
            ("ledger", *ledger != other.ledger),
            ("journal", *journal != other.journal),
            ("limits", *limits != other.limits),
            ("energy", *energy != other.energy),
            ("slo", *slo != other.slo),
            (ISSUER, *issuers != other.issuers),
            ("model", *models != other.models),
            ("backend", *backends != other.backends),
        ];
        sections.into_iter().filter_map(|(name, is_changed)| is_changed.then_some(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_by_their_section() {
        let usual = Config::default();
        assert!(usual.changed_sections(&usual.clone()).is_empty());
        let mut other = usual.clone();
        other.server.workers = 7;
        other.ledger.url = Some("postgres://somebody:secret@db.example.com/x".to_owned());
        other.models.clear();
        assert_eq!(usual.changed_sections(&other), ["server", "ledger", "model"]);
    }
}
