-- Every change of who may ask, what was promised and what was charged is noted by the database itself, in the
-- transaction that makes it: no code path can forget it, and a change made with another client is noted as well.
-- Secrets are left out: no column that holds a hash is named below.

-- Who is changing things in the transaction that runs. Set when it begins and put back before it ends; SQLite
-- admits one writer at a time, so nobody else sees it meanwhile.
CREATE TABLE audit_actor (
    only_row INTEGER PRIMARY KEY NOT NULL CHECK (only_row = 1),
    kind TEXT NOT NULL CHECK (kind IN ('operator', 'command_line', 'system')),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    request_id BLOB CHECK (length(request_id) = 16)
) STRICT;
INSERT INTO audit_actor (only_row, kind, name) VALUES (1, 'system', 'unknown');
CREATE TRIGGER audit_actor_keep BEFORE DELETE ON audit_actor
BEGIN SELECT RAISE(ABORT, 'somebody or nobody changes things, never no one'); END;

CREATE TRIGGER tenants_audit_insert AFTER INSERT ON tenants
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant.created', 'tenant',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'name', NEW.name,
        'plan_name', NEW.plan_name,
        'currency', NEW.currency,
        'zone', NEW.zone,
        'billing', NEW.billing,
        'allow_slo_downgrade', NEW.allow_slo_downgrade,
        'allow_stricter_slo', NEW.allow_stricter_slo,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER tenants_audit_update AFTER UPDATE ON tenants
WHEN OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.name IS NOT NEW.name
   OR OLD.plan_name IS NOT NEW.plan_name
   OR OLD.currency IS NOT NEW.currency
   OR OLD.zone IS NOT NEW.zone
   OR OLD.billing IS NOT NEW.billing
   OR OLD.allow_slo_downgrade IS NOT NEW.allow_slo_downgrade
   OR OLD.allow_stricter_slo IS NOT NEW.allow_stricter_slo
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant.changed', 'tenant',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'name', OLD.name,
        'plan_name', OLD.plan_name,
        'currency', OLD.currency,
        'zone', OLD.zone,
        'billing', OLD.billing,
        'allow_slo_downgrade', OLD.allow_slo_downgrade,
        'allow_stricter_slo', OLD.allow_stricter_slo,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'name', NEW.name,
        'plan_name', NEW.plan_name,
        'currency', NEW.currency,
        'zone', NEW.zone,
        'billing', NEW.billing,
        'allow_slo_downgrade', NEW.allow_slo_downgrade,
        'allow_stricter_slo', NEW.allow_stricter_slo,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER tenants_audit_delete AFTER DELETE ON tenants
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant.deleted', 'tenant',
        lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        OLD.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'name', OLD.name,
        'plan_name', OLD.plan_name,
        'currency', OLD.currency,
        'zone', OLD.zone,
        'billing', OLD.billing,
        'allow_slo_downgrade', OLD.allow_slo_downgrade,
        'allow_stricter_slo', OLD.allow_stricter_slo,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER api_keys_audit_insert AFTER INSERT ON api_keys
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'key.created', 'key',
        NEW.key_id,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'key_id', NEW.key_id,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'name', NEW.name,
        'project_id', CASE WHEN NEW.project_id IS NOT NULL THEN lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)) END,
        'scopes', NEW.scopes,
        'models_allowed', NEW.models_allowed,
        'slo_class', NEW.slo_class,
        'replaces', NEW.replaces,
        'created_unix_us', NEW.created_unix_us,
        'expires_unix_us', NEW.expires_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us,
        'revoked_unix_us', NEW.revoked_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER api_keys_audit_update AFTER UPDATE ON api_keys
