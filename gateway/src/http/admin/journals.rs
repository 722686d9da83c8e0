//! `/admin/v1/journals`: how far each gateway's records have come.
//! Never a record: those are listed by tenant.
//! Registered by `admin::resources`.

use actix_web::get;
use billing::ledger::{Complete, JournalState};
use domain::JournalId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ReadFailures,
    page::{Page, PageQuery},
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list);
}

/// A gateway's journal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Journal)]
struct JournalWire {
    /// Which.
    #[schema(format = "uuid")]
    id: String,
    /// The last record that the ledger has of it; 0 before the first.
    sequence: u64,
    /// `open`: its gateway runs, or has died. `complete`: it has stopped, and all its records are in the ledger.
    state: String,
    /// Every record that ended before this instant is in the ledger; null: not known, or all of them. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    complete_before: Option<String>,
}

impl JournalWire {
    fn to_wire(JournalState { id, sequence, complete }: JournalState) -> Self {
        let (state, complete_before) = match complete {
            Complete::Unknown => ("open", None),
            Complete::Before(at) => ("open", Some(at.to_string())),
            Complete::ForGood => ("complete", None),
        };
        Self { id: id.to_string(), sequence, state: state.to_owned(), complete_before }
    }
}

/// List the journals that the ledger knows. A month is issued once all of them are complete up to its end.
#[utoipa::path(tag = "invoices", operation_id = "list_journals", params(PageQuery),
    responses((status = 200, description = "A page of journals", body = Page<JournalWire>), ReadFailures))]
#[get("/journals")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<JournalId>()?;
    let journals = call.ledger().journals_page(after, page.limit.get() + 1).await?;
    let journals = journals.into_iter().map(JournalWire::to_wire).collect();
    Ok(ok(&Page::cut(journals, page.limit, |journal| journal.id.clone())))
}
