-- Who may change the ledger, who may look at a tenant, and what was changed by whom.

-- The public half of an operator's token. NULL for operators from before it was kept: their secret half is enough.
ALTER TABLE operators ADD COLUMN token_id TEXT CHECK (length(token_id) BETWEEN 1 AND 64);
CREATE UNIQUE INDEX operators_by_token ON operators (token_id);
ALTER TABLE operators ADD COLUMN role TEXT NOT NULL DEFAULT 'admin' CHECK (role IN ('admin', 'read_only'));
ALTER TABLE operators ADD COLUMN disabled_unix_us INTEGER;

-- People of a tenant. The subject is what their identity provider calls them.
CREATE TABLE users (
    user_id BLOB PRIMARY KEY NOT NULL CHECK (length(user_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    subject TEXT CHECK (length(subject) BETWEEN 1 AND 255),
    role TEXT NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER,
    UNIQUE (tenant_id, email),
    UNIQUE (tenant_id, subject)
) STRICT, WITHOUT ROWID;

-- Every change, in the transaction that made it. The sequence has no gaps: a missing number is a missing row.
INSERT INTO ledger_counters (name, value) VALUES ('audit', 0);
CREATE TABLE audit_log (
    sequence INTEGER PRIMARY KEY NOT NULL CHECK (sequence >= 1),
    at_unix_us INTEGER NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('operator', 'command_line', 'system')),
    actor TEXT NOT NULL CHECK (length(actor) BETWEEN 1 AND 255),
    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 63),
    object_kind TEXT NOT NULL CHECK (length(object_kind) BETWEEN 1 AND 63),
    object_id TEXT NOT NULL CHECK (length(object_id) BETWEEN 1 AND 255),
    tenant_id BLOB CHECK (length(tenant_id) = 16),
    request_id BLOB CHECK (length(request_id) = 16),
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, sequence);
CREATE INDEX audit_log_by_object ON audit_log (object_id, sequence);

CREATE TRIGGER audit_log_keep_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log never changes'); END;
CREATE TRIGGER audit_log_keep_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is never shortened'); END;
-- Also stops INSERT OR REPLACE, and numbers that were not drawn from the counter.
CREATE TRIGGER audit_log_keep_order BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE sequence = NEW.sequence)
  OR NEW.sequence <> (SELECT value FROM ledger_counters WHERE name = 'audit')
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to, one number after another'); END;
CREATE TRIGGER ledger_counters_keep_audit BEFORE UPDATE ON ledger_counters
WHEN OLD.name = 'audit' AND (NEW.name <> OLD.name OR NEW.value <> OLD.value + 1)
BEGIN SELECT RAISE(ABORT, 'the count of the audit log goes up by one'); END;
