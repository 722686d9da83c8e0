-- Who issues invoices and who is billed, what became of each issued invoice, credit notes, and invoices of a part of a
-- running period. What was issued never changes; what becomes of it are rows that are only added.

-- Addresses and taxes are JSON lists, as they are put on invoices.
CREATE TABLE issuer_details (
    issuer TEXT PRIMARY KEY NOT NULL REFERENCES invoice_issuers (issuer),
    legal_name TEXT NOT NULL CHECK (length(legal_name) BETWEEN 1 AND 200),
    address TEXT NOT NULL,
    country TEXT CHECK (length(country) = 2),
    tax_id TEXT CHECK (length(tax_id) BETWEEN 1 AND 64),
    email TEXT CHECK (length(email) BETWEEN 3 AND 254),
    taxes TEXT NOT NULL,
    reverse_charge_note TEXT CHECK (length(reverse_charge_note) BETWEEN 1 AND 500),
    payment_note TEXT CHECK (length(payment_note) BETWEEN 1 AND 500),
    payment_days INTEGER CHECK (payment_days BETWEEN 0 AND 365)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_billing (
    tenant_id BLOB PRIMARY KEY NOT NULL CHECK (length(tenant_id) = 16) REFERENCES tenants (tenant_id),
    legal_name TEXT NOT NULL CHECK (length(legal_name) BETWEEN 1 AND 200),
    address TEXT NOT NULL,
    country TEXT CHECK (length(country) = 2),
    tax_id TEXT CHECK (length(tax_id) BETWEEN 1 AND 64),
    email TEXT CHECK (length(email) BETWEEN 3 AND 254),
    tax_status TEXT NOT NULL CHECK (tax_status IN ('standard', 'exempt', 'reverse_charge')),
    tax_note TEXT CHECK (length(tax_note) BETWEEN 1 AND 500),
    -- NULL: those of the issuer.
    taxes TEXT,
    payment_days INTEGER CHECK (payment_days BETWEEN 0 AND 365),
    -- A running period is billed in parts of this much. NULL: it is not.
    threshold_minor INTEGER CHECK (threshold_minor > 0),
    CHECK (tax_status <> 'exempt' OR tax_note IS NOT NULL)
) STRICT, WITHOUT ROWID;

-- What became of an issued invoice: its issuing, payments, and its end.
CREATE TABLE invoice_events (
    number TEXT NOT NULL REFERENCES invoices (number),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('issued', 'payment', 'paid', 'void', 'uncollectible')),
    amount_minor INTEGER CHECK (amount_minor > 0),
    -- What makes recording a payment twice one payment.
    reference TEXT CHECK (length(reference) BETWEEN 1 AND 255),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    at_unix_us INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (number, sequence),
    UNIQUE (number, reference),
    CHECK ((kind = 'payment') = (amount_minor IS NOT NULL)),
    CHECK ((kind = 'payment') = (reference IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Numbers of invoices for a part of a running period. Put here before the invoice is; the rest of the period follows.
CREATE TABLE threshold_invoices (
    number TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE invoice_issuers ADD COLUMN next_credit_serial INTEGER NOT NULL DEFAULT 1 CHECK (next_credit_serial >= 1);
CREATE TABLE credit_notes (
    number TEXT PRIMARY KEY NOT NULL,
    issuer TEXT NOT NULL REFERENCES invoice_issuers (issuer),
    serial INTEGER NOT NULL CHECK (serial >= 1),
    invoice_number TEXT NOT NULL REFERENCES invoices (number),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    subtotal_minor INTEGER NOT NULL CHECK (subtotal_minor > 0),
    total_minor INTEGER NOT NULL CHECK (total_minor > 0),
    reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    -- What makes asking for it twice one credit note.
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    issued_unix_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (issuer, serial),
    UNIQUE (invoice_number, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER invoice_events_keep_update BEFORE UPDATE ON invoice_events
BEGIN SELECT RAISE(ABORT, 'what became of an invoice never changes'); END;
CREATE TRIGGER invoice_events_keep_delete BEFORE DELETE ON invoice_events
BEGIN SELECT RAISE(ABORT, 'what became of an invoice is never deleted'); END;
CREATE TRIGGER invoice_events_keep_replace BEFORE INSERT ON invoice_events
WHEN EXISTS (SELECT 1 FROM invoice_events WHERE number = NEW.number AND (sequence = NEW.sequence OR reference = NEW.reference))
BEGIN SELECT RAISE(ABORT, 'what became of an invoice never changes'); END;
CREATE TRIGGER invoice_events_keep_order BEFORE INSERT ON invoice_events
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM invoice_events WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'what became of an invoice is only added to'); END;
-- After its end nothing becomes of an invoice; what was written off may still be paid or void.
CREATE TRIGGER invoice_events_keep_end BEFORE INSERT ON invoice_events
WHEN EXISTS (SELECT 1 FROM invoice_events WHERE number = NEW.number AND kind IN ('paid', 'void'))
BEGIN SELECT RAISE(ABORT, 'nothing becomes of an invoice after its end'); END;
CREATE TRIGGER threshold_invoices_keep_update BEFORE UPDATE ON threshold_invoices
BEGIN SELECT RAISE(ABORT, 'an invoice of a part of a period never changes'); END;
CREATE TRIGGER threshold_invoices_keep_delete BEFORE DELETE ON threshold_invoices
BEGIN SELECT RAISE(ABORT, 'an invoice of a part of a period is never deleted'); END;
CREATE TRIGGER threshold_invoices_keep_replace BEFORE INSERT ON threshold_invoices
WHEN EXISTS (SELECT 1 FROM threshold_invoices WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'an invoice of a part of a period never changes'); END;
CREATE TRIGGER threshold_invoices_keep_kind BEFORE INSERT ON threshold_invoices
WHEN EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'an invoice of a whole period stays one'); END;
CREATE TRIGGER credit_notes_keep_update BEFORE UPDATE ON credit_notes
BEGIN SELECT RAISE(ABORT, 'a credit note never changes'); END;
CREATE TRIGGER credit_notes_keep_delete BEFORE DELETE ON credit_notes
BEGIN SELECT RAISE(ABORT, 'a credit note is never deleted'); END;
CREATE TRIGGER credit_notes_keep_replace BEFORE INSERT ON credit_notes
WHEN EXISTS (SELECT 1 FROM credit_notes WHERE number = NEW.number OR (issuer = NEW.issuer AND serial = NEW.serial)
             OR (invoice_number = NEW.invoice_number AND idempotency_key = NEW.idempotency_key))
BEGIN SELECT RAISE(ABORT, 'a credit note never changes'); END;
-- Together credit notes never give back more than the invoice.
CREATE TRIGGER credit_notes_keep_bound BEFORE INSERT ON credit_notes
WHEN NEW.total_minor + (SELECT COALESCE(SUM(total_minor), 0) FROM credit_notes WHERE invoice_number = NEW.invoice_number)
    > (SELECT total_minor FROM invoices WHERE number = NEW.invoice_number)
BEGIN SELECT RAISE(ABORT, 'credit notes never exceed their invoice'); END;

-- Invoices of parts of a running period may lie within that of the whole.
DROP TRIGGER invoices_keep_replace;
CREATE TRIGGER invoices_keep_replace BEFORE INSERT ON invoices
WHEN EXISTS (SELECT 1 FROM invoices
             WHERE number = NEW.number OR (issuer = NEW.issuer AND serial = NEW.serial)
                OR (tenant_id = NEW.tenant_id AND period_start_unix_us = NEW.period_start_unix_us
                    AND period_end_unix_us = NEW.period_end_unix_us)
                OR (tenant_id = NEW.tenant_id AND period_start_unix_us < NEW.period_end_unix_us
                    AND period_end_unix_us > NEW.period_start_unix_us
                    AND NEW.number NOT IN (SELECT number FROM threshold_invoices)
                    AND number NOT IN (SELECT number FROM threshold_invoices)))
BEGIN SELECT RAISE(ABORT, 'this number or this period already has an issued invoice'); END;

-- Lines of corrections and of what was invoiced before. The table is made anew with more kinds and the same rows.
DROP TRIGGER invoice_lines_keep_update;
DROP TRIGGER invoice_lines_keep_delete;
DROP TRIGGER invoice_lines_keep_replace;
DROP TRIGGER invoice_lines_keep_count;
ALTER TABLE invoice_lines RENAME TO invoice_lines_before;
CREATE TABLE invoice_lines (
    number TEXT NOT NULL REFERENCES invoices (number),
    position INTEGER NOT NULL CHECK (position >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'minimum', 'maximum', 'discount', 'slo_credit', 'not_billed', 'energy',
                                       'correction', 'invoiced')),
    item TEXT NOT NULL,
    model TEXT,
    price_version TEXT,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    unit TEXT NOT NULL,
    unit_price TEXT,
    exact TEXT NOT NULL,
    displayed_minor INTEGER NOT NULL,
    PRIMARY KEY (number, position),
    CHECK (kind NOT IN ('charge', 'minimum') OR displayed_minor >= 0),
    CHECK (kind NOT IN ('maximum', 'discount', 'slo_credit') OR displayed_minor <= 0),
    CHECK (kind NOT IN ('not_billed', 'energy') OR displayed_minor = 0)
) STRICT, WITHOUT ROWID;
INSERT INTO invoice_lines
SELECT number, position, kind, item, model, price_version, quantity, unit, unit_price, exact, displayed_minor
FROM invoice_lines_before;
DROP TABLE invoice_lines_before;
CREATE TRIGGER invoice_lines_keep_update BEFORE UPDATE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
CREATE TRIGGER invoice_lines_keep_delete BEFORE DELETE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice is never deleted'); END;
CREATE TRIGGER invoice_lines_keep_replace BEFORE INSERT ON invoice_lines
WHEN EXISTS (SELECT 1 FROM invoice_lines WHERE number = NEW.number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
CREATE TRIGGER invoice_lines_keep_count BEFORE INSERT ON invoice_lines
WHEN NOT EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number AND NEW.position <= lines)
BEGIN SELECT RAISE(ABORT, 'an issued invoice takes no more lines'); END;

-- The issuing of invoices from before.
INSERT INTO invoice_events (number, sequence, tenant_id, kind, note, at_unix_us, actor_kind, actor)
SELECT number, 1, tenant_id, 'issued', '', issued_unix_us,
    COALESCE((SELECT actor_kind FROM audit_log WHERE action = 'invoice.created' AND object_id = number), 'system'),
    COALESCE((SELECT actor FROM audit_log WHERE action = 'invoice.created' AND object_id = number), 'unknown')
FROM invoices;
-- The database notes the issuing itself, so that no code path can forget it.
CREATE TRIGGER invoices_begin AFTER INSERT ON invoices
BEGIN
    INSERT INTO invoice_events (number, sequence, tenant_id, kind, note, at_unix_us, actor_kind, actor)
    SELECT NEW.number, 1, NEW.tenant_id, 'issued', '', NEW.issued_unix_us, kind, name FROM audit_actor;
END;

CREATE TRIGGER issuer_details_audit_insert AFTER INSERT ON issuer_details
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'issuer.created', 'issuer',
        NEW.issuer,
        NULL, request_id,
        NULL,
        json_object(
        'issuer', NEW.issuer,
        'legal_name', NEW.legal_name,
        'address', NEW.address,
        'country', NEW.country,
        'tax_id', NEW.tax_id,
        'email', NEW.email,
        'taxes', NEW.taxes,
        'reverse_charge_note', NEW.reverse_charge_note,
        'payment_note', NEW.payment_note,
        'payment_days', NEW.payment_days)
    FROM audit_actor;
END;

CREATE TRIGGER issuer_details_audit_update AFTER UPDATE ON issuer_details
WHEN OLD.issuer IS NOT NEW.issuer
   OR OLD.legal_name IS NOT NEW.legal_name
   OR OLD.address IS NOT NEW.address
   OR OLD.country IS NOT NEW.country
   OR OLD.tax_id IS NOT NEW.tax_id
   OR OLD.email IS NOT NEW.email
   OR OLD.taxes IS NOT NEW.taxes
   OR OLD.reverse_charge_note IS NOT NEW.reverse_charge_note
   OR OLD.payment_note IS NOT NEW.payment_note
   OR OLD.payment_days IS NOT NEW.payment_days
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'issuer.changed', 'issuer',
        NEW.issuer,
        NULL, request_id,
        json_object(
        'issuer', OLD.issuer,
        'legal_name', OLD.legal_name,
        'address', OLD.address,
        'country', OLD.country,
        'tax_id', OLD.tax_id,
        'email', OLD.email,
        'taxes', OLD.taxes,
        'reverse_charge_note', OLD.reverse_charge_note,
        'payment_note', OLD.payment_note,
        'payment_days', OLD.payment_days),
        json_object(
        'issuer', NEW.issuer,
        'legal_name', NEW.legal_name,
        'address', NEW.address,
        'country', NEW.country,
        'tax_id', NEW.tax_id,
        'email', NEW.email,
        'taxes', NEW.taxes,
        'reverse_charge_note', NEW.reverse_charge_note,
        'payment_note', NEW.payment_note,
        'payment_days', NEW.payment_days)
    FROM audit_actor;
END;

CREATE TRIGGER issuer_details_audit_delete AFTER DELETE ON issuer_details
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'issuer.deleted', 'issuer',
        OLD.issuer,
        NULL, request_id,
        json_object(
        'issuer', OLD.issuer,
        'legal_name', OLD.legal_name,
        'address', OLD.address,
        'country', OLD.country,
        'tax_id', OLD.tax_id,
        'email', OLD.email,
        'taxes', OLD.taxes,
        'reverse_charge_note', OLD.reverse_charge_note,
        'payment_note', OLD.payment_note,
        'payment_days', OLD.payment_days),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER tenant_billing_audit_insert AFTER INSERT ON tenant_billing
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant_billing.created', 'tenant_billing',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'legal_name', NEW.legal_name,
        'address', NEW.address,
        'country', NEW.country,
        'tax_id', NEW.tax_id,
        'email', NEW.email,
        'tax_status', NEW.tax_status,
        'tax_note', NEW.tax_note,
        'taxes', NEW.taxes,
        'payment_days', NEW.payment_days,
        'threshold_minor', NEW.threshold_minor)
    FROM audit_actor;
END;

CREATE TRIGGER tenant_billing_audit_update AFTER UPDATE ON tenant_billing
WHEN OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.legal_name IS NOT NEW.legal_name
   OR OLD.address IS NOT NEW.address
   OR OLD.country IS NOT NEW.country
   OR OLD.tax_id IS NOT NEW.tax_id
   OR OLD.email IS NOT NEW.email
   OR OLD.tax_status IS NOT NEW.tax_status
   OR OLD.tax_note IS NOT NEW.tax_note
   OR OLD.taxes IS NOT NEW.taxes
   OR OLD.payment_days IS NOT NEW.payment_days
   OR OLD.threshold_minor IS NOT NEW.threshold_minor
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant_billing.changed', 'tenant_billing',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'legal_name', OLD.legal_name,
        'address', OLD.address,
        'country', OLD.country,
        'tax_id', OLD.tax_id,
        'email', OLD.email,
        'tax_status', OLD.tax_status,
        'tax_note', OLD.tax_note,
        'taxes', OLD.taxes,
        'payment_days', OLD.payment_days,
        'threshold_minor', OLD.threshold_minor),
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'legal_name', NEW.legal_name,
        'address', NEW.address,
        'country', NEW.country,
        'tax_id', NEW.tax_id,
        'email', NEW.email,
        'tax_status', NEW.tax_status,
        'tax_note', NEW.tax_note,
        'taxes', NEW.taxes,
        'payment_days', NEW.payment_days,
        'threshold_minor', NEW.threshold_minor)
    FROM audit_actor;
