//! Ends, in Redis, what requests of gateways that are gone still hold, of every tenant that any gateway has asked for.
//! Never touches what has not expired by the clock of Redis.
//! Called now and then by `Limits::sweep`.

use ::redis::Value;
use domain::TenantId;

use super::{Shared, TENANTS_KEY, redis::Away};

/// Tenants read at a time.
const SCAN_COUNT: usize = 100;
/// Calls that sweep one tenant, a thousand ends each; what is left is swept the next time.
const SWEEP_CALLS_MAX: usize = 100;

impl Shared {
    /// Sweeps every tenant that any gateway has noted.
    pub(in crate::admit::limits) async fn sweep(&self) {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = ::redis::cmd("SSCAN");
            command.arg(TENANTS_KEY).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
            let Ok(page) = self.redis.command(&command).await else { return };
            let Ok((next, names)) = ::redis::from_redis_value::<(String, Vec<String>)>(page) else { return };
            for tenant_id in names.iter().filter_map(|name| name.parse().ok()) {
                if self.sweep_tenant(tenant_id).await.is_err() {
                    return;
                }
            }
            if next == "0" {
                return;
            }
            cursor = next;
        }
    }

    async fn sweep_tenant(&self, tenant_id: TenantId) -> Result<(), Away> {
        for _ in 0..SWEEP_CALLS_MAX {
            let swept = self.redis.run(&self.redis.scripts.sweep, tenant_id, |_| ()).await?;
            if !matches!(swept, Value::Int(count) if count >= 1_000) {
                break;
            }
        }
        Ok(())
    }
}
