//! The simulated world: tenants, plans, journals and a clock that only this program moves, all of one seed.
//! Never a check of an amount: whatever was done and whatever came of it is told to the auditor.
//! Run by the tests in `main`.

mod agreements;
mod crash;
mod deeds;
mod documents;
pub(crate) mod plans;
mod shipping;
mod subscribing;
pub(crate) mod usage;

use std::{collections::BTreeMap, str::FromStr as _};

use billing::{
    ledger::{Ledger, LedgerError, Tenant},
    plan::Plan,
};
use domain::{Timestamp, UsageRecord};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

pub(crate) use crash::cut_short;

use crate::{
    act::{Act, Instant},
    auditor::{Auditor, Finding},
    dice::Dice,
};
use deeds::Deed;
use usage::Journal;

const DAY_US: i64 = 86_400_000_000;
/// 2023-11-01T00:00:00Z; a leap year follows.
const FIRST_DAY_US: Instant = 1_698_796_800_000_000;
/// Zones whose days begin at odd times, or whose clocks change at midnight.
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kiritimati",
];
const CURRENCIES: [&str; 3] = ["usd", "jpy", "kwd"];
/// Plans of each currency.
const PLANS: [&str; 3] = ["a", "b", "c"];

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) tenants: usize,
    pub(crate) days: i64,
    /// Requests of a tenant on a day, at most.
    pub(crate) requests: u64,
    pub(crate) crashes_per_mille: u64,
}

/// A tenant and what the world must know of it to go on.
struct Client {
    tenant: Tenant,
    /// Where the next period begins that is to be invoiced.
    next_start: Option<Instant>,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) seed: u64,
    size: Size,
    dice: Dice,
    now: Instant,
    url: String,
    ledger: Ledger,
    plans: BTreeMap<String, Plan>,
    versions: BTreeMap<String, u32>,
    clients: Vec<Client>,
    journals: Vec<Journal>,
    /// Records that gateways could not write yet, with when they can.
    late: Vec<(Instant, UsageRecord)>,
    keys: u64,
    pub(crate) auditor: Auditor,
    pub(crate) crashes: u64,
    /// Held so that the file lives as long as the world.
    _folder: TempDir,
}

/// A folder in memory where there is one: each of many thousand commits waits for the disk elsewhere.
pub(crate) fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a temporary folder")
}

fn failed(what: &str) -> impl Fn(LedgerError) -> Finding + '_ {
    move |error| format!("{what} failed: {error} ({error:?})")
}

impl World {
    pub(crate) async fn new(seed: u64, size: Size) -> Self {
        let folder = folder();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = Ledger::connect(&url).await.expect("a fresh ledger");
        let mut dice = Dice::new(seed);
        let journals = (0..3).map(|_| Journal::new(&mut dice)).collect();
        // Small worlds see different parts of the year.
        let now = FIRST_DAY_US + if size.tenants < 10 { dice.span(330) * DAY_US } else { 0 };
        let (plans, versions) = (BTreeMap::new(), BTreeMap::new());
        Self {
            seed,
            size,
            dice,
            now,
            url,
            ledger,
            plans,
            versions,
            clients: Vec::new(),
            journals,
            late: Vec::new(),
            keys: 0,
            auditor: Auditor::default(),
            crashes: 0,
            _folder: folder,
        }
    }

    /// Lives through all its days.
    pub(crate) async fn live(&mut self) -> Result<(), Finding> {
        let first = self.now;
        for currency in CURRENCIES {
            for plan in PLANS {
                self.publish(&format!("{currency}-{plan}"), false).await?;
            }
        }
        let mut births: Vec<i64> =
            (0..self.size.tenants).map(|_| self.dice.span(self.size.days.min(40) / 2)).collect();
        births.sort_unstable();
        for day in 0..self.size.days {
            let morning = first + day * DAY_US;
            let mut deeds: Vec<(Instant, usize, Deed)> = Vec::new();
            // Tenants come one after another, by their numbers.
            for ((client, _), second) in births.iter().enumerate().filter(|(_, born)| **born == day).zip(1..)
            {
                deeds.push((morning + second * 1_000_000, client, Deed::Arrive));
            }
            for client in births.iter().enumerate().filter(|(_, born)| **born < day).map(|(client, _)| client)
            {
                for deed in Deed::of_day(&mut self.dice, self.size.requests) {
                    deeds.push((self.at(morning), client, deed));
                }
            }
            deeds.sort_by_key(|(at, client, _)| (*at, *client));
            for (at, client, deed) in deeds {
                self.now = at;
                let done = self.act(client, deed).await;
                done.map_err(|finding| self.told(client, deed, &finding))?;
            }
        }
        self.end().await
    }

    fn told(&self, client: usize, deed: Deed, finding: &str) -> Finding {
        let name = self.clients.get(client).map_or("nobody", |client| client.tenant.name.as_str());
        let at = jiff::Timestamp::from_microsecond(self.now).expect("an instant");
        format!("seed {}, tenant {name}, {deed:?} at {at}:\n  {finding}", self.seed)
    }

    /// Some instant of a day.
    fn at(&mut self, morning: Instant) -> Instant {
        morning + 1 + self.dice.span(DAY_US - 1)
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.now)
    }

    fn hear(&mut self, act: &Act) {
        self.auditor.hear(act);
    }

    /// All that is left comes to the ledger, the last periods are invoiced, and everything is looked at once more.
    async fn end(&mut self) -> Result<(), Finding> {
        self.now += DAY_US * 70;
        self.write_late();
        for journal in 0..self.journals.len() {
            self.ship(journal, true).await?;
        }
        for client in 0..self.clients.len() {
            self.issue(client, true).await.map_err(|finding| self.told(client, Deed::Issue, &finding))?;
            self.look(client, true).await.map_err(|finding| self.told(client, Deed::Look, &finding))?;
        }
        self.ledger.close().await;
        Ok(())
    }

    /// Accounts of a tenant as somebody with a plain database client reads them.
    async fn accounts(&self, tenant: &Tenant) -> BTreeMap<String, i128> {
        let options = sqlx::sqlite::SqliteConnectOptions::from_str(&self.url).expect("a URL");
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the file opens");
        let query = "SELECT account, balance_nanos FROM credit_accounts WHERE tenant_id = $1";
        let rows: Vec<(String, i64)> =
            sqlx::query_as(query).bind(tenant.id.as_uuid()).fetch_all(&mut connection).await.expect("rows");
        connection.close().await.expect("closed");
        rows.into_iter().map(|(account, nanos)| (account, i128::from(nanos))).collect()
    }
}
