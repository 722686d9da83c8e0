//! `tallygate limit`: limits and budgets of tenants, projects and keys, for all models together or for one.
//! Never counts: what was spent comes from the ledger.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use std::str::FromStr;

use billing::ledger::{Budget, Ledger, LimitScope, Limits, ScopeLimits, SpentQuestion, Tenant};
use clap::{Args, Subcommand};
use domain::{BudgetPeriod, Clock as _, Currency, KeyId, ModelName, Money, Nanos, SystemClock};
use jiff::tz::TimeZone;

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set single limits of a tenant, a project or a key; those that are not named stay as they are.
    Set(SetArguments),
    /// List every limit and budget of a tenant, with what was spent of each budget.
    List {
        /// The tenant's name or id.
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetArguments {
    /// The tenant's name or id.
    tenant: String,
    /// Limit this project with all below it, by its path or id.
    #[arg(long, value_name = "PATH", conflicts_with = "key")]
    project: Option<String>,
    /// Limit this key, by its public id. A key that took another's place shares its limits.
    #[arg(long, value_name = "KEY")]
    key: Option<KeyId>,
    /// Limit this model alone, within the limits for all models.
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    #[command(flatten)]
    changes: Changes,
}

/// Each a number, or `none` to take the limit away.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Requests per minute, or `none`.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<Setting<u64>>,
    /// Prompt and output tokens per minute, or `none`.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<Setting<u64>>,
    /// Requests per day, or `none`.
    #[arg(long, value_name = "N")]
    requests_per_day: Option<Setting<u64>>,
    /// Requests running at the same time, or `none`.
    #[arg(long, value_name = "N")]
    concurrency: Option<Setting<u64>>,
    /// What may be spent in each period, in the tenant's currency, or `none`.
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<Setting<Amount>>,
    /// How long the budget lasts before it begins anew: day, week, month or ever.
    #[arg(long, value_name = "PERIOD", requires = "budget")]
    period: Option<BudgetPeriod>,
}

/// Limits as commands that create something take them.
#[derive(Clone, Debug, Args)]
pub(super) struct LimitArguments {
    /// Requests per minute.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Prompt and output tokens per minute.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Requests per day.
    #[arg(long, value_name = "N")]
    requests_per_day: Option<u64>,
    /// Requests running at the same time.
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// What may be spent in each period, in the tenant's currency.
    #[arg(long, value_name = "AMOUNT", requires = "period")]
    budget: Option<Amount>,
    /// How long the budget lasts before it begins anew: day, week, month or ever.
    #[arg(long, value_name = "PERIOD", requires = "budget")]
    period: Option<BudgetPeriod>,
}

/// The three limits of `tenant set-limits`.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct MinuteArguments {
    /// Requests per minute.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u64>,
    /// Prompt and output tokens per minute.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Requests running at the same time.
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
}

/// A value, or the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting<T> {
    To(T),
    None,
}

/// A positive amount of some currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(Nanos);

impl<T> Setting<T> {
    fn into_option(self) -> Option<T> {
        match self {
            Self::To(value) => Some(value),
            Self::None => None,
        }
    }
}

impl<T: FromStr<Err: ToString>> FromStr for Setting<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            text => text.parse().map(Self::To).map_err(|error| error.to_string()),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The currency is the tenant's; it does not matter for how an amount is written.
        let money = Money::parse(text, Currency::USD).map_err(|error| error.to_string())?;
        let nanos = money.to_i64_nanos().map_err(|error| error.to_string())?;
        match Nanos::from_i64(nanos) {
            Ok(nanos) if !nanos.is_zero() => Ok(Self(nanos)),
            _ => Err("a budget must be more than zero".to_owned()),
        }
    }
}

impl LimitArguments {
    /// Errors: none that the command line lets through.
    pub(super) fn to_limits(&self) -> Result<Limits, CliError> {
        let budget = match (self.budget, self.period) {
            (None, None) => None,
            (Some(Amount(amount)), Some(period)) => Some(Budget { amount, period }),
            _ => return Err(CliError::Usage("--budget and --period come together".to_owned())),
        };
        Ok(Limits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            requests_per_day: self.requests_per_day,
            concurrency: self.concurrency,
            budget,
        })
    }
}

impl MinuteArguments {
    /// These three in the place of those that were; the others stay.
    pub(super) fn replace_in(self, limits: Limits) -> Limits {
        Limits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
            ..limits
        }
    }
}

