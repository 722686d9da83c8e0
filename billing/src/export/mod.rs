//! Exports of usage records and invoice lines as CSV, JSON Lines, Parquet and FOCUS, piece by piece.
//! Never all at once and never a file: whoever asks takes the next piece and puts it where it belongs.
//! Called by `tallygate export`, `tallygate usage --records` and the operators' interface.

mod booked;
mod csv;
mod events;
mod fees;
mod focus;
mod json;
mod lines;
mod parquet;
mod table;
mod taxes;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::VecDeque;

use domain::{Period, TenantId, Timestamp};

pub(crate) use booked::Booked;
pub(crate) use events::event_line;
pub use focus::FocusVersion;
pub use table::{Cell, Column, Kind};
pub(crate) use usage::{Paths, usage_line};

use self::parquet::ParquetEncoder;
use crate::ledger::{
    BookingList, BookingPosition, Ledger, LedgerError, RecordFilter, RecordPosition, Tenant,
};

/// Tenants read at once.
const PAGE: usize = 50;
/// Invoices and credit notes read at once: a text of some tens of kilobytes each.
const BOOKINGS_PAGE: usize = 50;
/// Usage events read at once, of 64 KiB at most each.
const EVENTS_PAGE: usize = 200;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// Usage records, by the time they finished.
    Usage,
    /// Usage events, by their time.
    Events,
    /// Lines of issued invoices, of those that became void, and of credit notes.
    InvoiceLines,
    /// The same as charges in the columns of FOCUS.
    Focus(FocusVersion),
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With a heading line.
    Csv,
    /// One JSON object on each line; of usage records the lines that `verify` reads.
    JsonLines,
    /// Row groups, decimals as DECIMAL(38, 18), exact amounts also as text.
    Parquet,
}

/// Which month or span of whom.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Of one tenant.
    Tenant(Box<Tenant>, Period),
    /// A month, YYYY-MM, of all tenants, each in its own zone.
    All(String),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What.
    pub dataset: Dataset,
    /// How.
    pub format: Format,
    /// Whose. Of invoices, those whose period begins within; what became void and credit notes, when that was within.
    pub whose: Whose,
    /// Which records; of invoice lines only the model counts, of events none.
    pub filter: RecordFilter,
    /// Who provides the service, for FOCUS.
    pub provider: String,
}

/// Why something cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger's database failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No month, or an unknown zone.
    #[error(transparent)]
    Period(#[from] domain::PeriodError),
    /// A count that does not fit.
    #[error(transparent)]
    Quantity(#[from] domain::QuantityError),
    /// A stored amount that is none.
    #[error("{0:?} is no decimal")]
    NoDecimal(String),
    /// More digits before the point than the format holds.
    #[error(
        "{column}: {decimal} has more digits than Parquet's DECIMAL(38, 18) holds; export it as CSV or JSON Lines"
    )]
    TooManyDigits {
        /// Which column.
        column: &'static str,
        /// The amount.
        decimal: String,
    },
    /// Rows that do not add up.
    #[error("{number}: its lines add up to {sum}, and its total is {total}; it is not exported")]
    NotTheTotal {
        /// The invoice or credit note.
        number: String,
        /// The sum of the lines.
        sum: String,
        /// What is owed.
        total: String,
    },
    /// A filter that invoices know nothing of.
    #[error("invoice lines are not kept by project or key; leave these filters out")]
    NotForInvoices,
    /// A filter that usage events know nothing of.
    #[error("usage events are not chosen by project, key or model; leave these filters out")]
    NotForEvents,
    /// Parquet could not be written.
    #[error("Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

/// An export under way: a source of pieces.
pub struct Export {
    ledger: Ledger,
    request: Request,
    encoder: Encoder,
    /// Tenants whose turn comes.
    tenants: VecDeque<(Tenant, Period)>,
    /// The last tenant that was asked for. `None`: none was.
    tenants_after: Option<TenantId>,
    has_more_tenants: bool,
    current: Option<Current>,
    is_ended: bool,
    rows_held_max: usize,
}

/// The tenant whose turn it is.
struct Current {
    tenant: Tenant,
    period: Period,
    paths: Paths,
    records_after: Option<RecordPosition>,
    events_after: Option<(Timestamp, u64)>,
    bookings_after: (BookingList, Option<BookingPosition>),
}

