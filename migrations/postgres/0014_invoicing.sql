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
    payment_days BIGINT CHECK (payment_days BETWEEN 0 AND 365)
);

CREATE TABLE tenant_billing (
    tenant_id UUID PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    legal_name TEXT NOT NULL CHECK (length(legal_name) BETWEEN 1 AND 200),
    address TEXT NOT NULL,
    country TEXT CHECK (length(country) = 2),
    tax_id TEXT CHECK (length(tax_id) BETWEEN 1 AND 64),
    email TEXT CHECK (length(email) BETWEEN 3 AND 254),
    tax_status TEXT NOT NULL CHECK (tax_status IN ('standard', 'exempt', 'reverse_charge')),
    tax_note TEXT CHECK (length(tax_note) BETWEEN 1 AND 500),
    -- NULL: those of the issuer.
    taxes TEXT,
    payment_days BIGINT CHECK (payment_days BETWEEN 0 AND 365),
    -- A running period is billed in parts of this much. NULL: it is not.
    threshold_minor BIGINT CHECK (threshold_minor > 0),
    CHECK (tax_status <> 'exempt' OR tax_note IS NOT NULL)
);

-- What became of an issued invoice: its issuing, payments, and its end.
CREATE TABLE invoice_events (
    number TEXT NOT NULL REFERENCES invoices (number),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('issued', 'payment', 'paid', 'void', 'uncollectible')),
    amount_minor BIGINT CHECK (amount_minor > 0),
    -- What makes recording a payment twice one payment.
    reference TEXT CHECK (length(reference) BETWEEN 1 AND 255),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    at_unix_us BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (number, sequence),
    UNIQUE (number, reference),
    CHECK ((kind = 'payment') = (amount_minor IS NOT NULL)),
    CHECK ((kind = 'payment') = (reference IS NOT NULL))
);

-- Numbers of invoices for a part of a running period. Put here before the invoice is; the rest of the period follows.
CREATE TABLE threshold_invoices (
    number TEXT PRIMARY KEY NOT NULL
);

ALTER TABLE invoice_issuers ADD COLUMN next_credit_serial BIGINT NOT NULL DEFAULT 1 CHECK (next_credit_serial >= 1);
CREATE TABLE credit_notes (
    number TEXT PRIMARY KEY NOT NULL,
    issuer TEXT NOT NULL REFERENCES invoice_issuers (issuer),
    serial BIGINT NOT NULL CHECK (serial >= 1),
    invoice_number TEXT NOT NULL REFERENCES invoices (number),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    subtotal_minor BIGINT NOT NULL CHECK (subtotal_minor > 0),
    total_minor BIGINT NOT NULL CHECK (total_minor > 0),
    reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    -- What makes asking for it twice one credit note.
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    issued_unix_us BIGINT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (issuer, serial),
    UNIQUE (invoice_number, idempotency_key)
);

CREATE TRIGGER invoice_events_keep BEFORE UPDATE OR DELETE ON invoice_events
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what became of an invoice never changes');
CREATE TRIGGER invoice_events_keep_all BEFORE TRUNCATE ON invoice_events
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('what became of an invoice is never deleted');
CREATE FUNCTION tallygate_invoice_event_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM invoice_events WHERE number = NEW.number) THEN
        RAISE EXCEPTION 'what became of an invoice is only added to' USING ERRCODE = 'restrict_violation';
    END IF;
    -- After its end nothing becomes of an invoice; what was written off may still be paid or void.
    IF EXISTS (SELECT 1 FROM invoice_events WHERE number = NEW.number AND kind IN ('paid', 'void')) THEN
        RAISE EXCEPTION 'nothing becomes of an invoice after its end' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER invoice_events_keep_order BEFORE INSERT ON invoice_events
FOR EACH ROW EXECUTE FUNCTION tallygate_invoice_event_order();
CREATE TRIGGER threshold_invoices_keep BEFORE UPDATE OR DELETE ON threshold_invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('an invoice of a part of a period never changes');
CREATE TRIGGER threshold_invoices_keep_all BEFORE TRUNCATE ON threshold_invoices
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('an invoice of a part of a period is never deleted');
CREATE FUNCTION tallygate_threshold_kind() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number) THEN
        RAISE EXCEPTION 'an invoice of a whole period stays one' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER threshold_invoices_keep_kind BEFORE INSERT ON threshold_invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_threshold_kind();
