-- What was given back to tenants of issued invoices: paid out, or as credit to spend. Rows are only added, and never more
-- than what the tenant is owed: what it paid and was credited beyond what the invoice came to.

CREATE TABLE invoice_refunds (
    number TEXT NOT NULL REFERENCES invoices (number),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('payout', 'grant')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    -- What makes recording a refund twice one refund. NULL: a credit note gave it.
    reference TEXT CHECK (length(reference) BETWEEN 1 AND 255),
    credit_note TEXT UNIQUE REFERENCES credit_notes (number),
    -- Of credit: the grant.
    grant_id BLOB UNIQUE REFERENCES grants (grant_id) CHECK (length(grant_id) = 16),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    at_unix_us INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (number, sequence),
    UNIQUE (number, reference),
    CHECK ((kind = 'grant') = (grant_id IS NOT NULL)),
    CHECK ((reference IS NULL) = (credit_note IS NOT NULL)),
    CHECK (credit_note IS NULL OR kind = 'grant')
) STRICT, WITHOUT ROWID;

CREATE TRIGGER invoice_refunds_keep_update BEFORE UPDATE ON invoice_refunds
BEGIN SELECT RAISE(ABORT, 'a refund never changes'); END;
CREATE TRIGGER invoice_refunds_keep_delete BEFORE DELETE ON invoice_refunds
BEGIN SELECT RAISE(ABORT, 'a refund is never deleted'); END;
CREATE TRIGGER invoice_refunds_keep_replace BEFORE INSERT ON invoice_refunds
WHEN EXISTS (SELECT 1 FROM invoice_refunds
             WHERE (number = NEW.number AND (sequence = NEW.sequence OR reference = NEW.reference))
                OR credit_note = NEW.credit_note OR grant_id = NEW.grant_id)
BEGIN SELECT RAISE(ABORT, 'a refund never changes'); END;
CREATE TRIGGER invoice_refunds_keep_order BEFORE INSERT ON invoice_refunds
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM invoice_refunds WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'refunds are only added to'); END;
-- The invoice's own text says what was due at first; its amounts always have all decimals of their currency.
CREATE TRIGGER invoice_refunds_keep_bound BEFORE INSERT ON invoice_refunds
WHEN NOT COALESCE(
    NEW.amount_minor + (SELECT COALESCE(SUM(amount_minor), 0) FROM invoice_refunds WHERE number = NEW.number)
    <= (SELECT COALESCE(SUM(amount_minor), 0) FROM invoice_events WHERE number = NEW.number)
    + (SELECT COALESCE(SUM(total_minor), 0) FROM credit_notes WHERE invoice_number = NEW.number)
    - (SELECT CAST(REPLACE(COALESCE(json_extract(body, '$.amount_due'), json_extract(body, '$.total')), '.', '') AS INTEGER)
       FROM invoices WHERE number = NEW.number), FALSE)
BEGIN SELECT RAISE(ABORT, 'refunds never exceed what the tenant is owed'); END;
-- What was given as credit is a grant of this tenant.
CREATE TRIGGER invoice_refunds_keep_grant BEFORE INSERT ON invoice_refunds
WHEN NEW.kind = 'grant' AND NOT EXISTS (SELECT 1 FROM grants WHERE grant_id = NEW.grant_id
                                        AND tenant_id = NEW.tenant_id AND kind = 'refund')
BEGIN SELECT RAISE(ABORT, 'a refund as credit is a grant'); END;

CREATE TRIGGER invoice_refunds_audit_insert AFTER INSERT ON invoice_refunds
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'invoice_refund.created', 'invoice_refund',
        NEW.number || ':' || NEW.sequence,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'number', NEW.number,
        'sequence', NEW.sequence,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'kind', NEW.kind,
        'amount_minor', NEW.amount_minor,
        'reference', NEW.reference,
        'credit_note', NEW.credit_note,
        'grant_id', lower(substr(hex(NEW.grant_id), 1, 8) || '-' || substr(hex(NEW.grant_id), 9, 4) || '-' || substr(hex(NEW.grant_id), 13, 4) || '-' || substr(hex(NEW.grant_id), 17, 4)
            || '-' || substr(hex(NEW.grant_id), 21)),
        'note', NEW.note,
        'at_unix_us', NEW.at_unix_us,
        'actor_kind', NEW.actor_kind,
        'actor', NEW.actor)
    FROM audit_actor;
END;
