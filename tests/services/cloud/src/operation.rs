//! Which request means what.

use hyper::Method;

/// What a client may ask for; named as in `openapi.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the description's own names")]
pub enum Operation {
    Healthz,
    Dashboard,
    Ping,
    CliClaim,
    CliRedeem,
    CliCode,
    CliTransfer,
    GetCurrentUser,
    CreateApiToken,
    ListOrganizations,
    GetOrganization,
    ListPipelines,
    CreatePipeline,
    GetPipeline,
    ListBuilds,
    CreateBuild,
    CreateBuildBySource,
    GetBuild,
    CancelBuild,
    GetBuildLogToken,
    ListJobs,
    GetJob,
    StreamJobLogs,
    GetBillingBalance,
    ListBillingTransactions,
    GetBillingUsage,
    CreateCheckout,
    RedeemCoupon,
}

impl Operation {
    const ALL: [(Self, &'static str); 28] = [
        (Self::Healthz, "healthz"),
        (Self::Dashboard, "dashboard"),
        (Self::Ping, "ping"),
        (Self::CliClaim, "cliClaim"),
        (Self::CliRedeem, "cliRedeem"),
        (Self::CliCode, "cliCode"),
        (Self::CliTransfer, "cliTransfer"),
        (Self::GetCurrentUser, "getCurrentUser"),
        (Self::CreateApiToken, "createApiToken"),
        (Self::ListOrganizations, "listOrganizations"),
        (Self::GetOrganization, "getOrganization"),
        (Self::ListPipelines, "listPipelines"),
        (Self::CreatePipeline, "createPipeline"),
        (Self::GetPipeline, "getPipeline"),
        (Self::ListBuilds, "listBuilds"),
        (Self::CreateBuild, "createBuild"),
        (Self::CreateBuildBySource, "createBuildBySource"),
        (Self::GetBuild, "getBuild"),
        (Self::CancelBuild, "cancelBuild"),
        (Self::GetBuildLogToken, "getBuildLogToken"),
        (Self::ListJobs, "listJobs"),
        (Self::GetJob, "getJob"),
        (Self::StreamJobLogs, "streamJobLogs"),
        (Self::GetBillingBalance, "getBillingBalance"),
        (Self::ListBillingTransactions, "listBillingTransactions"),
        (Self::GetBillingUsage, "getBillingUsage"),
        (Self::CreateCheckout, "createCheckout"),
        (Self::RedeemCoupon, "redeemCoupon"),
    ];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(operation, _)| *operation == self);
        known.map_or("", |(_, name)| name)
    }

    /// Returns the operation of a name.
    pub fn named(name: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, known)| *known == name)?;
        Some(known.0)
    }

    /// Returns true for what needs no bearer.
    pub(crate) fn is_anonymous(self) -> bool {
        matches!(
            self,
            Self::Healthz
                | Self::Dashboard
                | Self::Ping
                | Self::CliClaim
                | Self::CliRedeem
                | Self::StreamJobLogs
        )
    }
}

/// A request that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) operation: Operation,
    /// 0 or 1; none outside the versioned paths.
    pub(crate) version: Option<u8>,
    /// Decoded, in the order of the path.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl Route {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Finds what a request means; none for what the service does not route.
pub(crate) fn route(method: &Method, path: &str) -> Option<Route> {
    let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (version, rest) = match parts.as_slice() {
        ["healthz"] => return plain(method, Operation::Healthz),
        ["cli-login"] => return plain(method, Operation::Dashboard),
        ["api", version, rest @ ..] => (number(version)?, rest),
        [version, "jobs", job, "logs"] if *method == Method::GET => {
            return Some(Route {
                operation: Operation::StreamJobLogs,
                version: Some(number(version)?),
                parameters: vec![("job_id", (*job).to_owned())],
            });
        }
        _ => return None,
    };
    let (operation, parameters) = versioned(method, version, rest)?;
    Some(Route {
        operation,
        version: Some(version),
        parameters: parameters
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .collect(),
    })
}

fn plain(method: &Method, operation: Operation) -> Option<Route> {
    (*method == Method::GET).then_some(Route {
        operation,
        version: None,
        parameters: Vec::new(),
    })
}

fn number(version: &str) -> Option<u8> {
    match version {
        "v0" => Some(0),
        "v1" => Some(1),
        _ => None,
    }
}

type Matched<'a> = (Operation, Vec<(&'static str, &'a str)>);

