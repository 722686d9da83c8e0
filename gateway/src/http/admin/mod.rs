//! The admin API: what operators see and change, on a port of its own.
//! Never a rule of the ledger and never a tenant's key; wire forms in, ledger calls, wire forms out.
//! Started by `cli::serve` beside the port that tenants use.

mod audit;
mod call;
mod credit_notes;
mod credits;
mod document;
mod error;
mod event_form;
mod export;
mod grants;
mod guard;
mod holds;
mod invoices;
mod journals;
mod key_changes;
mod keys;
mod limits;
mod operators;
mod page;
mod parties;
mod plans;
mod projects;
mod server;
mod standing;
mod statements;
mod status;
mod stripe;
mod subscription_terms;
mod subscriptions;
mod tenants;
mod usage;
mod usage_events;
mod users;
mod webhooks;

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage as _, HttpResponse, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::AUTHORIZATION},
    middleware::{Next, from_fn},
    web,
};
use billing::{ledger::Ledger, statement::SigningKey};
use utoipa_actix_web::service_config::ServiceConfig;

use self::document::Document;
use super::ApiError;
use crate::{app::App, authenticate::OperatorPrincipal, reload::Reloader};

pub use server::serve;

/// Where every route begins.
const BASE: &str = "/admin/v1";

/// All that the admin API works on.
pub struct Admin {
    /// The running gateway.
    pub app: Arc<App>,
    /// What it changes.
    pub ledger: Ledger,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
    /// What signs statements of invoices; none: nothing is signed.
    pub statement_key: Option<SigningKey>,
    /// Who provides the service, in exports.
    pub provider: String,
}

/// Every resource. Whoever adds one here has it in the document, behind the token, and in the tests over all routes.
fn resources(routes: &mut ServiceConfig<'_>) {
    routes
        .configure(tenants::configure)
        .configure(subscriptions::configure)
        .configure(subscription_terms::configure)
        .configure(users::configure)
        .configure(projects::configure)
        .configure(keys::configure)
        .configure(key_changes::configure)
        .configure(limits::configure)
        .configure(grants::configure)
        .configure(credits::configure)
        .configure(holds::configure)
        .configure(plans::configure)
        .configure(usage::configure)
        .configure(usage_events::configure)
        .configure(parties::configure)
        .configure(export::configure)
        .configure(invoices::configure)
        .configure(standing::configure)
        .configure(credit_notes::configure)
        .configure(statements::configure)
        .configure(journals::configure)
        .configure(webhooks::configure)
        .configure(stripe::configure)
        .configure(operators::configure)
        .configure(status::configure)
        .configure(audit::configure);
}

/// Registers every route. Without a token: the document and its page, which tell nothing of tenants.
fn configure(admin: &Arc<Admin>, document: &Arc<Document>, routes: &mut web::ServiceConfig) {
    let named = |path: &str| format!("{BASE}{path}");
    routes
        .app_data(web::Data::from(Arc::clone(&admin.app)))
        .app_data(web::Data::from(Arc::clone(admin)))
        .app_data(web::Data::from(Arc::clone(document)))
        .service(only_get(&named("/openapi.json"), web::get().to(document::json)))
        .service(only_get(&named("/docs"), web::get().to(document::page)))
        .service(
            web::scope(BASE)
                .wrap(from_fn(authenticate))
                .configure(|routes| resources(&mut ServiceConfig::new(routes)))
                .default_service(web::route().to(document::no_such_operation)),
        )
        .default_service(web::route().to(document::no_such_operation));
}

fn only_get(path: &str, get: actix_web::Route) -> actix_web::Resource {
    web::resource(path).route(get).default_service(web::route().to(document::no_such_operation))
}

/// Refuses whoever is no operator, before anything of the request is looked at.
async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match operator(&request) {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        Err(error) => Ok(request.into_response(error.error_response()).map_into_right_body()),
    }
}

fn operator(request: &ServiceRequest) -> Result<OperatorPrincipal, ApiError> {
    let app = request.app_data::<web::Data<App>>().ok_or_else(error::no_state)?;
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let header = headers.next();
    if headers.next().is_some() {
        return Err(ApiError::two_keys());
    }
    let text = header.map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let operator = app.authenticator.authenticate_operator(text)?;
    let is_sending = *request.method() == Method::POST && request.path() == format!("{BASE}/usage-events");
    match (is_sending, [Method::GET, Method::HEAD].contains(request.method())) {
        (true, _) => operator.check_may_send_events()?,
        (false, true) => operator.check_may_read()?,
        (false, false) => operator.check_may_change()?,
    }
    Ok(operator)
}

/// What every handler gives.
type Answer = Result<HttpResponse, ApiError>;
