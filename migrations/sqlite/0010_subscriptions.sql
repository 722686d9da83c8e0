-- What happened to subscriptions, and the periods they are billed by. Both are only added to.

CREATE TABLE subscription_events (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('start', 'trial', 'pause', 'resume', 'cancel')),
    -- When it counts from.
    at_unix_us INTEGER NOT NULL,
    -- Of a start: by what periods it is billed, the local day it begins on, and what usage costs during its trial.
    cycle TEXT CHECK (cycle IN ('calendar', 'anniversary')),
    day TEXT CHECK (length(day) = 10),
    trial_usage TEXT CHECK (trial_usage IN ('free', 'charged')),
    -- Of a start with a trial, and of a change of it: the first instant after the trial, and the local day that begins there.
    until_unix_us INTEGER,
    until_day TEXT CHECK (length(until_day) = 10),
    -- By the clock of the program that noted it.
    noted_unix_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    CHECK ((kind = 'start') = (cycle IS NOT NULL) AND (kind = 'start') = (day IS NOT NULL)),
    CHECK ((until_unix_us IS NULL) = (until_day IS NULL)),
    CHECK (kind <> 'trial' OR until_day IS NOT NULL),
    CHECK (kind IN ('start', 'trial') OR until_day IS NULL),
    CHECK ((kind = 'start' AND until_day IS NOT NULL) = (trial_usage IS NOT NULL)),
    CHECK (until_unix_us IS NULL OR until_unix_us > at_unix_us)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER subscription_events_keep_update BEFORE UPDATE ON subscription_events
BEGIN SELECT RAISE(ABORT, 'what happened to a subscription never changes'); END;
CREATE TRIGGER subscription_events_keep_delete BEFORE DELETE ON subscription_events
BEGIN SELECT RAISE(ABORT, 'what happened to a subscription is never deleted'); END;
-- Also stops INSERT OR REPLACE.
CREATE TRIGGER subscription_events_keep_order BEFORE INSERT ON subscription_events
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_events WHERE tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'what happened to a subscription is only added to'); END;

-- Bounds are reckoned once, when a period begins, and never again: a later change of a zone's rules moves none.
CREATE TABLE subscription_periods (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('trial', 'regular')),
    full_start_unix_us INTEGER NOT NULL,
    start_unix_us INTEGER NOT NULL CHECK (start_unix_us >= full_start_unix_us),
    end_unix_us INTEGER NOT NULL CHECK (end_unix_us > start_unix_us),
    zone TEXT NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER subscription_periods_keep_update BEFORE UPDATE ON subscription_periods
BEGIN SELECT RAISE(ABORT, 'a period never changes'); END;
CREATE TRIGGER subscription_periods_keep_delete BEFORE DELETE ON subscription_periods
BEGIN SELECT RAISE(ABORT, 'a period is never deleted'); END;
CREATE TRIGGER subscription_periods_keep_order BEFORE INSERT ON subscription_periods
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_periods WHERE tenant_id = NEW.tenant_id)
    OR NEW.start_unix_us <= (SELECT MAX(start_unix_us) FROM subscription_periods WHERE tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'periods come one after another'); END;

CREATE TRIGGER subscription_events_audit_insert AFTER INSERT ON subscription_events
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'subscription.created', 'subscription',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) || ':' || NEW.sequence,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'sequence', NEW.sequence,
        'kind', NEW.kind,
        'at_unix_us', NEW.at_unix_us,
        'cycle', NEW.cycle,
        'day', NEW.day,
        'trial_usage', NEW.trial_usage,
        'until_unix_us', NEW.until_unix_us,
        'until_day', NEW.until_day,
        'noted_unix_us', NEW.noted_unix_us)
    FROM audit_actor;
END;

-- When the plan that is set in the transaction that runs counts from. Set before it, put back after it; without it the
-- database's clock counts. SQLite admits one writer at a time, so nobody else sees it meanwhile.
CREATE TABLE plan_clock (
    only_row INTEGER PRIMARY KEY NOT NULL CHECK (only_row = 1),
    since_unix_us INTEGER
) STRICT;
INSERT INTO plan_clock (only_row) VALUES (1);
CREATE TRIGGER plan_clock_keep BEFORE DELETE ON plan_clock
BEGIN SELECT RAISE(ABORT, 'there is always one clock'); END;
DROP TRIGGER tenants_subscribe_update;
CREATE TRIGGER tenants_subscribe_update AFTER UPDATE ON tenants WHEN NEW.plan_name <> OLD.plan_name
BEGIN
    INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
    SELECT NEW.tenant_id, COALESCE(MAX(sequence), 0) + 1, NEW.plan_name,
        COALESCE((SELECT since_unix_us FROM plan_clock),
                 CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)
    FROM subscriptions WHERE tenant_id = NEW.tenant_id;
END;
