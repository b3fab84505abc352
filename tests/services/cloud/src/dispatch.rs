//! From a request to its handler, in the server's order of checks.

use std::sync::Arc;

use hyper::StatusCode;

use crate::answer::{self, Answer};
use crate::api;
use crate::error::Refused;
use crate::incoming::{Incoming, accepts_json};
use crate::operation::Operation;
use crate::service::Service;
use crate::stream;

/// Answers a request that is routed and whose body has been read.
pub(crate) fn dispatch(service: &Arc<Service>, incoming: &Incoming) -> Answer {
    let operation = incoming.route.operation;
    if operation == Operation::StreamJobLogs {
        return stream::open(service, incoming);
    }
    if operation == Operation::Healthz {
        return answer::text(StatusCode::OK, "ok");
    }
    if operation == Operation::Dashboard {
        return api::login::dashboard(service, incoming);
    }
    if !accepts_json(&incoming.headers) {
        return answer::fallback(StatusCode::NOT_ACCEPTABLE);
    }
    let done = authorize(service, incoming).and_then(|()| handle(service, incoming));
    done.unwrap_or_else(|refused| answer::envelope(&refused, &incoming.request_id))
}

fn authorize(service: &Service, incoming: &Incoming) -> Result<(), Refused> {
    if incoming.route.operation.is_anonymous() {
        return Ok(());
    }
    let bearer = incoming.bearer().ok_or_else(Refused::unauthorized)?;
    let world = service.world();
    if !world.tokens.iter().any(|token| token == bearer) {
        return Err(Refused::unauthorized());
    }
    let org = incoming.route.parameter("org");
    if !org.is_empty() && org != world.organization.slug {
        return Err(Refused::not_found("organization"));
    }
    Ok(())
}

fn handle(service: &Arc<Service>, incoming: &Incoming) -> Result<Answer, Refused> {
    use Operation as O;
    match incoming.route.operation {
        O::Ping => Ok(api::account::ping()),
        O::CliClaim => api::login::claim(service, incoming),
        O::CliRedeem => api::login::redeem(service, incoming),
        O::CliCode => Ok(api::login::code(service)),
        O::CliTransfer => Ok(api::login::transfer(service, incoming)),
        O::GetCurrentUser => Ok(api::account::user(service)),
        O::CreateApiToken => Ok(api::account::create_token(service, incoming)),
        O::ListOrganizations => Ok(api::account::organizations(service, incoming)),
        O::GetOrganization => Ok(api::account::organization(service)),
        O::ListPipelines => Ok(api::pipelines::list(service, incoming)),
        O::CreatePipeline => api::pipelines::create(service, incoming),
        O::GetPipeline => api::pipelines::get(service, incoming),
        O::ListBuilds => api::builds::list(service, incoming),
        O::CreateBuild => api::submit::by_slug(service, incoming),
        O::CreateBuildBySource => api::submit::by_source(service, incoming),
        O::GetBuild => api::builds::get(service, incoming),
        O::CancelBuild => api::builds::cancel(service, incoming),
        O::GetBuildLogToken => api::builds::log_token(service, incoming),
        O::ListJobs => api::jobs::list(service, incoming),
        O::GetJob => api::jobs::get(service, incoming),
        O::GetBillingBalance => Ok(api::billing::balance(service)),
        O::ListBillingTransactions => Ok(api::billing::transactions(service, incoming)),
        O::GetBillingUsage => api::billing::usage(service, incoming),
        O::CreateCheckout => api::billing::checkout(service, incoming),
        O::RedeemCoupon => api::billing::redeem(service, incoming),
        O::StreamJobLogs | O::Healthz | O::Dashboard => Err(Refused::not_found("job")),
    }
}