WHEN OLD.key_id IS NOT NEW.key_id
   OR OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.name IS NOT NEW.name
   OR OLD.project_id IS NOT NEW.project_id
   OR OLD.scopes IS NOT NEW.scopes
   OR OLD.models_allowed IS NOT NEW.models_allowed
   OR OLD.slo_class IS NOT NEW.slo_class
   OR OLD.replaces IS NOT NEW.replaces
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.expires_unix_us IS NOT NEW.expires_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
   OR OLD.revoked_unix_us IS NOT NEW.revoked_unix_us
   OR OLD.secret_hash IS NOT NEW.secret_hash
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'key.changed', 'key',
        NEW.key_id,
        NEW.tenant_id, request_id,
        json_object(
        'key_id', OLD.key_id,
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'name', OLD.name,
        'project_id', CASE WHEN OLD.project_id IS NOT NULL THEN lower(substr(hex(OLD.project_id), 1, 8) || '-' || substr(hex(OLD.project_id), 9, 4) || '-' || substr(hex(OLD.project_id), 13, 4) || '-' || substr(hex(OLD.project_id), 17, 4)
            || '-' || substr(hex(OLD.project_id), 21)) END,
        'scopes', OLD.scopes,
        'models_allowed', OLD.models_allowed,
        'slo_class', OLD.slo_class,
        'replaces', OLD.replaces,
        'created_unix_us', OLD.created_unix_us,
        'expires_unix_us', OLD.expires_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us,
        'revoked_unix_us', OLD.revoked_unix_us),
        json_object(
        'key_id', NEW.key_id,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'name', NEW.name,
        'project_id', CASE WHEN NEW.project_id IS NOT NULL THEN lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)) END,
        'scopes', NEW.scopes,
        'models_allowed', NEW.models_allowed,
        'slo_class', NEW.slo_class,
        'replaces', NEW.replaces,
        'created_unix_us', NEW.created_unix_us,
        'expires_unix_us', NEW.expires_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us,
        'revoked_unix_us', NEW.revoked_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER api_keys_audit_delete AFTER DELETE ON api_keys
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'key.deleted', 'key',
        OLD.key_id,
        OLD.tenant_id, request_id,
        json_object(
        'key_id', OLD.key_id,
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'name', OLD.name,
        'project_id', CASE WHEN OLD.project_id IS NOT NULL THEN lower(substr(hex(OLD.project_id), 1, 8) || '-' || substr(hex(OLD.project_id), 9, 4) || '-' || substr(hex(OLD.project_id), 13, 4) || '-' || substr(hex(OLD.project_id), 17, 4)
            || '-' || substr(hex(OLD.project_id), 21)) END,
        'scopes', OLD.scopes,
        'models_allowed', OLD.models_allowed,
        'slo_class', OLD.slo_class,
        'replaces', OLD.replaces,
        'created_unix_us', OLD.created_unix_us,
        'expires_unix_us', OLD.expires_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us,
        'revoked_unix_us', OLD.revoked_unix_us),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER projects_audit_insert AFTER INSERT ON projects
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'project.created', 'project',
        lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'project_id', lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'parent_id', CASE WHEN NEW.parent_id IS NOT NULL THEN lower(substr(hex(NEW.parent_id), 1, 8) || '-' || substr(hex(NEW.parent_id), 9, 4) || '-' || substr(hex(NEW.parent_id), 13, 4) || '-' || substr(hex(NEW.parent_id), 17, 4)
            || '-' || substr(hex(NEW.parent_id), 21)) END,
        'name', NEW.name,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER projects_audit_update AFTER UPDATE ON projects
