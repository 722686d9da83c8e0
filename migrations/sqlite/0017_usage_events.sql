-- Usage events: what tenants used beside tokens, as CloudEvents say it. Each is stored once for ever, known by its source
-- and id, in the chain of its tenant; no retention takes any away.

CREATE TABLE usage_events (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 1024),
    event_id TEXT NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
    event_type TEXT NOT NULL CHECK (length(event_type) BETWEEN 1 AND 255),
    time_unix_us INTEGER NOT NULL,
    received_unix_us INTEGER NOT NULL,
    project_id BLOB REFERENCES projects (project_id),
    price_version TEXT NOT NULL REFERENCES plan_versions (plan_version),
    -- What it counts for, by meter, as JSON: a part of what is hashed.
    counts TEXT NOT NULL,
    -- The event, in the one way of writing it.
    body TEXT NOT NULL CHECK (length(body) <= 65536),
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    event_hash BLOB NOT NULL CHECK (length(event_hash) = 32),
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (source, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_events_by_time ON usage_events (tenant_id, time_unix_us, sequence);

-- The same counts, one row for each meter, for sums. The nil id stands for no project.
CREATE TABLE usage_event_counts (
    tenant_id BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    meter TEXT NOT NULL CHECK (length(meter) BETWEEN 1 AND 31),
    time_unix_us INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    project_id BLOB NOT NULL CHECK (length(project_id) = 16),
    counts INTEGER NOT NULL CHECK (counts >= 0),
    PRIMARY KEY (tenant_id, sequence, meter),
    FOREIGN KEY (tenant_id, sequence) REFERENCES usage_events (tenant_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_event_counts_by_time ON usage_event_counts (tenant_id, time_unix_us);

-- Sums of those by the hour: a projection, which can be made anew.
CREATE TABLE event_tallies_hourly (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    unix_hour INTEGER NOT NULL,
    meter TEXT NOT NULL,
    price_version TEXT NOT NULL,
    project_id BLOB NOT NULL CHECK (length(project_id) = 16),
    events INTEGER NOT NULL CHECK (events >= 0),
    counts INTEGER NOT NULL CHECK (counts >= 0),
    PRIMARY KEY (tenant_id, unix_hour, meter, price_version, project_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER usage_events_keep_update BEFORE UPDATE ON usage_events
BEGIN SELECT RAISE(ABORT, 'usage events never change'); END;
CREATE TRIGGER usage_events_keep_delete BEFORE DELETE ON usage_events
BEGIN SELECT RAISE(ABORT, 'usage events are never deleted'); END;
-- Stops INSERT OR REPLACE, which would delete without a delete trigger.
CREATE TRIGGER usage_events_keep_replace BEFORE INSERT ON usage_events
WHEN EXISTS (SELECT 1 FROM usage_events WHERE tenant_id = NEW.tenant_id AND sequence = NEW.sequence)
  OR EXISTS (SELECT 1 FROM usage_events WHERE source = NEW.source AND event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'usage events never change'); END;
CREATE TRIGGER usage_event_counts_keep_update BEFORE UPDATE ON usage_event_counts
BEGIN SELECT RAISE(ABORT, 'what a usage event counts for never changes'); END;
CREATE TRIGGER usage_event_counts_keep_delete BEFORE DELETE ON usage_event_counts
BEGIN SELECT RAISE(ABORT, 'what a usage event counts for is never deleted'); END;
CREATE TRIGGER usage_event_counts_keep_replace BEFORE INSERT ON usage_event_counts
WHEN EXISTS (SELECT 1 FROM usage_event_counts
             WHERE tenant_id = NEW.tenant_id AND sequence = NEW.sequence AND meter = NEW.meter)
BEGIN SELECT RAISE(ABORT, 'what a usage event counts for never changes'); END;

-- An operator that may send usage events and nothing else: a program that reports what it served needs no more. Its role
-- is read_only for a gateway of the version before, which knows no scope.
ALTER TABLE operators ADD COLUMN scope TEXT CHECK (scope IS NULL OR (scope = 'events' AND role = 'read_only'));
DROP TRIGGER operators_audit_insert;
DROP TRIGGER operators_audit_update;
DROP TRIGGER operators_audit_delete;
CREATE TRIGGER operators_audit_insert AFTER INSERT ON operators
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'operator.created', 'operator',
        NEW.name,
        NULL, request_id,
        NULL,
        json_object(
        'name', NEW.name,
        'token_id', NEW.token_id,
        'role', NEW.role,
        'scope', NEW.scope,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER operators_audit_update AFTER UPDATE ON operators
WHEN OLD.name IS NOT NEW.name
   OR OLD.token_id IS NOT NEW.token_id
   OR OLD.role IS NOT NEW.role
   OR OLD.scope IS NOT NEW.scope
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
   OR OLD.secret_hash IS NOT NEW.secret_hash
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'operator.changed', 'operator',
        NEW.name,
        NULL, request_id,
        json_object(
        'name', OLD.name,
        'token_id', OLD.token_id,
        'role', OLD.role,
        'scope', OLD.scope,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'name', NEW.name,
        'token_id', NEW.token_id,
        'role', NEW.role,
        'scope', NEW.scope,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER operators_audit_delete AFTER DELETE ON operators
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'operator.deleted', 'operator',
        OLD.name,
        NULL, request_id,
        json_object(
        'name', OLD.name,
        'token_id', OLD.token_id,
        'role', OLD.role,
        'scope', OLD.scope,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        NULL
    FROM audit_actor;
END;