END;

CREATE TRIGGER tenant_billing_audit_delete AFTER DELETE ON tenant_billing
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'tenant_billing.deleted', 'tenant_billing',
        lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        OLD.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'legal_name', OLD.legal_name,
        'address', OLD.address,
        'country', OLD.country,
        'tax_id', OLD.tax_id,
        'email', OLD.email,
        'tax_status', OLD.tax_status,
        'tax_note', OLD.tax_note,
        'taxes', OLD.taxes,
        'payment_days', OLD.payment_days,
        'threshold_minor', OLD.threshold_minor),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER invoice_events_audit_insert AFTER INSERT ON invoice_events WHEN NEW.kind <> 'issued'
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'invoice_event.created', 'invoice_event',
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
        'note', NEW.note,
        'at_unix_us', NEW.at_unix_us,
        'actor_kind', NEW.actor_kind,
        'actor', NEW.actor)
    FROM audit_actor;
END;

CREATE TRIGGER credit_notes_audit_insert AFTER INSERT ON credit_notes
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'credit_note.created', 'credit_note',
        NEW.number,
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'number', NEW.number,
        'issuer', NEW.issuer,
        'serial', NEW.serial,
        'invoice_number', NEW.invoice_number,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'currency', NEW.currency,
        'subtotal_minor', NEW.subtotal_minor,
        'total_minor', NEW.total_minor,
        'reason', NEW.reason,
        'idempotency_key', NEW.idempotency_key,
        'issued_unix_us', NEW.issued_unix_us)
    FROM audit_actor;
END;
