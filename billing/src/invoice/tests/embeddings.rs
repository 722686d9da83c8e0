//! Tokens of embeddings on invoices: input like any other, or a charge of their own, as their plan says.
//! Never a database.
//! Run by `cargo test`.

use super::*;

/// Embeddings at 0.02 for a million, of the models that are named; none: of all.
fn plan(models: &str) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    let charge = format!(
        "[[charge]]\nname = \"vectors\"\nscheme = \"unit\"\nmeter = \"embeddings_tokens\"\n{models}\
         price = \"0.02\"\nper = 1000000\n"
    );
    Plan::from_text("t", &(demo.source().to_owned() + &charge)).expect("a plan")
}

/// A million prompt tokens of text and two million of embeddings, all by the model `demo`.
fn used() -> [UsageSum; 2] {
    let text = sum("demo@1", "demo", EndReason::Completed, [10, 10, 1_000_000, 0, 0, 0]);
    let mut vectors = sum("demo@1", "demo", EndReason::Completed, [5, 5, 2_000_000, 0, 0, 0]);
    vectors.totals.embeddings_tokens = Tokens::new(2_000_000);
    [text, vectors]
}

/// Item, quantity and exact amount of each line that is owed.
fn owed(plan: &Plan) -> Vec<(String, u64, String)> {
    let period = Period::month("2026-11", "UTC").expect("a month");
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &period,
        now: DECEMBER,
        sums: &used(),
        late: &[],
        events: &[],
        events_count: 0,
        plans: &BTreeMap::from([(plan.id().clone(), plan.clone())]),
        projects: &[],
        plan_at_end: Some(plan),
        subscription: None,
    };
    let invoice = Invoice::build(&parts).expect("an invoice");
    let is_charge = |line: &&Line| line.kind == LineKind::Charge;
    let row = |line: &Line| (line.item.clone(), line.quantity, line.exact.clone());
    invoice.lines.iter().filter(is_charge).map(row).collect()
}

#[test]
fn embeddings_are_input_unless_their_plan_counts_them_apart() {
    let row = |item: &str, quantity: u64, exact: &str| (item.to_owned(), quantity, exact.to_owned());
    let apart = [row("input", 1_000_000, "0.15"), row("vectors", 2_000_000, "0.04")];
    assert_eq!(owed(&plan("")), apart);
    assert_eq!(owed(&plan("models = [\"demo\"]\n")), apart);
    // A plan of before knows no such charge, and one for another model says nothing of this one.
    let together = [row("input", 3_000_000, "0.45")];
    assert_eq!(owed(&Plan::demo().expect("the demo plan")), together);
    assert_eq!(owed(&plan("models = [\"other\"]\n")), together);
}

#[test]
fn a_plan_sells_text_or_embeddings_or_both() {
    let head = "name = \"p\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"standard\"\n";
    let charge = |meter: &str| {
        let charge =
            format!("[[charge]]\nname = \"c\"\nscheme = \"unit\"\nmeter = \"{meter}\"\nprice = \"1\"\n");
        Plan::from_text("t", &format!("{head}{charge}")).expect("a plan")
    };
    let rows = [
        // meter, text, embeddings
        ("input_tokens", true, true),
        ("cached_input_tokens", true, false),
        ("output_tokens", true, false),
        ("reasoning_tokens", true, false),
        ("embeddings_tokens", false, true),
        ("requests", true, true),
        ("energy", false, false),
    ];
    let model = "m".parse().expect("a model");
    for (meter, text, embeddings) in rows {
        let plan = charge(meter);
        assert_eq!((plan.sells(&model), plan.sells_embeddings(&model)), (text, embeddings), "{meter}");
    }
}
