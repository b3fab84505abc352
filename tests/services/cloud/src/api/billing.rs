//! Credits. Not part of the description; the shapes are those of the published clients.

use hyper::StatusCode;
use jiff::{Timestamp, civil::Date};
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, value};
use crate::error::Refused;
use crate::incoming::Incoming;
use crate::paging::page;
use crate::render;
use crate::service::Service;
use crate::world::Transaction;

/// The coupon that is good, once.
const COUPON: &str = "WELCOME";
const COUPON_CENTS: i64 = 500;

pub(crate) fn balance(service: &Service) -> Answer {
    let cents = service.world().organization.balance_cents;
    value(StatusCode::OK, &json!({"balance_cents": cents}))
}

pub(crate) fn transactions(service: &Service, incoming: &Incoming) -> Answer {
    let world = service.world();
    let newest = world.organization.transactions.iter().rev();
    let all = newest.map(|entry| render::transaction(entry, &service.oddities));
    let page = page(all.collect(), incoming, service.oddities.ignored_cursor);
    value(StatusCode::OK, &page)
}

/// What jobs took between two days.
pub(crate) fn usage(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let day = |name| {
        let day = incoming
            .query(name)
            .and_then(|day| day.parse::<Date>().ok());
        day.ok_or_else(|| Refused::invalid("usage_window_invalid", "from and to are days"))
    };
    let (from, to) = (day("from")?, day("to")?);
    let world = service.world();
    let jobs = world
        .organization
        .pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.builds)
        .flat_map(|build| &build.jobs);
    let seconds: i64 = jobs
        .filter_map(|job| Some((job.started_at?, job.finished_at?)))
        .filter(|(started, _)| {
            let day = jiff::tz::Offset::UTC.to_datetime(*started).date();
            (from..=to).contains(&day)
        })
        .map(|(started, finished)| started.duration_until(finished).as_secs().max(1))
        .sum();
    Ok(value(
        StatusCode::OK,
        &json!({
            "cpu_seconds": seconds, "memory_gb_seconds": 8 * seconds,
            "disk_gb_seconds": 10 * seconds, "total_cents": seconds / 60,
        }),
    ))
}

pub(crate) fn checkout(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let cents = incoming
        .body
        .as_ref()
        .and_then(|body| body["amount_cents"].as_i64());
    match cents {
        Some(cents @ 100..=1_000_000) => {
            let url = format!(
                "{}/checkout/{}?cents={cents}",
                service.origin(),
                Uuid::new_v4()
            );
            Ok(value(StatusCode::OK, &json!({"checkout_url": url})))
        }
        _ => Err(Refused::invalid(
            "amount_invalid",
            "amount_cents must be between 100 and 1000000",
        )),
    }
}

pub(crate) fn redeem(service: &Service, incoming: &Incoming) -> Result<Answer, Refused> {
    let mut world = service.world();
    let organization = &mut world.organization;
    let taken = |entry: &Transaction| entry.source == "coupon_redemption";
    if incoming.text("code") != Some(COUPON) || organization.transactions.iter().any(taken) {
        return Err(Refused::invalid(
            "coupon_invalid",
            "This coupon is unknown, expired, or already used.",
        ));
    }
    organization.balance_cents += COUPON_CENTS;
    organization.transactions.push(Transaction {
        id: Uuid::new_v4(),
        amount_cents: COUPON_CENTS,
        source: "coupon_redemption",
        description: Some(COUPON.to_owned()),
        created_at: Timestamp::now(),
    });
    let balance = organization.balance_cents;
    Ok(value(
        StatusCode::OK,
        &json!({"credit_cents": COUPON_CENTS, "balance_cents": balance}),
    ))
}
