-- What was given back to tenants of issued invoices: paid out, or as credit to spend. Rows are only added, and never more
-- than what the tenant is owed: what it paid and was credited beyond what the invoice came to.

CREATE TABLE invoice_refunds (
    number TEXT NOT NULL REFERENCES invoices (number),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('payout', 'grant')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    -- What makes recording a refund twice one refund. NULL: a credit note gave it.
    reference TEXT CHECK (length(reference) BETWEEN 1 AND 255),
    credit_note TEXT UNIQUE REFERENCES credit_notes (number),
    -- Of credit: the grant.
    grant_id UUID UNIQUE REFERENCES grants (grant_id),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    at_unix_us BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    PRIMARY KEY (number, sequence),
    UNIQUE (number, reference),
    CHECK ((kind = 'grant') = (grant_id IS NOT NULL)),
    CHECK ((reference IS NULL) = (credit_note IS NOT NULL)),
    CHECK (credit_note IS NULL OR kind = 'grant')
);

CREATE TRIGGER invoice_refunds_keep BEFORE UPDATE OR DELETE ON invoice_refunds
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a refund never changes');
CREATE TRIGGER invoice_refunds_keep_all BEFORE TRUNCATE ON invoice_refunds
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a refund is never deleted');
-- The invoice's own text says what was due at first; its amounts always have all decimals of their currency. The row lock
-- makes this check race-free.
CREATE FUNCTION tallygate_refund_bound() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    owed BIGINT;
BEGIN
    PERFORM 1 FROM invoice_issuers WHERE issuer = (SELECT issuer FROM invoices WHERE number = NEW.number) FOR UPDATE;
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM invoice_refunds WHERE number = NEW.number) THEN
        RAISE EXCEPTION 'refunds are only added to' USING ERRCODE = 'restrict_violation';
    END IF;
    owed := (SELECT COALESCE(SUM(amount_minor), 0) FROM invoice_events WHERE number = NEW.number)
        + (SELECT COALESCE(SUM(total_minor), 0) FROM credit_notes WHERE invoice_number = NEW.number)
        - (SELECT CAST(replace(COALESCE(body::json ->> 'amount_due', body::json ->> 'total'), '.', '') AS BIGINT)
           FROM invoices WHERE number = NEW.number)
        - (SELECT COALESCE(SUM(amount_minor), 0) FROM invoice_refunds WHERE number = NEW.number);
    IF NEW.amount_minor > owed THEN
        RAISE EXCEPTION 'refunds never exceed what the tenant is owed' USING ERRCODE = 'restrict_violation';
    END IF;
    -- What was given as credit is a grant of this tenant.
    IF NEW.kind = 'grant' AND NOT EXISTS (SELECT 1 FROM grants WHERE grant_id = NEW.grant_id
                                          AND tenant_id = NEW.tenant_id AND kind = 'refund') THEN
        RAISE EXCEPTION 'a refund as credit is a grant' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER invoice_refunds_keep_bound BEFORE INSERT ON invoice_refunds
FOR EACH ROW EXECUTE FUNCTION tallygate_refund_bound();

CREATE TRIGGER invoice_refunds_audit AFTER INSERT ON invoice_refunds
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('invoice_refund', 'number', 'sequence');
