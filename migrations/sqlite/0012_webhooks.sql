-- Webhooks: who is told of events, with which secrets, and how each delivery went. A gateway of the version before
-- goes on serving; it writes events all the same, as the database itself makes deliveries of them.

CREATE TABLE webhook_endpoints (
    endpoint_id BLOB PRIMARY KEY NOT NULL CHECK (length(endpoint_id) = 16),
    -- NULL: an operator's, which hears of every tenant.
    tenant_id BLOB REFERENCES tenants (tenant_id),
    url TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    -- Kinds of events with commas between; empty: all.
    kinds TEXT NOT NULL CHECK (length(kinds) <= 500),
    -- How many secrets it ever had: its change tells of a rotation, and never the secret.
    secrets INTEGER NOT NULL CHECK (secrets >= 1),
    -- How many deliveries somebody sent again.
    resends INTEGER NOT NULL DEFAULT 0 CHECK (resends >= 0),
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER,
    -- Since when every try failed. NULL: the last one did not.
    failing_since_unix_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id);

-- Signing needs the secret itself, so it is kept as it is: whoever reads the ledger could sign.
CREATE TABLE webhook_secrets (
    endpoint_id BLOB NOT NULL REFERENCES webhook_endpoints (endpoint_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    secret BLOB NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    created_unix_us INTEGER NOT NULL,
    -- Until when it signs beside its successor. NULL: it has none.
    expires_unix_us INTEGER,
    PRIMARY KEY (endpoint_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_deliveries (
    endpoint_id BLOB NOT NULL REFERENCES webhook_endpoints (endpoint_id),
    event_id BLOB NOT NULL REFERENCES events (event_id),
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due_unix_us INTEGER NOT NULL,
    -- Until then somebody is delivering it.
    lease_unix_us INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (endpoint_id, event_id) WHERE state = 'pending';

-- Every try, without what was sent and without what came back.
CREATE TABLE webhook_attempts (
    endpoint_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    at_unix_us INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL CHECK (duration_ms >= 0),
    -- What was answered. NULL: nothing.
    status INTEGER CHECK (status BETWEEN 100 AND 999),
    outcome TEXT NOT NULL CHECK (length(outcome) BETWEEN 1 AND 63),
    PRIMARY KEY (endpoint_id, event_id, attempt),
    FOREIGN KEY (endpoint_id, event_id) REFERENCES webhook_deliveries (endpoint_id, event_id)
) STRICT, WITHOUT ROWID;

-- What was told once and is not told again: a budget's threshold in a window, a class in a month.
CREATE TABLE alerts (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    alert TEXT NOT NULL CHECK (length(alert) BETWEEN 1 AND 500),
    at_unix_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, alert)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER webhook_endpoints_audit_insert AFTER INSERT ON webhook_endpoints
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'webhook.created', 'webhook',
        lower(substr(hex(NEW.endpoint_id), 1, 8) || '-' || substr(hex(NEW.endpoint_id), 9, 4) || '-' || substr(hex(NEW.endpoint_id), 13, 4) || '-' || substr(hex(NEW.endpoint_id), 17, 4)
            || '-' || substr(hex(NEW.endpoint_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'endpoint_id', lower(substr(hex(NEW.endpoint_id), 1, 8) || '-' || substr(hex(NEW.endpoint_id), 9, 4) || '-' || substr(hex(NEW.endpoint_id), 13, 4) || '-' || substr(hex(NEW.endpoint_id), 17, 4)
            || '-' || substr(hex(NEW.endpoint_id), 21)),
        'tenant_id', CASE WHEN NEW.tenant_id IS NOT NULL THEN lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) END,
        'url', NEW.url,
        'kinds', NEW.kinds,
        'secrets', NEW.secrets,
        'resends', NEW.resends,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER webhook_endpoints_audit_update AFTER UPDATE ON webhook_endpoints
WHEN OLD.endpoint_id IS NOT NEW.endpoint_id
   OR OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.url IS NOT NEW.url
   OR OLD.kinds IS NOT NEW.kinds
   OR OLD.secrets IS NOT NEW.secrets
   OR OLD.resends IS NOT NEW.resends
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'webhook.changed', 'webhook',
        lower(substr(hex(NEW.endpoint_id), 1, 8) || '-' || substr(hex(NEW.endpoint_id), 9, 4) || '-' || substr(hex(NEW.endpoint_id), 13, 4) || '-' || substr(hex(NEW.endpoint_id), 17, 4)
            || '-' || substr(hex(NEW.endpoint_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'endpoint_id', lower(substr(hex(OLD.endpoint_id), 1, 8) || '-' || substr(hex(OLD.endpoint_id), 9, 4) || '-' || substr(hex(OLD.endpoint_id), 13, 4) || '-' || substr(hex(OLD.endpoint_id), 17, 4)
            || '-' || substr(hex(OLD.endpoint_id), 21)),
        'tenant_id', CASE WHEN OLD.tenant_id IS NOT NULL THEN lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)) END,
        'url', OLD.url,
        'kinds', OLD.kinds,
        'secrets', OLD.secrets,
        'resends', OLD.resends,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'endpoint_id', lower(substr(hex(NEW.endpoint_id), 1, 8) || '-' || substr(hex(NEW.endpoint_id), 9, 4) || '-' || substr(hex(NEW.endpoint_id), 13, 4) || '-' || substr(hex(NEW.endpoint_id), 17, 4)
            || '-' || substr(hex(NEW.endpoint_id), 21)),
        'tenant_id', CASE WHEN NEW.tenant_id IS NOT NULL THEN lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) END,
        'url', NEW.url,
        'kinds', NEW.kinds,
        'secrets', NEW.secrets,
        'resends', NEW.resends,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER webhook_endpoints_audit_delete AFTER DELETE ON webhook_endpoints
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'webhook.deleted', 'webhook',
        lower(substr(hex(OLD.endpoint_id), 1, 8) || '-' || substr(hex(OLD.endpoint_id), 9, 4) || '-' || substr(hex(OLD.endpoint_id), 13, 4) || '-' || substr(hex(OLD.endpoint_id), 17, 4)
            || '-' || substr(hex(OLD.endpoint_id), 21)),
        OLD.tenant_id, request_id,
        json_object(
        'endpoint_id', lower(substr(hex(OLD.endpoint_id), 1, 8) || '-' || substr(hex(OLD.endpoint_id), 9, 4) || '-' || substr(hex(OLD.endpoint_id), 13, 4) || '-' || substr(hex(OLD.endpoint_id), 17, 4)
            || '-' || substr(hex(OLD.endpoint_id), 21)),
        'tenant_id', CASE WHEN OLD.tenant_id IS NOT NULL THEN lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)) END,
        'url', OLD.url,
        'kinds', OLD.kinds,
        'secrets', OLD.secrets,
        'resends', OLD.resends,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        NULL
    FROM audit_actor;
END;

-- The deliveries of an event come with it, in the transaction of its cause.
CREATE TRIGGER events_deliver AFTER INSERT ON events
BEGIN
    INSERT INTO webhook_deliveries (endpoint_id, event_id, state, attempts, due_unix_us, lease_unix_us)
    SELECT endpoint_id, NEW.event_id, 'pending', 0, NEW.at_unix_us, 0 FROM webhook_endpoints
    WHERE disabled_unix_us IS NULL AND (tenant_id IS NULL OR tenant_id = NEW.tenant_id)
      AND (kinds = '' OR ',' || kinds || ',' LIKE '%,' || NEW.kind || ',%');
END;
CREATE TRIGGER webhook_attempts_keep_update BEFORE UPDATE ON webhook_attempts
BEGIN SELECT RAISE(ABORT, 'a try never changes'); END;
CREATE TRIGGER webhook_attempts_keep_delete BEFORE DELETE ON webhook_attempts
BEGIN SELECT RAISE(ABORT, 'a try is never deleted'); END;
CREATE TRIGGER webhook_endpoints_keep_tenant BEFORE UPDATE OF endpoint_id, tenant_id, url ON webhook_endpoints
BEGIN SELECT RAISE(ABORT, 'whose endpoint it is and where never change; make another'); END;
