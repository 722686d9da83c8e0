//! Rows as Parquet: row groups of a bounded number of rows, written out one after another.
//! Never more in memory than one row group, and what the file's end says of the groups before it.
//! Called by `Encoder`.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bigdecimal::{BigDecimal, RoundingMode, num_bigint::BigInt};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{
        BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
    },
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};

use super::{
    ExportError,
    table::{Cell, Column, Kind, plain},
};

/// Rows in a row group: ten to twenty megabytes, and what readers like.
pub(super) const GROUP_ROWS: usize = 10_000;
/// Bytes of a decimal: 38 digits fit, as most readers take.
const DECIMAL_BYTES: usize = 16;
/// Digits of a decimal.
const DECIMAL_DIGITS: usize = 38;
/// Digits after its point.
const DECIMAL_SCALE: i64 = 18;

/// What was written and not taken yet.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file.
pub(super) struct ParquetEncoder {
    columns: &'static [Column],
    sink: Sink,
    writer: Option<SerializedFileWriter<Sink>>,
    rows: Vec<Vec<Cell>>,
}

impl ParquetEncoder {
    pub(super) fn new(columns: &'static [Column]) -> Result<Self, ExportError> {
        let sink = Sink::default();
        let fields = columns.iter().flat_map(fields).map(|field| field.map(Arc::new));
        let schema =
            Type::group_type_builder("row").with_fields(fields.collect::<Result<_, _>>()?).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("tallygate".to_owned())
            .build();
        let writer = SerializedFileWriter::new(sink.clone(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { columns, sink, writer: Some(writer), rows: Vec::new() })
    }

    /// Rows that wait for their group.
    pub(super) fn rows_held(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) -> Result<(), ExportError> {
        self.rows.push(cells);
        if self.rows.len() == GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    /// What was written since this was last asked.
    pub(super) fn take(&self) -> Vec<u8> {
        self.sink.take()
    }

    pub(super) fn finish(&mut self) -> Result<(), ExportError> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        if let Some(writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut group = writer.next_row_group()?;
        for (index, column) in self.columns.iter().enumerate() {
            let cells: Vec<&Cell> = self.rows.iter().filter_map(|row| row.get(index)).collect();
            write_column(&mut group, column, &cells)?;
        }
        group.close()?;
        self.rows.clear();
        Ok(())
    }
}

/// What a column is in the file: one field, or of exact amounts a decimal and their digits.
fn fields(column: &Column) -> Vec<Result<Type, ParquetError>> {
    match column.kind {
        Kind::Exact => {
            let digits = format!("{}_text", column.name);
            vec![field(column.name, Kind::Decimal), field(&digits, Kind::Text)]
        }
        Kind::Text | Kind::Count | Kind::Decimal | Kind::Flag | Kind::Instant => {
            vec![field(column.name, column.kind)]
        }
    }
}

fn field(name: &str, kind: Kind) -> Result<Type, ParquetError> {
    let of = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    match kind {
        Kind::Text => of(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build(),
        Kind::Count => of(Physical::INT64).with_logical_type(Some(LogicalType::integer(64, true))).build(),
        Kind::Flag => of(Physical::BOOLEAN).build(),
        Kind::Instant => of(Physical::INT64)
            .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            .build(),
        Kind::Decimal | Kind::Exact => {
            let (scale, digits, length) = decimal_form()?;
            of(Physical::FIXED_LEN_BYTE_ARRAY)
                .with_length(length)
                .with_logical_type(Some(LogicalType::decimal(scale, digits)))
                .with_precision(digits)
                .with_scale(scale)
                .build()
        }
    }
}

/// Scale, digits and bytes as the schema has them.
fn decimal_form() -> Result<(i32, i32, i32), ParquetError> {
    let small = |number: i64| i32::try_from(number).map_err(|error| ParquetError::General(error.to_string()));
    let of = |number: usize| i32::try_from(number).map_err(|error| ParquetError::General(error.to_string()));
    Ok((small(DECIMAL_SCALE)?, of(DECIMAL_DIGITS)?, of(DECIMAL_BYTES)?))
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    column: &Column,
    cells: &[&Cell],
) -> Result<(), ExportError> {
    match column.kind {
        Kind::Text => values::<ByteArrayType>(group, cells, |cell| match cell {
            Cell::Text(text) => Ok(Some(ByteArray::from(text.clone().into_bytes()))),
            Cell::Empty | Cell::Count(_) | Cell::Decimal(_) | Cell::Flag(_) | Cell::Instant(_) => Ok(None),
        }),
        Kind::Count => values::<Int64Type>(group, cells, |cell| match cell {
            Cell::Count(number) => Ok(Some(*number)),
            Cell::Empty | Cell::Text(_) | Cell::Decimal(_) | Cell::Flag(_) | Cell::Instant(_) => Ok(None),
        }),
        Kind::Instant => values::<Int64Type>(group, cells, |cell| match cell {
            Cell::Instant(at) => Ok(Some(at.unix_micros())),
            Cell::Empty | Cell::Text(_) | Cell::Count(_) | Cell::Decimal(_) | Cell::Flag(_) => Ok(None),
        }),
        Kind::Flag => values::<BoolType>(group, cells, |cell| match cell {
            Cell::Flag(flag) => Ok(Some(*flag)),
            Cell::Empty | Cell::Text(_) | Cell::Count(_) | Cell::Decimal(_) | Cell::Instant(_) => Ok(None),
        }),
        Kind::Decimal => decimals(group, column, cells),
        Kind::Exact => {
            decimals(group, column, cells)?;
            values::<ByteArrayType>(group, cells, |cell| match cell {
                Cell::Decimal(decimal) => Ok(Some(ByteArray::from(plain(decimal).into_bytes()))),
                Cell::Empty | Cell::Text(_) | Cell::Count(_) | Cell::Flag(_) | Cell::Instant(_) => Ok(None),
            })
        }
    }
}

fn decimals(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    column: &Column,
    cells: &[&Cell],
) -> Result<(), ExportError> {
    values::<FixedLenByteArrayType>(group, cells, |cell| match cell {
        Cell::Decimal(decimal) => fixed(column, decimal).map(Some),
        Cell::Empty | Cell::Text(_) | Cell::Count(_) | Cell::Flag(_) | Cell::Instant(_) => Ok(None),
    })
}

fn values<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    cells: &[&Cell],
    value: impl Fn(&Cell) -> Result<Option<T::T>, ExportError>,
) -> Result<(), ExportError> {
    let all: Vec<Option<T::T>> = cells.iter().map(|cell| value(cell)).collect::<Result<_, _>>()?;
    let levels: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = all.into_iter().flatten().collect();
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(&present, Some(&levels), None)?;
        column.close()?;
    }
    Ok(())
}

/// A decimal in two's complement, the first byte first. What is beyond the scale is rounded, a half away from zero.
///
/// Errors: more digits before the point than fit.
fn fixed(column: &Column, decimal: &BigDecimal) -> Result<FixedLenByteArray, ExportError> {
    let scaled = decimal.with_scale_round(DECIMAL_SCALE, RoundingMode::HalfUp);
    let (digits, _): (BigInt, i64) = scaled.into_bigint_and_exponent();
    if digits.magnitude().to_string().len() > DECIMAL_DIGITS {
        return Err(ExportError::TooManyDigits { column: column.name, decimal: plain(decimal) });
    }
    let short = digits.to_signed_bytes_be();
    let sign = if short.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = vec![sign; DECIMAL_BYTES.saturating_sub(short.len())];
    bytes.extend_from_slice(&short);
    Ok(FixedLenByteArray::from(bytes))
}
