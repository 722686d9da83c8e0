-- Signed statements of issued invoices, what they are made of, and where a rebuilding of tallies stands.

-- What an invoice's usage records were when it was issued: their number, sums and digest, as JSON.
CREATE TABLE invoice_seals (
    number TEXT PRIMARY KEY NOT NULL REFERENCES invoices (number),
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One for each invoice and key: after a rotation the same invoice may be stated again under another key.
CREATE TABLE statements (
    number TEXT NOT NULL REFERENCES invoices (number),
    key_id TEXT NOT NULL CHECK (length(key_id) = 16),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    made_unix_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (number, key_id)
) STRICT, WITHOUT ROWID;

-- The first hour that a rebuilding of tallies has not looked at. No row: none is under way.
CREATE TABLE tally_rebuild (
    only_row INTEGER PRIMARY KEY NOT NULL CHECK (only_row = 1),
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    unix_hour INTEGER NOT NULL
) STRICT;

CREATE TRIGGER invoice_seals_keep_update BEFORE UPDATE ON invoice_seals
BEGIN SELECT RAISE(ABORT, 'the seal of an issued invoice never changes'); END;
CREATE TRIGGER invoice_seals_keep_delete BEFORE DELETE ON invoice_seals
BEGIN SELECT RAISE(ABORT, 'the seal of an issued invoice is never deleted'); END;
CREATE TRIGGER invoice_seals_keep_replace BEFORE INSERT ON invoice_seals
WHEN EXISTS (SELECT 1 FROM invoice_seals WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the seal of an issued invoice never changes'); END;

CREATE TRIGGER statements_keep_update BEFORE UPDATE ON statements
BEGIN SELECT RAISE(ABORT, 'a statement never changes'); END;
CREATE TRIGGER statements_keep_delete BEFORE DELETE ON statements
BEGIN SELECT RAISE(ABORT, 'a statement is never deleted'); END;
CREATE TRIGGER statements_keep_replace BEFORE INSERT ON statements
WHEN EXISTS (SELECT 1 FROM statements WHERE number = NEW.number AND key_id = NEW.key_id)
BEGIN SELECT RAISE(ABORT, 'a statement never changes'); END;

CREATE TRIGGER statements_audit_insert AFTER INSERT ON statements
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'statement.created',
        'statement', NEW.number || ':' || NEW.key_id, NEW.tenant_id, request_id,
        NULL,
        json_object(
        'number', NEW.number,
        'key_id', NEW.key_id,
        'made_unix_us', NEW.made_unix_us)
    FROM audit_actor;
END;
