//! Formats: what a spreadsheet would run is made harmless, and decimals keep every digit.
//! Never a ledger: exports over real usage are tested on both databases.
//! Run by `cargo test`.

use ::parquet::{
    basic::LogicalType,
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use bigdecimal::BigDecimal;

use super::*;

static COLUMNS: [Column; 5] = [
    Column::new("name", Kind::Text),
    Column::new("count", Kind::Count),
    Column::new("amount", Kind::Decimal),
    Column::new("is_good", Kind::Flag),
    Column::new("at", Kind::Instant),
];

fn row(name: &str, amount: &str) -> Vec<Cell> {
    let at = Cell::Instant(Timestamp::from_unix_micros(1));
    vec![Cell::Text(name.to_owned()), Cell::Count(-7), Cell::Decimal(number(amount)), Cell::Flag(true), at]
}

fn number(text: &str) -> BigDecimal {
    text.parse().expect("a decimal")
}

fn written(format: Format, rows: Vec<Vec<Cell>>) -> Result<Vec<u8>, ExportError> {
    let mut encoder = Encoder::new(format, &COLUMNS)?;
    for row in rows {
        encoder.row(row)?;
    }
    encoder.finish()?;
    Ok(encoder.take())
}

fn text(format: Format, rows: Vec<Vec<Cell>>) -> String {
    String::from_utf8(written(format, rows).expect("written")).expect("text")
}

#[test]
fn csv_is_quoted_and_runs_nothing() {
    let rows = [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("a=b", "a=b"),
        ("a,b", "\"a,b\""),
        ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("=\"x\"", "\"'=\"\"x\"\"\""),
        ("two\nlines", "\"two\nlines\""),
    ];
    for (given, expected) in rows {
        let csv = text(Format::Csv, vec![row(given, "-0.50")]);
        let expected =
            format!("name,count,amount,is_good,at\n{expected},-7,-0.5,true,1970-01-01T00:00:00.000001Z\n");
        assert_eq!(csv, expected, "{given:?}");
    }
    let empty =
        text(Format::Csv, vec![vec![Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty]]);
    assert_eq!(empty, "name,count,amount,is_good,at\n,,,,\n");
    assert_eq!(text(Format::Csv, vec![]), "name,count,amount,is_good,at\n");
}

#[test]
fn json_keeps_digits_and_the_order_of_columns() {
    let json = text(Format::JsonLines, vec![row("a\"b", "123456789012345678901234567890.000000001")]);
    let expected = "{\"name\":\"a\\\"b\",\"count\":-7,\"amount\":\"123456789012345678901234567890.000000001\",\
                    \"is_good\":true,\"at\":\"1970-01-01T00:00:00.000001Z\"}\n";
    assert_eq!(json, expected);
    assert_eq!(text(Format::JsonLines, vec![]), "");
}

#[test]
fn parquet_reads_back_in_groups() {
    let count = parquet::GROUP_ROWS * 2 + 5;
    let amounts = ["0.000000000000000001", "-12345678901234567890.5", "0", "7"];
    let rows = (0..count).map(|index| match index % 5 {
        4 => vec![Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty],
        kind => row(&format!("row {index}"), amounts[kind]),
    });
    let bytes = written(Format::Parquet, rows.collect()).expect("written");
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [10_000, 10_000, 5]);
    let schema = reader.metadata().file_metadata().schema_descr();
    assert_eq!(schema.column(2).logical_type_ref(), Some(&LogicalType::decimal(18, 38)));
    for (index, read) in reader.get_row_iter(None).expect("rows").enumerate() {
        let read = read.expect("a row");
        if index % 5 == 4 {
            assert!(read.get_string(0).is_err(), "{index}");
            continue;
        }
        assert_eq!(read.get_string(0).expect("a text"), &format!("row {index}"));
        assert_eq!((read.get_long(1).expect("a count"), read.get_bool(3).expect("a flag")), (-7, true));
        assert_eq!(read.get_timestamp_micros(4).expect("an instant"), 1);
        let digits = bigdecimal::num_bigint::BigInt::from_signed_bytes_be(
            read.get_decimal(2).expect("a decimal").data(),
        );
        assert_eq!(BigDecimal::new(digits, 18), number(amounts[index % 5]), "{index}");
    }
}