fn versioned<'a>(method: &Method, version: u8, path: &[&'a str]) -> Option<Matched<'a>> {
    use Operation as O;
    let (get, post, put) = (
        *method == Method::GET,
        *method == Method::POST,
        *method == Method::PUT,
    );
    let simple = |operation| Some((operation, Vec::new()));
    match path {
        ["ping"] if get => simple(O::Ping),
        ["auth", "cli", "claim"] if post => simple(O::CliClaim),
        ["auth", "cli", "redeem"] if post => simple(O::CliRedeem),
        ["auth", "cli", "code"] if get => simple(O::CliCode),
        ["auth", "cli", "transfer"] if post => simple(O::CliTransfer),
        ["user"] if get => simple(O::GetCurrentUser),
        ["user", "api-tokens"] if post => simple(O::CreateApiToken),
        ["organizations"] if get => simple(O::ListOrganizations),
        ["organizations", org] if get => Some((O::GetOrganization, vec![("org", org)])),
        ["organizations", org, "builds"] if post => {
            Some((O::CreateBuildBySource, vec![("org", org)]))
        }
        ["organizations", org, "pipelines"] if get => Some((O::ListPipelines, vec![("org", org)])),
        ["organizations", org, "pipelines"] if post => {
            Some((O::CreatePipeline, vec![("org", org)]))
        }
        ["organizations", org, "pipelines", pipeline, rest @ ..] => {
            let mut parameters = vec![("org", *org), ("pipeline", *pipeline)];
            let operation = match rest {
                [] if get => O::GetPipeline,
                ["builds"] if get => O::ListBuilds,
                ["builds"] if post => O::CreateBuild,
                ["builds", number, rest @ ..] => {
                    parameters.push(("number", number));
                    match rest {
                        [] if get => O::GetBuild,
                        ["cancel"] if put => O::CancelBuild,
                        ["log-token"] if get => O::GetBuildLogToken,
                        ["jobs"] if get => O::ListJobs,
                        ["jobs", job] if get => {
                            parameters.push(("job_id", job));
                            O::GetJob
                        }
                        _ => return None,
                    }
                }
                _ => return None,
            };
            Some((operation, parameters))
        }
        ["organizations", org, "billing", rest @ ..] if version == 1 => {
            Some((billing(method, rest)?, vec![("org", org)]))
        }
        ["billing", rest @ .., org] if version == 0 => {
            Some((billing(method, rest)?, vec![("org", org)]))
        }
        _ => None,
    }
}

fn billing(method: &Method, path: &[&str]) -> Option<Operation> {
    match (method, path) {
        (&Method::GET, ["balance"]) => Some(Operation::GetBillingBalance),
        (&Method::GET, ["transactions"]) => Some(Operation::ListBillingTransactions),
        (&Method::GET, ["usage"]) => Some(Operation::GetBillingUsage),
        (&Method::POST, ["checkout"]) => Some(Operation::CreateCheckout),
        (&Method::POST, ["coupon", "redeem"]) => Some(Operation::RedeemCoupon),
        _ => None,
    }
}

/// Undoes percent-encoding; what is none stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let coded = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match coded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let found = |method: Method, path: &str| route(&method, path).map(|route| route.operation);
        assert_eq!(found(Method::GET, "/api/v0/ping"), Some(Operation::Ping));
        assert_eq!(found(Method::GET, "/api/v2/ping"), None);
        assert_eq!(found(Method::POST, "/api/v0/ping"), None);
        assert_eq!(
            found(Method::GET, "/v1/jobs/x/logs"),
            Some(Operation::StreamJobLogs)
        );
        assert_eq!(
            found(Method::GET, "/api/v0/billing/balance/acme"),
            Some(Operation::GetBillingBalance)
        );
        assert_eq!(found(Method::GET, "/api/v1/billing/balance/acme"), None);
        let route = route(
            &Method::PUT,
            "/api/v1/organizations/a%20b/pipelines/c/builds/7/cancel",
        )
        .unwrap();
        assert_eq!(route.operation, Operation::CancelBuild);
        assert_eq!(route.parameter("org"), "a b");
        assert_eq!(route.parameter("number"), "7");
    }

    #[test]
    fn every_operation_has_a_name() {
        for (operation, name) in Operation::ALL {
            assert_eq!(operation.name(), name);
            assert_eq!(Operation::named(name), Some(operation));
        }
    }
}
