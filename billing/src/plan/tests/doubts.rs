//! Plans that are good and may not be meant: each is asked about, and the usual ones are not.
//! Never a plan that is refused.
//! Run by `cargo test`.

use super::*;

fn doubts(terms: &str) -> Vec<String> {
    let text = GOOD.replacen("version = 1", &format!("version = 1\n{terms}"), 1);
    Plan::from_text("t", &text).expect("a good plan").doubts()
}

/// As [`doubts`], with tables at the end.
fn doubts_below(tables: &str) -> Vec<String> {
    Plan::from_text("t", &format!("{GOOD}\n{tables}")).expect("a good plan").doubts()
}

fn tier(below: &str, percent: &str, more: &str) -> String {
    format!("[[slo_credit.attainment]]\nbelow = \"{below}\"\npercent = \"{percent}\"\n{more}\n")
}

#[test]
fn usual_plans_raise_none() {
    assert_eq!(doubts(""), [""; 0]);
    assert_eq!(Plan::demo().expect("the demo plan").doubts(), [""; 0]);
    let tiers = tier("99", "10", "")
        + &tier("95", "50", "")
        + &tier("97", "5", "classes = [\"batch\"]\ncharges = [\"calls\"]");
    let charge = "[[charge]]\nname = \"calls\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"1\"\nclasses = [\"batch\"]\n";
    assert_eq!(doubts_below(&format!("{charge}{tiers}")), [""; 0]);
    assert_eq!(doubts_below("[price_unit]\nname = \"credit\"\nworth = \"0.01\"\n"), [""; 0]);
}

#[test]
fn what_may_not_be_meant_is_asked_about() {
    assert_eq!(doubts("billed_reasons = []"), ["`billed_reasons` is empty: no request is ever billed"]);
    let told = doubts_below("[price_unit]\nname = \"EUR\"\nworth = \"2\"\n");
    assert_eq!(told, ["`price_unit` is called EUR as a currency is, and each is worth 2 USD"]);
    let charge = "[[charge]]\nname = \"calls\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"1\"\nmodels = []\nclasses = []\n";
    let expected = ["models", "classes"]
        .map(|list| format!("charge \"calls\": an empty list of `{list}` takes all of them, as none does"));
    assert_eq!(doubts_below(charge), expected);
    let told = doubts_below(&tier("99", "10", "classes = []"));
    assert_eq!(told, ["an attainment tier: an empty list of `classes` takes all of them, as none does"]);
    assert_eq!(doubts_below(&tier("0.0", "10", "")), ["the attainment tier below \"0\" can never be missed"]);
    let worse =
        "fewer than 99 % in time give back 50 %, and fewer than 95 % give back 10 %: the worse gives less";
    assert_eq!(doubts_below(&(tier("99", "50", "") + &tier("95", "10", ""))), [worse]);
    assert_eq!(doubts_below(&(tier("95", "10", "classes = [\"batch\"]") + &tier("99", "50", ""))), [worse]);
}

#[test]
fn what_was_published_in_a_currency_that_went_out_of_use_still_reads() {
    let old = GOOD.replacen("\"USD\"", "\"BGN\"", 1);
    assert!(Plan::from_text("t", &old).is_err());
    let plan = Plan::from_published("t", &old).expect("a good plan");
    assert_eq!((plan.currency().as_str(), plan.currency().exponent()), ("BGN", 2));
}
