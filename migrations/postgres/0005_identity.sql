-- Who may change the ledger, who may look at a tenant, and what was changed by whom.

-- The public half of an operator's token. NULL for operators from before it was kept: their secret half is enough.
ALTER TABLE operators ADD COLUMN token_id TEXT UNIQUE CHECK (length(token_id) BETWEEN 1 AND 64);
ALTER TABLE operators ADD COLUMN role TEXT NOT NULL DEFAULT 'admin' CHECK (role IN ('admin', 'read_only'));
ALTER TABLE operators ADD COLUMN disabled_unix_us BIGINT;

-- People of a tenant. The subject is what their identity provider calls them.
CREATE TABLE users (
    user_id UUID PRIMARY KEY NOT NULL,
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    subject TEXT CHECK (length(subject) BETWEEN 1 AND 255),
    role TEXT NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
    created_unix_us BIGINT NOT NULL,
    disabled_unix_us BIGINT,
    UNIQUE (tenant_id, email),
    UNIQUE (tenant_id, subject)
);

-- Every change, in the transaction that made it. The sequence has no gaps: a missing number is a missing row.
INSERT INTO ledger_counters (name, value) VALUES ('audit', 0);
CREATE TABLE audit_log (
    sequence BIGINT PRIMARY KEY NOT NULL CHECK (sequence >= 1),
    at_unix_us BIGINT NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('operator', 'command_line', 'system')),
    actor TEXT NOT NULL CHECK (length(actor) BETWEEN 1 AND 255),
    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 63),
    object_kind TEXT NOT NULL CHECK (length(object_kind) BETWEEN 1 AND 63),
    object_id TEXT NOT NULL CHECK (length(object_id) BETWEEN 1 AND 255),
    tenant_id UUID,
    request_id UUID,
    before TEXT,
    after TEXT
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, sequence);
CREATE INDEX audit_log_by_object ON audit_log (object_id, sequence);

CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the audit log never changes');
CREATE TRIGGER audit_log_keep_all BEFORE TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('the audit log is never shortened');

-- Numbers come from the counter alone.
CREATE FUNCTION tallygate_audit_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT value FROM ledger_counters WHERE name = 'audit') THEN
        RAISE EXCEPTION 'the audit log is only added to, one number after another'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER audit_log_keep_order BEFORE INSERT ON audit_log
FOR EACH ROW EXECUTE FUNCTION tallygate_audit_order();
CREATE TRIGGER ledger_counters_keep_audit BEFORE UPDATE ON ledger_counters
FOR EACH ROW WHEN (OLD.name = 'audit' AND (NEW.name <> OLD.name OR NEW.value <> OLD.value + 1))
EXECUTE FUNCTION tallygate_keep('the count of the audit log goes up by one');
