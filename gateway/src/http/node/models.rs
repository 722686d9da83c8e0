//! What a node runs and whether it serves: `/engine/v1/models`, `/readyz`, `/healthz`.
//! Never tells strangers more than whether each model works.
//! Called through the node's table of routes.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::node::Node;

/// The process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether requests would be served now, part by part.
pub(super) async fn readyz(node: web::Data<Node>) -> HttpResponse {
    let (is_ready, parts) = node.readiness();
    let parts: Map<_, _> = parts.into_iter().map(|(name, state)| (name, Value::from(state))).collect();
    let body = json!({"status": if is_ready { "ready" } else { "not_ready" }, "parts": parts});
    match is_ready {
        true => HttpResponse::Ok().json(body),
        false => HttpResponse::ServiceUnavailable().json(body),
    }
}

/// Every model with what a gateway may want to know of it, and where the energy of its device went since the start:
/// what the meter showed is what requests got and what it took at rest, to the millijoule.
pub(super) async fn list(node: web::Data<Node>) -> HttpResponse {
    let created = node.started_at.unix_micros().div_euclid(1_000_000);
    let model = |model: &crate::node::NodeModel| {
        let (info, status) = (model.engine.info(), model.engine.status());
        json!({
            "id": model.name,
            "object": "model",
            "created": created,
            "owned_by": "tallygate",
            "max_model_len": info.context_tokens_max,
            "energy_source": info.energy_source,
            "energy": {
                "meter_mj": status.meter_total,
                "requests_mj": status.requests_total,
                "idle_mj": status.idle_total,
            },
        })
    };
    let data: Vec<Value> = node.models.iter().map(model).collect();
    HttpResponse::Ok().json(json!({"object": "list", "node": node.name, "data": data}))
}
