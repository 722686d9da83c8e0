//! `/admin/v1/operators`: who may ask this interface.
//! Never shows a token twice: creating answers with it, nothing else does.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::ledger::{NewOperator, Operator, OperatorRole, SecretHash};
use domain::Fault;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
};
use crate::{authenticate::key, http::ApiError};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(create).service(show).service(disable);
}

/// A person who runs this installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Operator)]
struct OperatorWire {
    /// The name the audit log shows.
    name: String,
    /// What the operator may do.
    role: RoleWire,
    /// The public half of the token, safe to log and to show; null: from before it was kept.
    #[schema(required = true)]
    token_id: Option<String>,
    /// When it was created. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// When its token stopped opening anything; null while it opens.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperatorRole)]
enum RoleWire {
    /// Read and change everything.
    Admin,
    /// Read everything.
    #[default]
    ReadOnly,
    /// Send usage events, and nothing else.
    Events,
}

impl OperatorWire {
    fn to_wire(operator: &Operator) -> Self {
        Self {
            name: operator.name.clone(),
            role: match operator.role {
                OperatorRole::Admin => RoleWire::Admin,
                OperatorRole::ReadOnly => RoleWire::ReadOnly,
                OperatorRole::Events => RoleWire::Events,
            },
            token_id: operator.token_id.as_ref().map(ToString::to_string),
            created_at: operator.created_at.to_string(),
            disabled_at: operator.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// A new operator, with the token: this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedOperator)]
struct CreatedOperatorWire {
    /// The operator.
    operator: OperatorWire,
    /// What the operator sends. Only its hash is stored.
    token: String,
}

/// An operator to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOperator)]
struct NewOperatorWire {
    /// A name that no other operator has or had.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,63}$")]
    name: String,
    /// What the operator may do.
    #[serde(default)]
    role: RoleWire,
}

/// List operators, by name, disabled ones included.
#[utoipa::path(tag = "operators", operation_id = "list_operators", params(PageQuery),
    responses((status = 200, description = "A page of operators", body = Page<OperatorWire>), ReadFailures))]
#[get("/operators")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<OperatorName>()?;
    let after = after.as_ref().map(|OperatorName(name)| name.as_str());
    let operators = call.ledger().operators_page(after, page.limit.get() + 1).await?;
    let operators = operators.iter().map(OperatorWire::to_wire).collect();
    Ok(ok(&Page::cut(operators, page.limit, |operator| operator.name.clone())))
}

/// Create an operator. The token is in this answer and in no other.
#[utoipa::path(tag = "operators", operation_id = "create_operator", request_body = NewOperatorWire,
    responses((status = 201, description = "The operator and the token", body = CreatedOperatorWire), ChangeFailures))]
#[post("/operators")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("operator.create");
    let new: NewOperatorWire = call.body(body).await?;
    let fresh = key::generate_operator_token().map_err(|error| {
        tracing::error!(error = %error, "no operator token was made");
        ApiError::new(Fault::Broken, "internal_error", "no token could be made")
    })?;
    let stored = NewOperator {
        name: &new.name,
        token_id: fresh.key_id,
        secret_hash: SecretHash::from_bytes(fresh.secret_hash),
        role: match new.role {
            RoleWire::Admin => OperatorRole::Admin,
            RoleWire::ReadOnly => OperatorRole::ReadOnly,
            RoleWire::Events => OperatorRole::Events,
        },
    };
    call.ledger().create_operator(&stored, call.now()).await?;
    let operator = named(&call, &new.name).await?;
    Ok(created(&CreatedOperatorWire {
        operator: OperatorWire::to_wire(&operator),
        token: fresh.text.reveal().to_owned(),
    }))
}

/// Show one operator.
#[utoipa::path(tag = "operators", operation_id = "show_operator",
    params(("operator" = String, Path, pattern = "^[A-Za-z0-9._@-]{1,63}$")),
    responses((status = 200, description = "The operator", body = OperatorWire), ReadFailures))]
#[get("/operators/{operator}")]
async fn show(call: Call) -> Answer {
    let OperatorName(name) = call.path("operator")?;
    Ok(ok(&OperatorWire::to_wire(&named(&call, &name).await?)))
}

/// Take another operator's token its power. Doing it twice keeps the first time; the last admin always stays.
#[utoipa::path(tag = "operators", operation_id = "disable_operator",
    params(("operator" = String, Path, pattern = "^[A-Za-z0-9._@-]{1,63}$")),
    responses((status = 200, description = "The operator as it is now", body = OperatorWire), ChangeFailures))]
#[post("/operators/{operator}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("operator.disable");
    let OperatorName(name) = call.path("operator")?;
    if name == call.operator_name() {
        let message =
            "an operator cannot disable itself: let another one do it, or use `tallygate operator disable`";
        return Err(ApiError::new(Fault::Conflict, "own_operator", message));
    }
    call.ledger().disable_operator(&name, call.now()).await?;
    Ok(ok(&OperatorWire::to_wire(&named(&call, &name).await?)))
}

/// A text that may name an operator.
struct OperatorName(String);

impl std::str::FromStr for OperatorName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
        match (1..=63).contains(&text.len()) && text.bytes().all(is_allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err("an operator's name has 1 to 63 letters, digits and . _ - @"),
        }
    }
}

async fn named(call: &Call, name: &str) -> Result<Operator, ApiError> {
    call.ledger().find_operator(name).await?.ok_or_else(|| error::missing("operator", name))
}