CREATE TRIGGER credit_notes_keep BEFORE UPDATE OR DELETE ON credit_notes
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a credit note never changes');
CREATE TRIGGER credit_notes_keep_all BEFORE TRUNCATE ON credit_notes
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a credit note is never deleted');
-- Together credit notes never give back more than the invoice. The row lock makes this check race-free.
CREATE FUNCTION tallygate_credit_bound() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM invoice_issuers WHERE issuer = NEW.issuer FOR UPDATE;
    IF NEW.total_minor + (SELECT COALESCE(SUM(total_minor), 0) FROM credit_notes WHERE invoice_number = NEW.invoice_number)
        > (SELECT total_minor FROM invoices WHERE number = NEW.invoice_number) THEN
        RAISE EXCEPTION 'credit notes never exceed their invoice' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER credit_notes_keep_bound BEFORE INSERT ON credit_notes
FOR EACH ROW EXECUTE FUNCTION tallygate_credit_bound();

-- Invoices of parts of a running period may lie within that of the whole.
CREATE OR REPLACE FUNCTION tallygate_one_invoice_per_instant() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM invoice_issuers WHERE issuer = NEW.issuer FOR UPDATE;
    IF NEW.number NOT IN (SELECT number FROM threshold_invoices)
       AND EXISTS (SELECT 1 FROM invoices
                   WHERE tenant_id = NEW.tenant_id AND period_start_unix_us < NEW.period_end_unix_us
                     AND period_end_unix_us > NEW.period_start_unix_us
                     AND number NOT IN (SELECT number FROM threshold_invoices)) THEN
        RAISE EXCEPTION 'this period already has an issued invoice' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END;
$$;

-- Lines of corrections and of what was invoiced before.
ALTER TABLE invoice_lines
    DROP CONSTRAINT invoice_lines_kind,
    ADD CONSTRAINT invoice_lines_kind
        CHECK (kind IN ('charge', 'minimum', 'maximum', 'discount', 'slo_credit', 'not_billed', 'energy',
                        'correction', 'invoiced'));

-- The issuing of invoices from before.
INSERT INTO invoice_events (number, sequence, tenant_id, kind, note, at_unix_us, actor_kind, actor)
SELECT number, 1, tenant_id, 'issued', '', issued_unix_us,
    COALESCE((SELECT actor_kind FROM audit_log WHERE action = 'invoice.created' AND object_id = number), 'system'),
    COALESCE((SELECT actor FROM audit_log WHERE action = 'invoice.created' AND object_id = number), 'unknown')
FROM invoices;
-- The database notes the issuing itself, so that no code path can forget it.
CREATE FUNCTION tallygate_invoice_begins() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    who JSONB := NULLIF(current_setting('tallygate.actor', true), '')::jsonb;
BEGIN
    INSERT INTO invoice_events (number, sequence, tenant_id, kind, note, at_unix_us, actor_kind, actor)
    VALUES (NEW.number, 1, NEW.tenant_id, 'issued', '', NEW.issued_unix_us, COALESCE(who ->> 'kind', 'system'),
            COALESCE(who ->> 'name', 'unknown'));
    RETURN NULL;
END;
$$;
CREATE TRIGGER invoices_begin AFTER INSERT ON invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_invoice_begins();

CREATE TRIGGER issuer_details_audit AFTER INSERT OR UPDATE OR DELETE ON issuer_details
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('issuer', 'issuer');
CREATE TRIGGER tenant_billing_audit AFTER INSERT OR UPDATE OR DELETE ON tenant_billing
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('tenant_billing', 'tenant_id');
CREATE TRIGGER invoice_events_audit AFTER INSERT ON invoice_events
FOR EACH ROW WHEN (NEW.kind <> 'issued') EXECUTE FUNCTION tallygate_audit('invoice_event', 'number', 'sequence');
CREATE TRIGGER credit_notes_audit AFTER INSERT ON credit_notes
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('credit_note', 'number');