impl Changes {
    /// Errors: a budget without a period.
    fn check(&self) -> Result<(), CliError> {
        match (self.budget, self.period) {
            (Some(Setting::To(_)), None) => {
                Err(CliError::Usage("--budget needs --period: day, week, month or ever".to_owned()))
            }
            (Some(Setting::None), Some(_)) => {
                Err(CliError::Usage("--budget none takes the budget away; it has no --period".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn apply(&self, limits: Limits) -> Limits {
        let limit = |change: Option<Setting<u64>>, old| change.map_or(old, Setting::into_option);
        let budget = match (self.budget, self.period) {
            (None, _) => limits.budget,
            (Some(Setting::To(Amount(amount))), Some(period)) => Some(Budget { amount, period }),
            (Some(_), _) => None,
        };
        Limits {
            requests_per_minute: limit(self.requests_per_minute, limits.requests_per_minute),
            tokens_per_minute: limit(self.tokens_per_minute, limits.tokens_per_minute),
            requests_per_day: limit(self.requests_per_day, limits.requests_per_day),
            concurrency: limit(self.concurrency, limits.concurrency),
            budget,
        }
    }
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Set(arguments) => set(&ledger, &arguments).await,
        Command::List { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            list(&ledger, &tenant).await
        }
    }
}

async fn set(ledger: &Ledger, arguments: &SetArguments) -> Result<(), CliError> {
    arguments.changes.check()?;
    let tenant = open::tenant(ledger, &arguments.tenant).await?;
    let (scope, what) = match (&arguments.project, &arguments.key) {
        (Some(project), _) => {
            let project = open::project(ledger, &tenant, project).await?;
            (LimitScope::Project(project.id), format!("project {}", project.path))
        }
        (None, Some(key)) => (LimitScope::Key(key.clone()), format!("key {key}")),
        (None, None) => (LimitScope::Tenant, format!("tenant {}", tenant.name)),
    };
    let change = |limits| arguments.changes.apply(limits);
    let limits = ledger.change_limits(tenant.id, &scope, arguments.model.as_ref(), change).await?;
    let model =
        arguments.model.as_ref().map_or_else(|| "all models".to_owned(), |model| format!("model {model}"));
    out::say(&format!("limits of {what} for {model}:"));
    let names = ["requests/min", "tokens/min", "requests/day", "concurrency", "budget"];
    for (name, cell) in names.into_iter().zip(limit_cells(&limits)) {
        out::say(&format!("  {name:<13} {cell}"));
    }
    Ok(())
}

async fn list(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let projects = ledger.projects(tenant.id).await?;
    let mut rows = Vec::new();
    for found in ledger.limits(tenant.id).await? {
        let whose = match &found.scope {
            LimitScope::Tenant => format!("tenant {}", tenant.name),
            LimitScope::Project(id) => {
                let path =
                    projects.iter().find(|project| project.id == *id).map(|project| project.path.as_str());
                format!("project {}", path.unwrap_or("?"))
            }
            LimitScope::Key(key) => format!("key {key}"),
        };
        let model = found.model.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
        let spent = spent(ledger, tenant, &found).await?;
        let [requests, tokens, daily, concurrency, budget] = limit_cells(&found.limits);
        rows.push([whose, model, requests, tokens, daily, concurrency, budget, spent]);
    }
    let headings =
        ["OF", "MODEL", "REQUESTS/MIN", "TOKENS/MIN", "REQUESTS/DAY", "CONCURRENCY", "BUDGET", "SPENT"];
    out::table(headings, &rows);
    Ok(())
}

/// What was spent of a budget in its running window, as far as records have arrived.
pub(super) async fn spent(ledger: &Ledger, tenant: &Tenant, found: &ScopeLimits) -> Result<String, CliError> {
    let Some(budget) = found.limits.budget else { return Ok("-".to_owned()) };
    let zone = TimeZone::get(&tenant.zone).map_err(|error| CliError::Usage(error.to_string()))?;
    let window = budget.period.window(SystemClock.now(), &zone)?;
    let (scope, model) = (found.scope.clone(), found.model.clone());
    let question = SpentQuestion { scope, model, since: window.start };
    let answers = ledger.spent_since(tenant.id, &[question]).await?;
    let nanos = answers.first().map_or(0, |nanos| i128::from(nanos.get()));
    Ok(Money::from_nanos(nanos, tenant.currency).to_string())
}

/// A limit in a listing.
fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())
}

/// Limits in a listing: requests and tokens per minute, requests per day, concurrency, budget.
pub(super) fn limit_cells(limits: &Limits) -> [String; 5] {
    let budget = limits.budget.map_or_else(
        || "-".to_owned(),
        |Budget { amount, period }| {
            let amount = Money::from_nanos(i128::from(amount.get()), Currency::USD);
            match period {
                BudgetPeriod::Ever => format!("{amount} in all"),
                BudgetPeriod::Day | BudgetPeriod::Week | BudgetPeriod::Month => {
                    format!("{amount} per {period}")
                }
            }
        },
    );
    [
        limit_text(limits.requests_per_minute),
        limit_text(limits.tokens_per_minute),
        limit_text(limits.requests_per_day),
        limit_text(limits.concurrency),
        budget,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_as_people_write_them() {
        let rows = [
            ("none", Ok(Setting::None)),
            ("25", Ok(Setting::To(Amount(Nanos::new(25_000_000_000))))),
            ("0.000000001", Ok(Setting::To(Amount(Nanos::new(1))))),
            ("0", Err(())),
            ("-1", Err(())),
            ("None", Err(())),
            ("1e3", Err(())),
            ("", Err(())),
            ("9223372036.854775808", Err(())),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Setting<Amount>>().map_err(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let budget = Budget { amount: Nanos::new(5), period: BudgetPeriod::Day };
        let before = Limits { concurrency: Some(4), budget: Some(budget), ..Limits::default() };
        let none = Changes {
            requests_per_minute: None,
            tokens_per_minute: None,
            requests_per_day: None,
            concurrency: None,
            budget: None,
            period: None,
        };
        assert_eq!(none.apply(before), before);
        let changes =
            Changes { concurrency: Some(Setting::None), requests_per_day: Some(Setting::To(9)), ..none };
        let after = Limits { requests_per_day: Some(9), concurrency: None, ..before };
        assert_eq!(changes.apply(before), after);
        let changes = Changes { budget: Some(Setting::None), ..changes };
        assert_eq!(changes.apply(before), Limits { budget: None, ..after });
        assert!(changes.check().is_ok());
        let amount = Some(Setting::To(Amount(Nanos::new(7))));
        assert!(Changes { budget: amount, ..changes }.check().is_err(), "no period");
    }
}