/// Amounts as Parquet has them: the decimal's digits at scale 18, and the text beside it.
fn amounts(kind: Kind, given: &[&str]) -> Result<Vec<(BigDecimal, Option<String>)>, ExportError> {
    static EXACT: [Column; 1] = [Column::new("amount", Kind::Exact)];
    static DECIMAL: [Column; 1] = [Column::new("amount", Kind::Decimal)];
    let mut encoder = Encoder::new(Format::Parquet, if kind == Kind::Exact { &EXACT } else { &DECIMAL })
        .expect("an encoder");
    for amount in given {
        encoder.row(vec![Cell::Decimal(number(amount))])?;
    }
    encoder.finish()?;
    let reader = SerializedFileReader::new(bytes::Bytes::from(encoder.take())).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows").map(|read| {
        let read = read.expect("a row");
        let digits = read.get_decimal(0).expect("a decimal").data();
        let digits = bigdecimal::num_bigint::BigInt::from_signed_bytes_be(digits);
        let text = (read.len() > 1).then(|| read.get_string(1).expect("a text").clone());
        (BigDecimal::new(digits, 18), text)
    });
    Ok(rows.collect())
}

#[test]
fn parquet_rounds_its_decimals_and_keeps_exact_amounts_as_text() {
    let rows = [
        ("-20.4115226358369247736395896", "-20.411522635836924774"),
        ("0.0000000000000000005", "0.000000000000000001"),
        ("-0.0000000000000000005", "-0.000000000000000001"),
        ("0.0000000000000000004", "0"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ];
    let given: Vec<_> = rows.iter().map(|row| row.0).collect();
    let exact = amounts(Kind::Exact, &given).expect("written");
    let rounded = amounts(Kind::Decimal, &given).expect("written");
    for (((given, expected), exact), rounded) in rows.iter().zip(&exact).zip(&rounded) {
        assert_eq!((&exact.0, &rounded.0), (&number(expected), &number(expected)), "{given}");
        assert_eq!((exact.1.as_deref(), rounded.1.as_deref()), (Some(*given), None));
    }
}

#[test]
fn digits_before_the_point_that_do_not_fit_are_refused() {
    for kind in [Kind::Exact, Kind::Decimal] {
        for amount in ["123456789012345678901", "99999999999999999999.9999999999999999995"] {
            let refused = amounts(kind, &[amount]);
            let Err(ExportError::TooManyDigits { column: "amount", decimal }) = refused else {
                panic!("{amount}: {refused:?}")
            };
            assert_eq!(number(&decimal), number(amount));
        }
    }
}

#[test]
fn rows_wait_for_at_most_one_group() {
    let mut encoder = Encoder::new(Format::Parquet, &COLUMNS).expect("an encoder");
    let (mut held, mut largest) = (0, 0);
    for index in 0..50_000 {
        encoder.row(row(&format!("row {index}"), "1.5")).expect("taken");
        held = held.max(encoder.rows_held());
        largest = largest.max(encoder.take().len());
    }
    assert_eq!(held, parquet::GROUP_ROWS - 1);
    // One group of such rows; what was taken is no longer held.
    assert!(largest < 400_000, "{largest}");
    for format in [Format::Csv, Format::JsonLines] {
        let mut encoder = Encoder::new(format, &COLUMNS).expect("an encoder");
        encoder.take();
        for index in 0..1_000 {
            encoder.row(row(&format!("row {index}"), "1.5")).expect("taken");
            assert!(encoder.take().len() < 200 && encoder.rows_held() == 0);
        }
    }
}
