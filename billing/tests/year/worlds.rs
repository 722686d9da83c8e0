//! The worlds that are looked at: a hundred small ones, and one of fifty tenants and twelve months.
//! Never a world that is tried again: what differs once is a fault.
//! Run by `cargo test`.

use std::ops::RangeInclusive;

use crate::world::{Size, World};

/// A few tenants for a few months: about a second.
const SMALL: Size = Size { tenants: 3, days: 64, requests: 2, crashes_per_mille: 20 };
/// A year: some minutes, so that it is lived to its end where somebody asks for a seed.
const LARGE: Size = Size { tenants: 50, days: 366, requests: 2, crashes_per_mille: 2 };
/// As many tenants, until each has had its first months.
const LARGE_DAYS: i64 = 50;

/// Every kind of line, and what only some lives come to: a world without them shows nothing of them.
const KINDS: [&str; 9] = [
    "charge",
    "minimum",
    "maximum",
    "discount",
    "slo_credit",
    "not_billed",
    "energy",
    "correction",
    "invoiced",
];
const ITEMS: [&str; 7] =
    ["cached_input", "late_output", "late_requests", "attainment", "base_fee", "true_up", "trial"];

/// `3` or `1..=100`.
fn range(text: &str) -> RangeInclusive<u64> {
    let number = |text: &str| text.trim().parse().expect("seeds are given as 3 or 1..=100");
    let (first, last) = text.split_once("..=").unwrap_or((text, text));
    number(first)..=number(last)
}

/// The part of the asked seeds that one of four tests takes.
async fn live(part: u64) {
    let asked = std::env::var("TALLYGATE_YEAR_SEEDS").unwrap_or_else(|_| "1..=100".to_owned());
    let (mut found, mut documents, mut crashes) = (Vec::new(), 0, 0);
    for seed in range(&asked).filter(|seed| seed % 4 == part) {
        let mut world = World::new(seed, SMALL).await;
        if let Err(finding) = world.live().await {
            eprintln!("{finding}");
            found.push(seed);
        }
        documents += world.auditor.known.documents.len();
        crashes += world.crashes;
    }
    println!("seeds {asked}, part {part} of four: {documents} invoices, {crashes} crashes");
    assert!(found.is_empty(), "the auditor finds differences with seeds {found:?}");
}

#[tokio::test]
async fn small_worlds_are_billed_to_the_last_digit_one() {
    live(0).await;
}

#[tokio::test]
async fn small_worlds_are_billed_to_the_last_digit_two() {
    live(1).await;
}

#[tokio::test]
async fn small_worlds_are_billed_to_the_last_digit_three() {
    live(2).await;
}

#[tokio::test]
async fn small_worlds_are_billed_to_the_last_digit_four() {
    live(3).await;
}

#[tokio::test]
async fn a_year_of_fifty_tenants_is_billed_to_the_last_digit() {
    let asked = std::env::var("TALLYGATE_YEAR_SEED").ok().map(|seed| *range(&seed).start());
    let days = if asked.is_some() { LARGE.days } else { LARGE_DAYS };
    let seed = asked.unwrap_or(1);
    println!("fifty tenants for {days} days; TALLYGATE_YEAR_SEED asks for a whole year of a seed");
    let mut world = World::new(seed, Size { days, ..LARGE }).await;
    let lived = world.live().await;
    println!("seed {seed}: {} invoices, {} crashes", world.auditor.known.documents.len(), world.crashes);
    if let Err(finding) = lived {
        panic!("{finding}");
    }
    let entries = || world.auditor.known.documents.iter().flat_map(|document| &document.entries);
    for kind in KINDS {
        assert!(entries().any(|entry| entry.kind == kind), "no invoice has a line of the kind {kind}");
    }
    for item in ITEMS {
        assert!(entries().any(|entry| entry.item == item), "no invoice has a line for {item}");
    }
    let is_given_back = |kind| entries().any(|entry| entry.item == "base_fee" && entry.kind == kind);
    assert!(is_given_back("charge") && is_given_back("discount"), "fees are charged and given back");
    let documents = &world.auditor.known.documents;
    for state in ["issued", "paid", "void"] {
        assert!(documents.iter().any(|document| document.state == state), "no invoice is {state}");
    }
    assert!(documents.iter().any(|document| document.granted > 0), "grants pay");
    assert!(documents.iter().any(|document| document.credited > 0), "credit notes give back");
}
