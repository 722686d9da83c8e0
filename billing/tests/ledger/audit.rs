//! The audit log: every change is noted with who, before and after, and nobody can edit the notes.
//! Never a secret in any of them.
//! Run on both databases.

use billing::{
    ledger::{Actor, ActorKind, AuditEntry, AuditQuestion, NewOperator, OperatorRole, SecretHash},
    plan::Plan,
};
use domain::{KeyId, RequestId};

use crate::{databases::Database, records::NOW};

fn anna(request_id: RequestId) -> Actor {
    Actor { kind: ActorKind::Operator, name: "anna".to_owned(), request_id: Some(request_id) }
}

async fn entries(database: &Database, question: &AuditQuestion<'_>) -> Vec<AuditEntry> {
    database.ledger.audit_page(question, 1_000).await.expect("entries")
}

on_each_database! {
    async fn changes_are_noted_with_who_and_what(database: &Database) {
        let request_id = RequestId::generate(NOW);
        let ledger = database.ledger.acting(anna(request_id));
        ledger.publish_plan(&Plan::demo().expect("the demo plan"), NOW).await.expect("published");
        let tenant = crate::records::tenant(&database.ledger, "acme", "UTC").await;
        ledger.disable_tenant(tenant.id, NOW).await.expect("disabled");
        // Doing it again changes nothing, so nothing is noted.
        ledger.disable_tenant(tenant.id, NOW).await.expect("disabled");
        let id = tenant.id.to_string();
        let question = AuditQuestion { object_id: Some(&id), ..AuditQuestion::default() };
        let found = entries(database, &question).await;
        let actions: Vec<_> = found.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["tenant.changed", "tenant.created"]);
        let [changed, created] = [&found[0], &found[1]];
        assert_eq!((changed.actor_kind.as_str(), changed.actor.as_str()), ("operator", "anna"));
        assert_eq!((changed.request_id, changed.tenant_id), (Some(request_id), Some(tenant.id)));
        let field = |entry: &Option<serde_json::Value>, name: &str| entry.as_ref().map(|row| row[name].clone());
        assert_eq!(field(&changed.before, "disabled_unix_us"), Some(serde_json::Value::Null));
        assert_eq!(field(&changed.after, "disabled_unix_us"), Some(NOW.unix_micros().into()));
        assert_eq!(field(&changed.after, "tenant_id"), Some(id.clone().into()), "ids read alike on both");
        assert!(created.before.is_none());
        assert_eq!((created.actor_kind.as_str(), created.actor.as_str()), ("system", "unknown"));
        let mine = AuditQuestion { actor: Some("anna"), before: Some(changed.sequence), ..AuditQuestion::default() };
        assert!(entries(database, &mine).await.iter().all(|entry| entry.actor == "anna"));
    }

    async fn a_change_that_fails_is_not_noted_and_numbers_have_no_gap(database: &Database) {
        let ledger = database.ledger.acting(anna(RequestId::generate(NOW)));
        let tenant = crate::records::tenant(&database.ledger, "acme", "UTC").await;
        ledger.set_tenant_plan(tenant.id, "nothing").await.expect_err("no such plan");
        let operator = |name: &'static str, number: u8| NewOperator {
            name,
            token_id: KeyId::new(format!("O{number}")).expect("an id"),
            secret_hash: SecretHash::from_bytes([number; 32]),
            role: OperatorRole::ReadOnly,
        };
        ledger.create_operator(&operator("bert", 1), NOW).await.expect("created");
        ledger.create_operator(&operator("bert", 2), NOW).await.expect_err("taken");
        ledger.create_operator(&operator("carl", 3), NOW).await.expect("created");
        // Somebody with another client leaves a trace too, and under no other's name.
        database.raw("UPDATE tenants SET zone = 'Europe/Berlin'").await.expect("allowed");
        let found = entries(database, &AuditQuestion::default()).await;
        let numbers: Vec<_> = found.iter().rev().map(|entry| entry.sequence).collect();
        let count = u64::try_from(numbers.len()).expect("few");
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        assert_eq!((found[0].action.as_str(), found[0].actor.as_str()), ("tenant.changed", "unknown"));
        let all = format!("{found:?}");
        assert!(!all.contains("secret_hash") && !all.contains(&"03".repeat(32)), "{all}");
        let few = database.ledger.audit_page(&AuditQuestion::default(), 2).await.expect("a page");
        assert_eq!(few.len(), 2);
    }

    async fn the_log_is_only_added_to(database: &Database) {
        crate::records::tenant(&database.ledger, "acme", "UTC").await;
        let before = entries(database, &AuditQuestion::default()).await;
        let statements = [
            "UPDATE audit_log SET actor = 'nobody'",
            "DELETE FROM audit_log",
            "DELETE FROM audit_log WHERE sequence = 1",
            "INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id)
             VALUES (1, 0, 'system', 'x', 'x', 'x', 'x')",
            "INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id)
             VALUES (999, 0, 'system', 'x', 'x', 'x', 'x')",
            "UPDATE ledger_counters SET value = 0 WHERE name = 'audit'",
        ];
        for statement in statements {
            assert!(database.raw(statement).await.is_err(), "{statement}");
        }
        let only = match database.is_sqlite() {
            true => "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log",
            false => "TRUNCATE audit_log",
        };
        assert!(database.raw(only).await.is_err(), "{only}");
        assert_eq!(entries(database, &AuditQuestion::default()).await, before);
    }
}
