//! What is agreed about money in the world: grants, what is taken back, terms of credit, taxes, thresholds.
//! Never an invoice.
//! Run by `deeds`.

use std::collections::BTreeSet;

use billing::{
    ledger::{CreditTerms, GrantKind, IssuerDetails, NewGrant, Overage, Party, TenantBilling},
    rate::MinorUnits,
    tax::{TaxMode, TaxRate, TaxStatus},
};
use domain::{ModelName, Money, Nanos, Timestamp};

use super::{DAY_US, World, failed};
use crate::{
    act::{Act, GrantAct},
    auditor::Finding,
    dice::Dice,
};

impl World {
    pub(super) fn key(&mut self, what: &str) -> String {
        self.keys += 1;
        format!("{what} {}", self.keys)
    }

    pub(super) async fn grant(&mut self, client: usize) -> Result<(), Finding> {
        let tenant = self.clients[client].tenant.clone();
        // Grants for named models are for one set alone, so that no two overlap in part.
        let models: Option<BTreeSet<ModelName>> = self
            .dice
            .is_one_of(350)
            .then(|| ["alpha", "gamma"].iter().map(|name| name.parse().expect("a model")).collect());
        let priority = self.dice.is_one_of(300).then(|| u8::try_from(self.dice.below(50)).expect("small"));
        let priority = priority.map(|priority| if models.is_some() { priority } else { priority + 50 });
        let expires = self.dice.is_one_of(500).then(|| self.now + self.dice.span(60 * DAY_US) + 1);
        let nanos = i128::from(self.dice.below(40_000_000_000)) + 1;
        let (kind, name) =
            *self.dice.pick(&[(GrantKind::Paid, "paid"), (GrantKind::Promotional, "promotional")]);
        let (key, now) = (self.key("grant"), self.clock());
        let granted = self.ask(|ledger| {
            let (key, models) = (key.clone(), models.clone());
            async move {
                let new = NewGrant {
                    kind,
                    priority,
                    expires_at: expires.map(Timestamp::from_unix_micros),
                    models: models.as_ref(),
                    ..NewGrant::paid(Money::from_nanos(nanos, tenant.currency), &key, "")
                };
                ledger.add_grant(tenant.id, &new, now).await
            }
        });
        granted.await.map_err(failed("granting"))?;
        let models = models.map(|models| models.iter().map(ToString::to_string).collect());
        self.hear(&Act::Grant(GrantAct {
            tenant: tenant.id,
            nanos,
            kind: name,
            priority,
            expires,
            models,
            at: self.now,
        }));
        Ok(())
    }

    pub(super) async fn take_back(&mut self, client: usize) -> Result<(), Finding> {
        let tenant = self.clients[client].tenant.clone();
        let nanos = -i128::from(self.dice.below(20_000_000_000)) - 1;
        let (key, now) = (self.key("back"), self.clock());
        let granted = self.ask(|ledger| {
            let key = key.clone();
            async move {
                let new = NewGrant::paid(Money::from_nanos(nanos, tenant.currency), &key, "");
                ledger.add_grant(tenant.id, &new, now).await
            }
        });
        granted.await.map_err(failed("taking back"))?;
        let (priority, expires, models) = (None, None, None);
        self.hear(&Act::Grant(GrantAct {
            tenant: tenant.id,
            nanos,
            kind: "paid",
            priority,
            expires,
            models,
            at: self.now,
        }));
        Ok(())
    }

    pub(super) async fn terms(&mut self, client: usize) -> Result<(), Finding> {
        let (tenant, now) = (self.clients[client].tenant.id, self.clock());
        let overage =
            *self.dice.pick(&[Overage::Refuse, Overage::Allow(None), Overage::Allow(Some(Nanos::new(7)))]);
        let terms = CreditTerms { overage, recharge_below: Some(Nanos::new(1_000_000_000)) };
        let set = self.ask(|ledger| async move { ledger.set_credit_terms(tenant, terms, now).await });
        set.await.map_err(failed("setting terms of credit"))?;
        self.hear(&Act::CreditTerms { tenant });
        Ok(())
    }

    fn taxes(&mut self) -> Vec<(String, bool)> {
        let one = |dice: &mut Dice| {
            ((*dice.pick(&["19", "8.875", "0.5", "12.5", "50", "0"])).to_owned(), dice.is_one_of(400))
        };
        (0..self.dice.below(4)).map(|_| one(&mut self.dice)).collect()
    }

    pub(super) async fn billing(&mut self, client: usize) -> Result<(), Finding> {
        let tenant = self.clients[client].tenant.id;
        let statuses = [
            (TaxStatus::Standard, "standard"),
            (TaxStatus::Standard, "standard"),
            (TaxStatus::Exempt, "exempt"),
            (TaxStatus::ReverseCharge, "reverse_charge"),
        ];
        let (tax_status, status) = *self.dice.pick(&statuses);
        let taxes = self.dice.is_one_of(400).then(|| self.taxes());
        let minor = i64::try_from(self.dice.below(2_000) + 1).expect("small");
        let threshold = self.dice.is_one_of(500).then_some(minor);
        let billing = TenantBilling {
            party: Party { legal_name: "A tenant".to_owned(), ..Party::default() },
            tax_status,
            tax_note: (status == "exempt").then(|| "so it is".to_owned()),
            taxes: taxes.as_ref().map(|taxes| rates(taxes)),
            payment_days: None,
            threshold: threshold.map(MinorUnits::new),
        };
        let set = self.ask(|ledger| {
            let billing = billing.clone();
            async move { ledger.set_tenant_billing(tenant, &billing).await.map(drop) }
        });
        set.await.map_err(failed("setting billing"))?;
        self.hear(&Act::Billing { tenant, status, taxes, threshold });
        Ok(())
    }

    pub(super) async fn issuer(&mut self) -> Result<(), Finding> {
        let taxes = self.taxes();
        let party = Party { legal_name: "The issuer".to_owned(), ..Party::default() };
        let details = IssuerDetails { party, taxes: rates(&taxes), ..IssuerDetails::default() };
        let set = self.ask(|ledger| {
            let details = details.clone();
            async move { ledger.set_issuer_details(&details).await.map(drop) }
        });
        set.await.map_err(failed("setting the issuer"))?;
        self.hear(&Act::IssuerTaxes(taxes));
        Ok(())
    }
}

fn rates(taxes: &[(String, bool)]) -> Vec<TaxRate> {
    let mode = |is_contained| if is_contained { TaxMode::Inclusive } else { TaxMode::Exclusive };
    let rate = |(percent, is_contained): &(String, bool)| TaxRate::new("Tax", percent, mode(*is_contained));
    taxes.iter().map(|tax| rate(tax).expect("a tax")).collect()
}
