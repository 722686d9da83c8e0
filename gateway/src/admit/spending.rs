//! What the ledger says was spent, for amounts that the limits' store has never counted.
//! Never on a request's way but for the first request of a window.
//! Called by `admit` when the store answers that an amount is not seeded.

use std::time::Duration;

use billing::{
    journal::Journal,
    ledger::{Ledger, LedgerError, LimitScope, SPENT_QUESTIONS_MAX, SpentQuestion},
    ship::ShipStatus,
};
use domain::{ModelName, TenantId};
use tokio::sync::watch;

use super::{AmountKey, Node};

/// How long the records of this process may take to reach the ledger before it is asked. Usually milliseconds.
const SHIPPED_WAIT_MAX: Duration = Duration::from_secs(2);

/// A node of the limits with what the ledger knows it by.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where limits are counted.
    pub node: Node,
    /// Whose spending it is.
    pub scope: LimitScope,
    /// Models whose spending does not count.
    pub except: Vec<ModelName>,
}

/// Why it is not known what was spent.
#[derive(Debug, thiserror::Error)]
pub enum UnknownSpending {
    /// Records of this process have not reached the ledger yet.
    #[error("usage records are on their way to the ledger")]
    Unshipped,
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Asks the ledger what was spent.
#[derive(Clone, Debug)]
pub struct Spending {
    ledger: Ledger,
    journal: Journal,
    shipping: watch::Receiver<ShipStatus>,
}

impl Spending {
    /// Asks this ledger, once it has all that this journal has.
    pub fn new(ledger: Ledger, journal: Journal, shipping: watch::Receiver<ShipStatus>) -> Self {
        Self { ledger, journal, shipping }
    }

    /// What was spent of each amount since its window began, where `scopes` are those of `nodes`, one for each.
    /// Unit: billionths of the tenant's currency.
    ///
    /// Errors: records still on their way, a ledger that is away.
    pub async fn of(
        &self,
        tenant: TenantId,
        amounts: Vec<AmountKey>,
        nodes: &[Node],
        scopes: &[(LimitScope, Vec<ModelName>)],
    ) -> Result<Vec<(AmountKey, i64)>, UnknownSpending> {
        self.wait_until_shipped().await?;
        let mut spent = Vec::with_capacity(amounts.len());
        let question = |amount: &AmountKey| {
            let (node, (scope, except)) =
                nodes.iter().zip(scopes).find(|(node, _)| node.id == amount.node)?;
            let (scope, model) = (scope.clone(), node.model.clone());
            except.is_empty().then_some(SpentQuestion { scope, model, since: amount.window_start })
        };
        for amount in &amounts {
            let found = nodes.iter().zip(scopes).find(|(node, _)| node.id == amount.node);
            if let Some((_, (scope, except))) = found.filter(|(_, (_, except))| !except.is_empty()) {
                let nanos = self.without_models(tenant, scope, except, amount).await?;
                spent.push((amount.clone(), nanos));
            }
        }
        for some in amounts.chunks(SPENT_QUESTIONS_MAX) {
            let (known, questions): (Vec<_>, Vec<_>) =
                some.iter().filter_map(|amount| Some((amount.clone(), question(amount)?))).unzip();
            let answers = self.ledger.spent_since(tenant, &questions).await?;
            for (amount, answer) in known.into_iter().zip(answers) {
                spent.push((amount, answer.to_i64().map_err(LedgerError::from)?));
            }
        }
        Ok(spent)
    }

    /// What was spent on all models but some, as of one moment.
    async fn without_models(
        &self,
        tenant: TenantId,
        scope: &LimitScope,
        except: &[ModelName],
        amount: &AmountKey,
    ) -> Result<i64, UnknownSpending> {
        let models = [None].into_iter().chain(except.iter().cloned().map(Some));
        let question = |model| SpentQuestion { scope: scope.clone(), model, since: amount.window_start };
        let questions: Vec<_> = models.map(question).collect();
        let answers = self.ledger.spent_since(tenant, &questions).await?;
        let mut answers = answers.into_iter().map(|nanos| nanos.to_i64().map_err(LedgerError::from));
        let all = answers.next().transpose()?.unwrap_or(0);
        answers.try_fold(all, |rest, nanos| Ok(rest.saturating_sub(nanos?)))
    }

    /// Waits until the ledger has every record that the journal has now.
    async fn wait_until_shipped(&self) -> Result<(), UnknownSpending> {
        let tail = *self.journal.tail().borrow();
        let mut shipping = self.shipping.clone();
        let arrived =
            shipping.wait_for(|status| status.shipped_through.is_some_and(|through| through >= tail));
        match tokio::time::timeout(SHIPPED_WAIT_MAX, arrived).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(UnknownSpending::Unshipped),
        }
    }
}