WHEN OLD.project_id IS NOT NEW.project_id
   OR OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.parent_id IS NOT NEW.parent_id
   OR OLD.name IS NOT NEW.name
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'project.changed', 'project',
        lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'project_id', lower(substr(hex(OLD.project_id), 1, 8) || '-' || substr(hex(OLD.project_id), 9, 4) || '-' || substr(hex(OLD.project_id), 13, 4) || '-' || substr(hex(OLD.project_id), 17, 4)
            || '-' || substr(hex(OLD.project_id), 21)),
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'parent_id', CASE WHEN OLD.parent_id IS NOT NULL THEN lower(substr(hex(OLD.parent_id), 1, 8) || '-' || substr(hex(OLD.parent_id), 9, 4) || '-' || substr(hex(OLD.parent_id), 13, 4) || '-' || substr(hex(OLD.parent_id), 17, 4)
            || '-' || substr(hex(OLD.parent_id), 21)) END,
        'name', OLD.name,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'project_id', lower(substr(hex(NEW.project_id), 1, 8) || '-' || substr(hex(NEW.project_id), 9, 4) || '-' || substr(hex(NEW.project_id), 13, 4) || '-' || substr(hex(NEW.project_id), 17, 4)
            || '-' || substr(hex(NEW.project_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'parent_id', CASE WHEN NEW.parent_id IS NOT NULL THEN lower(substr(hex(NEW.parent_id), 1, 8) || '-' || substr(hex(NEW.parent_id), 9, 4) || '-' || substr(hex(NEW.parent_id), 13, 4) || '-' || substr(hex(NEW.parent_id), 17, 4)
            || '-' || substr(hex(NEW.parent_id), 21)) END,
        'name', NEW.name,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER scope_limits_audit_insert AFTER INSERT ON scope_limits
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'limits.created', 'limits',
        NEW.scope_kind || ':' || NEW.scope_id || ':' || NEW.model,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'scope_kind', NEW.scope_kind,
        'scope_id', NEW.scope_id,
        'model', NEW.model,
        'requests_per_minute', NEW.requests_per_minute,
        'tokens_per_minute', NEW.tokens_per_minute,
        'requests_per_day', NEW.requests_per_day,
        'concurrency', NEW.concurrency,
        'budget_nanos', NEW.budget_nanos,
        'budget_period', NEW.budget_period)
    FROM audit_actor;
END;

CREATE TRIGGER scope_limits_audit_update AFTER UPDATE ON scope_limits
WHEN OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.scope_kind IS NOT NEW.scope_kind
   OR OLD.scope_id IS NOT NEW.scope_id
   OR OLD.model IS NOT NEW.model
   OR OLD.requests_per_minute IS NOT NEW.requests_per_minute
   OR OLD.tokens_per_minute IS NOT NEW.tokens_per_minute
   OR OLD.requests_per_day IS NOT NEW.requests_per_day
   OR OLD.concurrency IS NOT NEW.concurrency
   OR OLD.budget_nanos IS NOT NEW.budget_nanos
   OR OLD.budget_period IS NOT NEW.budget_period
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'limits.changed', 'limits',
        NEW.scope_kind || ':' || NEW.scope_id || ':' || NEW.model,
        NEW.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'scope_kind', OLD.scope_kind,
        'scope_id', OLD.scope_id,
        'model', OLD.model,
        'requests_per_minute', OLD.requests_per_minute,
        'tokens_per_minute', OLD.tokens_per_minute,
        'requests_per_day', OLD.requests_per_day,
        'concurrency', OLD.concurrency,
        'budget_nanos', OLD.budget_nanos,
        'budget_period', OLD.budget_period),
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'scope_kind', NEW.scope_kind,
        'scope_id', NEW.scope_id,
        'model', NEW.model,
        'requests_per_minute', NEW.requests_per_minute,
        'tokens_per_minute', NEW.tokens_per_minute,
        'requests_per_day', NEW.requests_per_day,
        'concurrency', NEW.concurrency,
        'budget_nanos', NEW.budget_nanos,
        'budget_period', NEW.budget_period)
    FROM audit_actor;
END;

