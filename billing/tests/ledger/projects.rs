//! The tree of projects: places, names, levels, what is shut, and what is spent below a node.
//! Never a key's rights.
//! Run on both databases.

use billing::{
    invoice::{self, Invoice, ProjectShare},
    ledger::{
        Ledger, LedgerError, LimitScope, Limits, NO_PROJECT, NewProject, Project, SpentQuestion, Tenant,
        UsageGroup,
    },
};
use domain::{Currency, Fault, Money, Nanos, ProjectId, Timestamp, UsageRecord};

use crate::records::{Chain, NOW, at, november, project, record, some_records, tenant};

/// A project of a tenant, below another or at the top.
pub(crate) async fn create(
    ledger: &Ledger,
    tenant: &Tenant,
    parent: Option<&Project>,
    name: &str,
) -> Result<Project, LedgerError> {
    let new = NewProject { name, parent_id: parent.map(|parent| parent.id), limits: Limits::default() };
    ledger.create_project(tenant.id, &new, NOW).await
}

on_each_database! {
    async fn projects_have_paths(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let revision = ledger.revision().await.expect("read");
        let research = create(ledger, &acme, None, "research").await.expect("created");
        let nlp = create(ledger, &acme, Some(&research), "nlp").await.expect("created");
        let sales = create(ledger, &acme, None, "sales").await.expect("created");
        assert!(ledger.revision().await.expect("read") > revision);
        // The same name elsewhere in the tree, and at another tenant.
        let other_nlp = create(ledger, &acme, Some(&sales), "nlp").await.expect("created");
        create(ledger, &zeta, None, "research").await.expect("created");
        assert_eq!((nlp.path.as_str(), nlp.depth, nlp.parent_id), ("research/nlp", 2, Some(research.id)));
        let all = ledger.projects(acme.id).await.expect("read");
        assert_eq!(all, [research.clone(), nlp.clone(), sales, other_nlp]);
        for text in ["research/nlp", &nlp.id.to_string()] {
            assert_eq!(ledger.find_project(acme.id, text).await.expect("read"), Some(nlp.clone()), "{text}");
        }
        for text in ["nlp", "research/", "/research", "research/nlp/x", ""] {
            assert_eq!(ledger.find_project(acme.id, text).await.expect("read"), None, "{text}");
        }
        assert_eq!(ledger.find_project(zeta.id, &nlp.id.to_string()).await.expect("read"), None);
    }

    async fn bad_projects_are_refused(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        create(ledger, &acme, Some(&top), "team").await.expect("created");
        let strange = create(ledger, &zeta, None, "strange").await.expect("created");
        let revision = ledger.revision().await.expect("read");
        let long = "a".repeat(64);
        let rows = [
            (None, "top", Fault::Conflict),
            (Some(&top), "team", Fault::Conflict),
            (Some(&strange), "team", Fault::Missing),
            (None, "", Fault::Invalid),
            (None, "Top", Fault::Invalid),
            (None, "a/b", Fault::Invalid),
            (None, "-a", Fault::Invalid),
            (None, "a b", Fault::Invalid),
            (None, &long, Fault::Invalid),
            (None, "01890000-0000-7000-8000-000000000000", Fault::Invalid),
        ];
        for (parent, name, fault) in rows {
            let error = create(ledger, &acme, parent, name).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{name}: {error}");
        }
        let zero = Limits { requests_per_day: Some(0), ..Limits::default() };
        let new = NewProject { name: "zero", parent_id: None, limits: zero };
        assert!(matches!(ledger.create_project(acme.id, &new, NOW).await, Err(LedgerError::BadLimit)));
        let nobody = ProjectId::generate(NOW);
        for outcome in [
            ledger.disable_project(acme.id, nobody, NOW).await,
            ledger.enable_project(acme.id, nobody).await,
            ledger.disable_project(acme.id, strange.id, NOW).await,
            ledger.set_limits(acme.id, &LimitScope::Project(strange.id), None, Limits::default()).await,
        ] {
            assert!(matches!(outcome, Err(LedgerError::Missing { .. })), "{outcome:?}");
        }
        assert_eq!(ledger.projects(acme.id).await.expect("read").len(), 2);
        assert_eq!(ledger.revision().await.expect("read"), revision, "a refusal changes nothing");
    }

    async fn there_are_eight_levels(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let mut parent = None;
        for level in 1..=8 {
            let project = create(ledger, &acme, parent.as_ref(), "a").await.expect("created");
            assert_eq!(project.depth, level);
            parent = Some(project);
        }
        let error = create(ledger, &acme, parent.as_ref(), "a").await.expect_err("too deep");
        assert!(matches!(error, LedgerError::ProjectTooDeep(8)), "{error}");
        assert_eq!(parent.expect("eight").path, "a/a/a/a/a/a/a/a");
    }

    async fn what_is_below_a_shut_project_is_shut(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let team = create(ledger, &acme, Some(&top), "team").await.expect("created");
        let later = Timestamp::from_unix_micros(NOW.unix_micros() + 1);
        ledger.disable_project(acme.id, top.id, NOW).await.expect("disabled");
        ledger.disable_project(acme.id, top.id, later).await.expect("disabled");
        let found = ledger.find_project(acme.id, "top").await.expect("read").expect("there");
        assert_eq!(found.disabled_at, Some(NOW));
        let error = create(ledger, &acme, Some(&team), "below").await.expect_err("shut");
        assert!(matches!(&error, LedgerError::Disabled { name, .. } if name == "top"), "{error}");
        ledger.enable_project(acme.id, top.id).await.expect("enabled");
        create(ledger, &acme, Some(&team), "below").await.expect("open again");
    }

    async fn spending_counts_for_every_project_above(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let left = create(ledger, &acme, Some(&top), "left").await.expect("created");
        let deep = create(ledger, &acme, Some(&left), "deep").await.expect("created");
        let right = create(ledger, &acme, Some(&top), "right").await.expect("created");
        let charged = |project: Option<&Project>, nanos| UsageRecord {
            project_id: project.map(|project| project.id),
            charge: Nanos::new(nanos),
            ..record(&acme, 1, NOW)
        };
        let mut chain = Chain::new();
        let batch = chain.add_all([
            charged(None, 1),
            charged(Some(&top), 10),
            charged(Some(&left), 100),
            charged(Some(&deep), 1_000),
            charged(Some(&right), 10_000),
        ]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let rows = [(&top, 11_110), (&left, 1_100), (&deep, 1_000), (&right, 10_000)];
        let since = Timestamp::from_unix_micros(0);
        let ask = |scope| SpentQuestion { scope, model: None, since };
        let mut questions = vec![ask(LimitScope::Tenant)];
        questions.extend(rows.iter().map(|(project, _)| ask(LimitScope::Project(project.id))));
        let answers = ledger.spent_since(acme.id, &questions).await.expect("answers");
        let expected: Vec<_> = [11_111].into_iter().chain(rows.map(|(_, nanos)| nanos)).map(Nanos::new).collect();
        assert_eq!(answers, expected);
        // Another tenant learns nothing of it.
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let answers = ledger.spent_since(zeta.id, &questions).await.expect("answers");
        assert_eq!(answers, [Nanos::ZERO; 5]);
    }

    async fn an_invoice_divides_exactly_over_projects(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let deep = create(ledger, &acme, Some(&top), "deep").await.expect("created");
        let mut chain = Chain::new();
        let batch = chain.add_all(some_records(&acme, 150).into_iter().zip(0..).map(|(record, number)| {
            let project_id = [None, Some(top.id), Some(deep.id), Some(project(9))][number % 4];
            UsageRecord { project_id, ..record }
        }));
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let invoice = invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
        // A project that the ledger does not have is named by its id.
        let paths: Vec<_> = invoice.projects.iter().map(|share| share.path.as_str()).collect();
        assert_eq!(paths, [NO_PROJECT, &project(9).to_string(), "top", "top/deep"]);
        let sum = |text: fn(&ProjectShare) -> &str| {
            invoice.projects.iter().map(|share| Money::parse(text(share), Currency::USD).expect("an amount").nanos()).sum::<i128>()
        };
        let whole = |text: &str| Money::parse(text, Currency::USD).expect("an amount").nanos();
        assert_eq!(sum(|share| &share.exact), whole(&invoice.subtotal_exact));
        assert_eq!(sum(|share| &share.displayed), whole(&invoice.subtotal));
        assert_eq!(invoice.projects.iter().map(|share| share.records).sum::<u64>(), invoice.records);
        let text = invoice.to_text();
        assert!(text.contains("By project") && text.contains("top/deep"), "{text}");
        assert!(invoice.to_html().expect("a page").contains("<td>top/deep</td>"));
        assert_eq!(Invoice::from_issued(&invoice.to_json().expect("json")).expect("it reads"), invoice);
        // Issued before its preview asked again: the same, whatever becomes of the projects.
        ledger.disable_project(acme.id, top.id, NOW).await.expect("disabled");
        let again = invoice::issue(ledger, &acme, &november("UTC"), at("2026-12-02T00:00:00Z")).await.expect("issued");
        assert_eq!(again.to_json().expect("json"), invoice.to_json().expect("json"));
        // A tenant without projects has an invoice without them, as those of before there were any: it reads back.
        let plain = invoice::preview(ledger, &zeta, &november("UTC"), NOW).await.expect("a draft");
        let json = plain.to_json().expect("json");
        assert!(!json.contains("projects"));
        assert_eq!(Invoice::from_issued(&json).expect("it reads").projects, []);
    }

    async fn usage_is_told_of_a_project_with_all_below_it(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let deep = create(ledger, &acme, Some(&top), "deep").await.expect("created");
        let side = create(ledger, &acme, None, "side").await.expect("created");
        let places = [None, Some(top.id), Some(deep.id), Some(side.id)];
        let mut chain = Chain::new();
        let records: Vec<_> = some_records(&acme, 80).into_iter().zip(0..).map(|(record, number)| {
            UsageRecord { project_id: places[number % 4], ..record }
        }).collect();
        let batch = chain.add_all(records.iter().cloned());
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let groups = [UsageGroup::Hour, UsageGroup::Day, UsageGroup::Model, UsageGroup::SloClass, UsageGroup::Reason,
                      UsageGroup::Key, UsageGroup::Project];
        for (within, requests) in [(None, 80), (Some(&top), 40), (Some(&deep), 20), (Some(&side), 20)] {
            let within = within.map(|project| project.id);
            for group in groups {
                let rows = ledger.usage_by(acme.id, &november("UTC"), group, within).await.expect("groups");
                assert_eq!(rows.iter().map(|row| row.totals.requests).sum::<u64>(), requests, "{group:?} {within:?}");
            }
            let (mut after, mut found) = (None, 0);
            loop {
                let page = ledger.records_page(acme.id, &november("UTC"), within, after, 7).await.expect("a page");
                found += page.records.len();
                let Some(next) = page.next else { break };
                after = Some(next);
            }
            assert_eq!(u64::try_from(found).expect("few"), requests, "{within:?}");
        }
        let rows = ledger.usage_by(acme.id, &november("UTC"), UsageGroup::Project, Some(top.id)).await.expect("groups");
        let named: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.project_id)).collect();
        assert_eq!(named, [("top", Some(top.id)), ("top/deep", Some(deep.id))]);
        // Another tenant has no such project, and sees nothing of its records.
        let error = ledger.usage_by(zeta.id, &november("UTC"), UsageGroup::Model, Some(top.id)).await.expect_err("none");
        assert_eq!(error.fault(), Fault::Missing);
        let page = ledger.records_page(zeta.id, &november("UTC"), Some(top.id), None, 7).await.expect("a page");
        assert!(page.records.is_empty());
    }
}