impl Export {
    /// Begins an export. Nothing is read yet.
    ///
    /// Errors: a filter that does not fit; Parquet that cannot be begun.
    pub fn new(ledger: Ledger, request: Request) -> Result<Self, ExportError> {
        let filter = &request.filter;
        if request.dataset == Dataset::Events && *filter != RecordFilter::default() {
            return Err(ExportError::NotForEvents);
        }
        if request.dataset != Dataset::Usage && (filter.project.is_some() || filter.key.is_some()) {
            return Err(ExportError::NotForInvoices);
        }
        let encoder = Encoder::new(request.format, columns(request.dataset))?;
        let (tenants, has_more_tenants) = match &request.whose {
            Whose::Tenant(tenant, period) => (VecDeque::from([((**tenant).clone(), period.clone())]), false),
            Whose::All(_) => (VecDeque::new(), true),
        };
        Ok(Self {
            ledger,
            request,
            encoder,
            tenants,
            tenants_after: None,
            has_more_tenants,
            current: None,
            is_ended: false,
            rows_held_max: 0,
        })
    }

    /// The next piece, never an empty one. `None`: that was all.
    ///
    /// Errors: what is missing then is not to be had; the export is not whole.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        while !self.is_ended {
            if self.current.is_none() {
                self.current = self.next_tenant().await?;
            }
            match self.current.take() {
                Some(current) => {
                    self.current = match self.request.dataset {
                        Dataset::Usage => self.usage(current).await?,
                        Dataset::Events => self.events(current).await?,
                        Dataset::InvoiceLines | Dataset::Focus(_) => self.bookings(current).await?,
                    };
                }
                None => {
                    self.is_ended = true;
                    self.encoder.finish()?;
                }
            }
            let piece = self.encoder.take();
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The most rows that were ever in memory at once.
    pub fn rows_held_max(&self) -> usize {
        self.rows_held_max
    }

    async fn next_tenant(&mut self) -> Result<Option<Current>, ExportError> {
        if let (true, true, Whose::All(month)) =
            (self.tenants.is_empty(), self.has_more_tenants, &self.request.whose)
        {
            let page = self.ledger.tenants_page(self.tenants_after, PAGE).await?;
            self.has_more_tenants = page.len() == PAGE;
            self.tenants_after = page.last().map(|tenant| tenant.id);
            for tenant in page {
                let period = Period::month(month, &tenant.zone)?;
                self.tenants.push_back((tenant, period));
            }
        }
        let Some((tenant, period)) = self.tenants.pop_front() else { return Ok(None) };
        let projects = match self.request.dataset {
            Dataset::Usage => {
                self.ledger.require_attached(&period).await?;
                self.ledger.projects(tenant.id).await?
            }
            Dataset::Events => self.ledger.projects(tenant.id).await?,
            Dataset::InvoiceLines | Dataset::Focus(_) => Vec::new(),
        };
        let paths = projects.into_iter().map(|project| (project.id, project.path)).collect();
        let (records_after, events_after, bookings_after) = (None, None, (BookingList::Invoices, None));
        Ok(Some(Current { tenant, period, paths, records_after, events_after, bookings_after }))
    }

    /// A page of records. Gives the tenant back while there are more.
    async fn usage(&mut self, current: Current) -> Result<Option<Current>, ExportError> {
        let (tenant, filter) = (current.tenant.id, &self.request.filter);
        let page = self.ledger.filtered_page(tenant, &current.period, filter, current.records_after).await?;
        self.hold(page.records.len());
        for stored in &page.records {
            match self.request.format {
                Format::JsonLines => self.encoder.line(&usage_line(stored, &current.paths)),
                Format::Csv | Format::Parquet => self.encoder.row(usage::row(stored, &current.paths)?)?,
            }
        }
        Ok(page.next.map(|next| Current { records_after: Some(next), ..current }))
    }

    /// A page of usage events.
    async fn events(&mut self, current: Current) -> Result<Option<Current>, ExportError> {
        let (tenant, span) = (current.tenant.id, (current.period.start(), current.period.end()));
        let page = self.ledger.usage_events_page(tenant, span, current.events_after, EVENTS_PAGE).await?;
        self.hold(page.len());
        for (stored, hash) in &page {
            match self.request.format {
                Format::JsonLines => {
                    let line = event_line(stored, *hash, &current.paths);
                    let corrupt = |error| LedgerError::corrupt("usage event", &error);
                    self.encoder.line(&line.map_err(corrupt)?);
                }
                Format::Csv | Format::Parquet => {
                    self.encoder.row(events::row(stored, *hash, &current.paths)?)?;
                }
            }
        }
        let last = page.last().filter(|_| page.len() == EVENTS_PAGE);
        let next = last.map(|(last, _)| (last.time, last.sequence));
        Ok(next.map(|next| Current { events_after: Some(next), ..current }))
    }