CREATE TRIGGER scope_limits_audit_delete AFTER DELETE ON scope_limits
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'limits.deleted', 'limits',
        OLD.scope_kind || ':' || OLD.scope_id || ':' || OLD.model,
        OLD.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'scope_kind', OLD.scope_kind,
        'scope_id', OLD.scope_id,
        'model', OLD.model,
        'requests_per_minute', OLD.requests_per_minute,
        'tokens_per_minute', OLD.tokens_per_minute,
        'requests_per_day', OLD.requests_per_day,
        'concurrency', OLD.concurrency,
        'budget_nanos', OLD.budget_nanos,
        'budget_period', OLD.budget_period),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER grants_audit_insert AFTER INSERT ON grants
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'grant.created', 'grant',
        lower(substr(hex(NEW.grant_id), 1, 8) || '-' || substr(hex(NEW.grant_id), 9, 4) || '-' || substr(hex(NEW.grant_id), 13, 4) || '-' || substr(hex(NEW.grant_id), 17, 4)
            || '-' || substr(hex(NEW.grant_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'grant_id', lower(substr(hex(NEW.grant_id), 1, 8) || '-' || substr(hex(NEW.grant_id), 9, 4) || '-' || substr(hex(NEW.grant_id), 13, 4) || '-' || substr(hex(NEW.grant_id), 17, 4)
            || '-' || substr(hex(NEW.grant_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'amount_nanos', NEW.amount_nanos,
        'idempotency_key', NEW.idempotency_key,
        'note', NEW.note,
        'created_unix_us', NEW.created_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER users_audit_insert AFTER INSERT ON users
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'user.created', 'user',
        lower(substr(hex(NEW.user_id), 1, 8) || '-' || substr(hex(NEW.user_id), 9, 4) || '-' || substr(hex(NEW.user_id), 13, 4) || '-' || substr(hex(NEW.user_id), 17, 4)
            || '-' || substr(hex(NEW.user_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'user_id', lower(substr(hex(NEW.user_id), 1, 8) || '-' || substr(hex(NEW.user_id), 9, 4) || '-' || substr(hex(NEW.user_id), 13, 4) || '-' || substr(hex(NEW.user_id), 17, 4)
            || '-' || substr(hex(NEW.user_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'email', NEW.email,
        'subject', NEW.subject,
        'role', NEW.role,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER users_audit_update AFTER UPDATE ON users
WHEN OLD.user_id IS NOT NEW.user_id
   OR OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.email IS NOT NEW.email
   OR OLD.subject IS NOT NEW.subject
   OR OLD.role IS NOT NEW.role
   OR OLD.created_unix_us IS NOT NEW.created_unix_us
   OR OLD.disabled_unix_us IS NOT NEW.disabled_unix_us
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'user.changed', 'user',
        lower(substr(hex(NEW.user_id), 1, 8) || '-' || substr(hex(NEW.user_id), 9, 4) || '-' || substr(hex(NEW.user_id), 13, 4) || '-' || substr(hex(NEW.user_id), 17, 4)
            || '-' || substr(hex(NEW.user_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'user_id', lower(substr(hex(OLD.user_id), 1, 8) || '-' || substr(hex(OLD.user_id), 9, 4) || '-' || substr(hex(OLD.user_id), 13, 4) || '-' || substr(hex(OLD.user_id), 17, 4)
            || '-' || substr(hex(OLD.user_id), 21)),
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'email', OLD.email,
        'subject', OLD.subject,
        'role', OLD.role,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'user_id', lower(substr(hex(NEW.user_id), 1, 8) || '-' || substr(hex(NEW.user_id), 9, 4) || '-' || substr(hex(NEW.user_id), 13, 4) || '-' || substr(hex(NEW.user_id), 17, 4)
            || '-' || substr(hex(NEW.user_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'email', NEW.email,
        'subject', NEW.subject,
        'role', NEW.role,
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER users_audit_delete AFTER DELETE ON users
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'user.deleted', 'user',
        lower(substr(hex(OLD.user_id), 1, 8) || '-' || substr(hex(OLD.user_id), 9, 4) || '-' || substr(hex(OLD.user_id), 13, 4) || '-' || substr(hex(OLD.user_id), 17, 4)
            || '-' || substr(hex(OLD.user_id), 21)),
        OLD.tenant_id, request_id,
        json_object(
        'user_id', lower(substr(hex(OLD.user_id), 1, 8) || '-' || substr(hex(OLD.user_id), 9, 4) || '-' || substr(hex(OLD.user_id), 13, 4) || '-' || substr(hex(OLD.user_id), 17, 4)
            || '-' || substr(hex(OLD.user_id), 21)),
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'email', OLD.email,
        'subject', OLD.subject,
        'role', OLD.role,
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER plan_versions_audit_insert AFTER INSERT ON plan_versions
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'plan.created', 'plan',
        NEW.plan_version,
        NULL, request_id,
        NULL,
        json_object(
        'plan_version', NEW.plan_version,
        'plan_name', NEW.plan_name,
        'version', NEW.version,
        'published_unix_us', NEW.published_unix_us)
    FROM audit_actor;
END;

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
        'created_unix_us', NEW.created_unix_us,
        'disabled_unix_us', NEW.disabled_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER operators_audit_update AFTER UPDATE ON operators
WHEN OLD.name IS NOT NEW.name
   OR OLD.token_id IS NOT NEW.token_id
   OR OLD.role IS NOT NEW.role
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
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        json_object(
        'name', NEW.name,
        'token_id', NEW.token_id,
        'role', NEW.role,
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
        'created_unix_us', OLD.created_unix_us,
        'disabled_unix_us', OLD.disabled_unix_us),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER invoices_audit_insert AFTER INSERT ON invoices
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'invoice.created', 'invoice',
        NEW.number,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'number', NEW.number,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'period_start_unix_us', NEW.period_start_unix_us,
        'period_end_unix_us', NEW.period_end_unix_us,
        'currency', NEW.currency,
        'total_minor', NEW.total_minor,
        'issued_unix_us', NEW.issued_unix_us)
    FROM audit_actor;
END;
