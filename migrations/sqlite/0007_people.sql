-- Which plan a tenant was under since when, what people of a tenant may do, and how far each journal is complete.

-- Every plan a tenant was ever under, noted by the database itself: no code path can forget it.
CREATE TABLE subscriptions (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    plan_name TEXT NOT NULL REFERENCES plans (name),
    since_unix_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
) STRICT, WITHOUT ROWID;
-- Of tenants from before: their plan, since the audit log first has it, or since they were made.
INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
SELECT tenant_id, 1, plan_name, COALESCE(
    (SELECT MAX(at_unix_us) FROM audit_log
     WHERE audit_log.tenant_id = tenants.tenant_id AND action = 'tenant.changed'
       AND before ->> 'plan_name' <> after ->> 'plan_name'),
    created_unix_us)
FROM tenants;
CREATE TRIGGER tenants_subscribe_insert AFTER INSERT ON tenants
BEGIN
    INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
    VALUES (NEW.tenant_id, 1, NEW.plan_name, NEW.created_unix_us);
END;
CREATE TRIGGER tenants_subscribe_update AFTER UPDATE ON tenants WHEN NEW.plan_name <> OLD.plan_name
BEGIN
    INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
    SELECT NEW.tenant_id, COALESCE(MAX(sequence), 0) + 1, NEW.plan_name,
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000
    FROM subscriptions WHERE tenant_id = NEW.tenant_id;
END;
CREATE TRIGGER subscriptions_keep_update BEFORE UPDATE ON subscriptions
BEGIN SELECT RAISE(ABORT, 'what a tenant was subscribed to never changes'); END;
CREATE TRIGGER subscriptions_keep_delete BEFORE DELETE ON subscriptions
BEGIN SELECT RAISE(ABORT, 'what a tenant was subscribed to is never deleted'); END;
-- Also stops INSERT OR REPLACE.
CREATE TRIGGER subscriptions_keep_order BEFORE INSERT ON subscriptions
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscriptions WHERE tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'what a tenant was subscribed to is only added to'); END;

-- Before this instant every record that ended is in the ledger. NULL: not known. No row: its gateway is older than this.
CREATE TABLE journal_marks (
    journal_id BLOB PRIMARY KEY NOT NULL CHECK (length(journal_id) = 16),
    complete_unix_us INTEGER
) STRICT, WITHOUT ROWID;

-- Other roles. SQLite changes a CHECK only with its table; triggers go with it and come back below, unchanged.
CREATE TABLE users_of_today (
    user_id BLOB PRIMARY KEY NOT NULL CHECK (length(user_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    subject TEXT CHECK (length(subject) BETWEEN 1 AND 255),
    role TEXT NOT NULL CHECK (role IN ('owner', 'developer', 'billing', 'viewer')),
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER,
    UNIQUE (tenant_id, email),
    UNIQUE (tenant_id, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO users_of_today
SELECT user_id, tenant_id, email, subject, CASE role WHEN 'member' THEN 'developer' ELSE role END, created_unix_us,
       disabled_unix_us
FROM users;
DROP TABLE users;
ALTER TABLE users_of_today RENAME TO users;

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
