//! Who is asking, and for which organization.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, value};
use crate::incoming::Incoming;
use crate::paging::page;
use crate::service::Service;
use crate::{render, token};

pub(crate) fn ping() -> Answer {
    value(StatusCode::OK, &json!({"status": "ok"}))
}

pub(crate) fn user(service: &Service) -> Answer {
    value(StatusCode::OK, &render::user(&service.world()))
}

pub(crate) fn organizations(service: &Service, incoming: &Incoming) -> Answer {
    let oddities = &service.oddities;
    let only = render::organization(&service.world().organization, oddities);
    value(
        StatusCode::OK,
        &page(vec![only], incoming, oddities.ignored_cursor),
    )
}

pub(crate) fn organization(service: &Service) -> Answer {
    let world = service.world();
    value(
        StatusCode::OK,
        &render::organization(&world.organization, &service.oddities),
    )
}

pub(crate) fn create_token(service: &Service, incoming: &Incoming) -> Answer {
    let made = format!("hm_{}", token::session());
    service.world().tokens.push(made.clone());
    value(
        StatusCode::CREATED,
        &json!({
            "token": made,
            "api_token": {
                "id": Uuid::new_v4(), "description": incoming.text("description"),
                "created_at": render::time(Timestamp::now(), &service.oddities),
                "expires_at": incoming.text("expires_at"), "last_used_at": null, "scopes": [],
            },
        }),
    )
}