    /// A page of invoices, then of what became void, then of credit notes.
    async fn bookings(&mut self, current: Current) -> Result<Option<Current>, ExportError> {
        let (list, _) = current.bookings_after;
        let span = (current.period.start(), current.period.end());
        let page =
            self.ledger.bookings_page(current.tenant.id, current.bookings_after, span, BOOKINGS_PAGE).await?;
        for booking in &page {
            let mut booked = Booked::of(booking)?;
            if matches!(self.request.dataset, Dataset::Focus(_)) {
                booked.fees = fees::fee_periods(&self.ledger, &booked.invoice).await?;
            }
            let rows = self.rows_of(&booked)?;
            self.hold(rows.len());
            for row in rows {
                self.encoder.row(row)?;
            }
        }
        let next = match page.last().filter(|_| page.len() == BOOKINGS_PAGE) {
            Some(last) => Some((list, Some(last.position))),
            None => list.next().map(|list| (list, None)),
        };
        Ok(next.map(|next| Current { bookings_after: next, ..current }))
    }

    fn rows_of(&self, booked: &Booked) -> Result<Vec<Vec<Cell>>, ExportError> {
        let model = self.request.filter.model.as_ref().map(ToString::to_string);
        let wanted =
            |index: usize| model.is_none() || booked.lines.get(index).is_some_and(|line| line.model == model);
        let rows = match self.request.dataset {
            Dataset::Focus(version) => focus::rows(booked, version, &self.request.provider)?,
            Dataset::InvoiceLines | Dataset::Usage | Dataset::Events => {
                booked.lines.iter().map(|line| lines::row(booked, line)).collect::<Result<_, _>>()?
            }
        };
        Ok(rows.into_iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, row)| row).collect())
    }

    fn hold(&mut self, rows: usize) {
        self.rows_held_max = self.rows_held_max.max(rows + self.encoder.rows_held());
    }
}

fn columns(dataset: Dataset) -> &'static [Column] {
    match dataset {
        Dataset::Usage => &usage::COLUMNS,
        Dataset::Events => &events::COLUMNS,
        Dataset::InvoiceLines => &lines::COLUMNS,
        Dataset::Focus(version) => focus::columns(version),
    }
}

/// Writes rows in one format into a buffer that is taken again and again.
enum Encoder {
    Csv(Vec<u8>),
    JsonLines(&'static [Column], Vec<u8>),
    Parquet(Box<ParquetEncoder>),
}

impl Encoder {
    fn new(format: Format, columns: &'static [Column]) -> Result<Self, ExportError> {
        Ok(match format {
            Format::Csv => {
                let mut buffer = Vec::new();
                csv::begin(&mut buffer, columns);
                Self::Csv(buffer)
            }
            Format::JsonLines => Self::JsonLines(columns, Vec::new()),
            Format::Parquet => Self::Parquet(Box::new(ParquetEncoder::new(columns)?)),
        })
    }

    fn row(&mut self, cells: Vec<Cell>) -> Result<(), ExportError> {
        match self {
            Self::Csv(buffer) => csv::row(buffer, &cells),
            Self::JsonLines(columns, buffer) => json::row(buffer, columns, &cells),
            Self::Parquet(encoder) => return encoder.row(cells),
        }
        Ok(())
    }

    /// A line that is made already; only JSON Lines have such.
    fn line(&mut self, line: &str) {
        if let Self::JsonLines(_, buffer) = self {
            buffer.extend_from_slice(line.as_bytes());
            buffer.push(b'\n');
        }
    }

    fn rows_held(&self) -> usize {
        match self {
            Self::Csv(_) | Self::JsonLines(..) => 0,
            Self::Parquet(encoder) => encoder.rows_held(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Csv(buffer) | Self::JsonLines(_, buffer) => std::mem::take(buffer),
            Self::Parquet(encoder) => encoder.take(),
        }
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        match self {
            Self::Csv(_) | Self::JsonLines(..) => Ok(()),
            Self::Parquet(encoder) => encoder.finish(),
        }
    }
}
