//! `/admin/v1/tenants/{tenant_id}/export`: a tenant's usage records or invoice lines as one download.
//! Never all in memory: pieces are made as the client takes them, and a failure breaks the connection off.
//! Registered by `admin::resources`.

use actix_web::{
    HttpResponse, get,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    web::Bytes,
};
use billing::{
    export::{Dataset, Export, ExportError, FocusVersion, Format, Request, Whose},
    ledger::RecordFilter,
};
use domain::{KeyId, ModelName};
use futures_util::stream;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::Call,
    error::ReadFailures,
    usage::{Span, within},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(download);
}

/// What to export, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// Usage records, usage events, or lines of issued invoices.
    #[serde(default)]
    #[param(inline)]
    what: What,
    /// How. The FOCUS formats are CSV, and for invoices.
    #[serde(default)]
    #[param(inline)]
    format: FormatName,
    /// A month of the tenant's zone, as YYYY-MM. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
    /// The first instant, with `to` instead of `month`. RFC 3339.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The first instant after the span. RFC 3339.
    #[param(format = "date-time")]
    to: Option<String>,
    /// Only records of this project, and of all below it: its path or id.
    #[param(min_length = 1, max_length = 600)]
    project: Option<String>,
    /// Only records of this key.
    #[param(min_length = 1, max_length = 64)]
    key: Option<String>,
    /// Only this model.
    #[param(min_length = 1, max_length = 200)]
    model: Option<String>,
}

/// What to export.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Usage records.
    #[default]
    Usage,
    /// Usage events.
    Events,
    /// Lines of invoices whose period begins in the span, and of what became void or was credited in it.
    Invoices,
}

/// How it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
enum FormatName {
    /// CSV.
    #[default]
    #[serde(rename = "csv")]
    Csv,
    /// JSON Lines.
    #[serde(rename = "jsonl")]
    Jsonl,
    /// Parquet.
    #[serde(rename = "parquet")]
    Parquet,
    /// FOCUS 1.0 as CSV.
    #[serde(rename = "focus-1.0")]
    Focus10,
    /// FOCUS 1.2 as CSV.
    #[serde(rename = "focus-1.2")]
    Focus12,
}

impl FormatName {
    /// What, how, its media type and the end of its file's name.
    fn parts(self, what: What) -> Result<(Dataset, Format, &'static str, &'static str), ApiError> {
        let plain = match what {
            What::Usage => Dataset::Usage,
            What::Events => Dataset::Events,
            What::Invoices => Dataset::InvoiceLines,
        };
        let focus = |version| match what {
            What::Invoices => Ok(Dataset::Focus(version)),
            What::Usage | What::Events => {
                let message = "format: FOCUS is for what=invoices";
                Err(ApiError::invalid("invalid_value", "format", message))
            }
        };
        const CSV: &str = "text/csv; charset=utf-8";
        Ok(match self {
            Self::Csv => (plain, Format::Csv, CSV, "csv"),
            Self::Jsonl => (plain, Format::JsonLines, "application/x-ndjson", "jsonl"),
            Self::Parquet => (plain, Format::Parquet, "application/vnd.apache.parquet", "parquet"),
            Self::Focus10 => (focus(FocusVersion::V1_0)?, Format::Csv, CSV, "focus-1.0.csv"),
            Self::Focus12 => (focus(FocusVersion::V1_2)?, Format::Csv, CSV, "focus-1.2.csv"),
        })
    }
}

/// Download usage records or invoice lines of a month or span; docs/exports.md describes each column. A download that
/// breaks off is not whole.
#[utoipa::path(tag = "usage", operation_id = "export",
    params(("tenant_id" = String, Path, format = "uuid"), ExportQuery),
    responses((status = 200, description = "The export", body = String, content_type = "text/csv"), ReadFailures))]
#[get("/tenants/{tenant_id}/export")]
async fn download(call: Call) -> Answer {
    let ExportQuery { what, format, month, from, to, project, key, model } = call.query()?;
    let (dataset, format, media_type, ending) = format.parts(what)?;
    let parsed = |name: &'static str, error: domain::IdError| {
        ApiError::invalid("invalid_value", name, format!("{name}: {error}"))
    };
    let key = key.map(|text| text.parse::<KeyId>().map_err(|error| parsed("key", error))).transpose()?;
    let model =
        model.map(|text| text.parse::<ModelName>().map_err(|error| parsed("model", error))).transpose()?;
    let tenant = call.tenant().await?;
    let period = Span { month, from, to }.period(&tenant, call.now())?;
    let project = within(&call, &tenant, project.as_deref()).await?;
    let name = format!("{}-{}.{ending}", tenant.name, period.start().to_string().replace(':', ""));
    let request = Request {
        dataset,
        format,
        whose: Whose::Tenant(Box::new(tenant), period),
        filter: RecordFilter { project, key, model },
        provider: call.provider().to_owned(),
    };
    let mut export = Export::new(call.ledger().clone(), request).map_err(refused)?;
    // The first piece is waited for, so that what fails at once is told as a failure.
    let first = export.next().await.map_err(refused)?.unwrap_or_default();
    let rest = stream::unfold(Some(export), |state| async move {
        let mut export = state?;
        match export.next().await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some(export))),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(error = %error, "an export broke off");
                Some((Err(error), None))
            }
        }
    });
    let first = stream::iter([Ok::<_, ExportError>(Bytes::from(first))]);
    let body = Box::pin(futures_util::StreamExt::chain(first, rest));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(body))
}

fn refused(error: ExportError) -> ApiError {
    match error {
        ExportError::Ledger(error) => error.into(),
        ExportError::NotForInvoices | ExportError::NotForEvents => {
            ApiError::invalid("invalid_value", "project", error.to_string())
        }
        ExportError::TooManyDigits { .. } => {
            ApiError::invalid("invalid_value", "format", format!("format: {error}"))
        }
        ExportError::Period(_)
        | ExportError::Quantity(_)
        | ExportError::NoDecimal(_)
        | ExportError::NotTheTotal { .. }
        | ExportError::Parquet(_) => {
            tracing::error!(error = %error, "an export failed");
            ApiError::new(
                domain::Fault::Broken,
                "internal_error",
                "the export failed; the server's log says why",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Fault;

    use super::*;

    #[test]
    fn an_amount_that_parquet_does_not_hold_is_told_with_its_reason() {
        let decimal = "123456789012345678901".to_owned();
        let error = refused(ExportError::TooManyDigits { column: "exact", decimal });
        assert_eq!((error.fault(), error.param()), (Fault::Invalid, Some("format")));
        let message = error.message();
        assert!(message.contains("exact: 123456789012345678901 has more digits"), "{message}");
    }
}
