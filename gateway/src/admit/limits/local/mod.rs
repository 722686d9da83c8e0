//! The limits' state in this process, a lock for each tenant.
//! Never waits for anything but a lock that is held for arithmetic only.
//! Called by `Limits`, and by the shared store while Redis is away.

mod tenant;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{RequestId, TenantId};

use self::tenant::{Moment, Refused, TenantState};
use super::{
    TakeError,
    ask::{AmountKey, Ask, Holds, OpenHold, Used},
    exceeded::LimitViews,
    now::Now,
};

/// The store in this process.
#[derive(Debug)]
pub(super) struct Local {
    now: Now,
    tenants: Mutex<HashMap<TenantId, Arc<Mutex<TenantState>>>>,
}

impl Local {
    pub(super) fn new(now: Now) -> Self {
        Self { now, tenants: Mutex::default() }
    }

    pub(super) fn take(&self, ask: &Ask) -> Result<LimitViews, TakeError> {
        let moment = Moment { micros: self.now.micros(), time_of_day: self.now.time_of_day() };
        let state = self.tenant(ask.tenant_id);
        locked(&state).take(ask, moment).map_err(|refused| match refused {
            Refused::Exceeded(exceeded, views) => TakeError::Exceeded(exceeded, views),
            Refused::Unseeded(keys) => TakeError::Unseeded(keys),
            Refused::Repeated => TakeError::Repeated,
        })
    }

    pub(super) fn seed(&self, tenant_id: TenantId, spent: &[(AmountKey, i64)]) {
        locked(&self.tenant(tenant_id)).seed(spent);
    }

    pub(super) fn settle(&self, tenant_id: TenantId, request_id: RequestId, used: Used) {
        let now_us = self.now.micros();
        locked(&self.tenant(tenant_id)).settle(request_id, used, now_us);
    }

    pub(super) fn void(&self, tenant_id: TenantId, request_id: RequestId) {
        let now_us = self.now.micros();
        locked(&self.tenant(tenant_id)).void(request_id, now_us);
    }

    pub(super) fn free(&self, tenant_id: TenantId, request_id: RequestId) {
        locked(&self.tenant(tenant_id)).free(request_id);
    }

    pub(super) fn held(&self, tenant_id: TenantId) -> Holds {
        let now_us = self.now.micros();
        let state = self.tenant(tenant_id);
        let mut state = locked(&state);
        state.sweep(now_us);
        state.held()
    }

    pub(super) fn open_holds(
        &self,
        tenant_id: TenantId,
        after: Option<RequestId>,
        rows_max: usize,
    ) -> Vec<OpenHold> {
        let now_us = self.now.micros();
        let state = self.tenant(tenant_id);
        let mut state = locked(&state);
        state.sweep(now_us);
        state.open_holds(after, rows_max, now_us)
    }

    pub(super) fn sweep(&self) {
        let (now_us, time_of_day) = (self.now.micros(), self.now.time_of_day());
        let tenants: Vec<_> = locked(&self.tenants).values().cloned().collect();
        for state in tenants {
            let mut state = locked(&state);
            state.sweep(now_us);
            state.forget_windows(time_of_day);
        }
    }

    fn tenant(&self, id: TenantId) -> Arc<Mutex<TenantState>> {
        Arc::clone(locked(&self.tenants).entry(id).or_default())
    }
}

/// A panic elsewhere does not make counters wrong, so a poisoned lock is still good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
