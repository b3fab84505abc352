//! `hm cloud billing`: the organization's credit.

use hm_cloud_api::{Balance, Checkout, Credit, Transaction, Usage};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::table::table;
use super::{Context, shown, time};
use crate::cloud::open_browser;
use crate::failure::{Exit, Failure};

/// Show and add credit
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show what is left
    Balance,
    /// List what came and went, newest first
    Transactions {
        /// How many at the most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Show what was used between two days; the last 30 without
    Usage {
        /// First day, as 2026-05-31
        #[arg(long, value_name = "DATE")]
        from: Option<Date>,
        /// Last day
        #[arg(long, value_name = "DATE")]
        to: Option<Date>,
    },
    /// Pay in, on a page in the browser
    Topup {
        /// US dollars
        #[arg(value_name = "USD", value_parser = clap::value_parser!(i64).range(1..=10_000))]
        amount: i64,
        /// Print the page's address and open nothing
        #[arg(long)]
        no_browser: bool,
    },
    /// Take a coupon
    Redeem {
        /// Of the coupon
        code: String,
    },
}

pub(super) async fn run(args: &Args, context: &Context<'_>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let org = context.org(&client).await?;
    let version = client.version().await?;
    match &args.command {
        Command::Balance => {
            let balance: Balance = client.get(&version.billing(&org, &["balance"])).await?;
            context.answer(&balance, || dollars(balance.balance_cents) + "\n")
        }
        Command::Transactions { limit } => {
            let path = version.billing(&org, &["transactions"]);
            // Entries have no identity that both versions show; the same moment, source and
            // amount twice is the first page again.
            let key = |entry: &Transaction| format!("{entry:?}");
            let entries = client.list(&path, (*limit).max(1), key).await?;
            context.answer(&entries, || {
                table(entries.iter().map(|entry| {
                    vec![
                        time(Some(&entry.created_at)),
                        format!("{:>12}", dollars(entry.amount_cents)),
                        entry.source.clone(),
                        entry.description.clone().unwrap_or_default(),
                    ]
                }))
            })
        }
        Command::Usage { from, to } => {
            let today = jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date();
            let to = to.unwrap_or(today);
            let from = from.unwrap_or_else(|| to.checked_sub(30.days()).unwrap_or(to));
            if from > to {
                return Err(Failure::usage(format!("{from} is after {to}")));
            }
            let path = version.billing(&org, &["usage"]);
            let usage: Usage = client.get(&format!("{path}?from={from}&to={to}")).await?;
            context.answer(&json!({"from": from, "to": to, "usage": usage}), || {
                format!(
                    "{from} to {to}: {} for {} processor seconds, {} GB seconds of memory, \
                     {} GB seconds of disk\n",
                    dollars(usage.total_cents),
                    usage.cpu_seconds,
                    usage.memory_gb_seconds,
                    usage.disk_gb_seconds
                )
            })
        }
        Command::Topup { amount, no_browser } => {
            let body = json!({"amount_cents": amount * 100});
            let path = version.billing(&org, &["checkout"]);
            let checkout: Checkout = client.post(&path, &body).await?;
            // Only a web page is handed to the system.
            let is_page = ["https://", "http://127.0.0.1:", "http://localhost:"]
                .iter()
                .any(|start| checkout.checkout_url.starts_with(start));
            let is_open = !no_browser && is_page && open_browser(&checkout.checkout_url);
            context.answer(&checkout, || {
                let way = if is_open { "opened" } else { "open" };
                format!("{way} {}\n", shown(&checkout.checkout_url))
            })
        }
        Command::Redeem { code } => {
            let path = version.billing(&org, &["coupon", "redeem"]);
            let credit: Credit = client.post(&path, &json!({"code": code})).await?;
            context.answer(&credit, || {
                format!(
                    "{} credited; the balance is {}\n",
                    dollars(credit.credit_cents),
                    dollars(credit.balance_cents)
                )
            })
        }
    }
}

fn dollars(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn cents_are_told_as_dollars() {
        assert_eq!(dollars(123_456), "$1234.56");
        assert_eq!(dollars(-5), "-$0.05");
        assert_eq!(dollars(i64::MIN), "-$92233720368547758.08");
    }
}
