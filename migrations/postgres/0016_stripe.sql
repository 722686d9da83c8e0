-- Billing through Stripe: which tenants, what is still to be done there, which objects there are ours, and what it told.
-- The database itself writes down what is to be done, in the transaction of its cause: no code path can forget it.

CREATE TABLE stripe_tenants (
    tenant_id UUID PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    -- Whether a card is charged or the invoice is sent by mail.
    collection TEXT NOT NULL CHECK (collection IN ('charge', 'send')),
    -- NULL: it is not made yet.
    customer_id TEXT UNIQUE CHECK (length(customer_id) BETWEEN 1 AND 255),
    linked_unix_us BIGINT NOT NULL,
    -- Since when further invoices do not go to Stripe. NULL: they do.
    unlinked_unix_us BIGINT
);

-- The outbox. Steps of one subject are taken one after another.
CREATE TABLE stripe_steps (
    -- An invoice's number, a tenant's id, or the id of an event that Stripe told.
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'invoice', 'collect', 'settle', 'void', 'uncollectible',
                                       'credit_note', 'observe', 'session', 'refund')),
    -- A credit note's number; of what Stripe told, which object it was about.
    detail TEXT NOT NULL CHECK (length(detail) <= 255),
    -- What the key of each call begins with.
    idempotency_key TEXT UNIQUE NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    -- How often keys were given up because a failure was stored under them.
    generation BIGINT NOT NULL DEFAULT 0 CHECK (generation >= 0),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'parked')),
    attempts BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_unix_us BIGINT NOT NULL,
    -- Until then somebody is at it.
    lease_unix_us BIGINT NOT NULL DEFAULT 0,
    -- Why it failed last, or what came of it.
    outcome TEXT NOT NULL DEFAULT '' CHECK (length(outcome) <= 1000),
    created_unix_us BIGINT NOT NULL,
    ended_unix_us BIGINT,
    -- How often somebody let a parked one go on.
    retries BIGINT NOT NULL DEFAULT 0 CHECK (retries >= 0),
    PRIMARY KEY (subject, sequence),
    CHECK ((state = 'pending') = (ended_unix_us IS NULL))
);
CREATE INDEX stripe_steps_pending ON stripe_steps (due_unix_us) WHERE state = 'pending';
CREATE INDEX stripe_steps_parked ON stripe_steps (subject, sequence) WHERE state = 'parked';
CREATE INDEX stripe_steps_by_tenant ON stripe_steps (tenant_id, kind, state);

-- Which object at Stripe is which of ours.
CREATE TABLE stripe_objects (
    kind TEXT NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    number TEXT NOT NULL CHECK (length(number) BETWEEN 1 AND 64),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    stripe_id TEXT UNIQUE NOT NULL CHECK (length(stripe_id) BETWEEN 1 AND 255),
    made_unix_us BIGINT NOT NULL,
    PRIMARY KEY (kind, number)
);
CREATE INDEX stripe_objects_by_tenant ON stripe_objects (tenant_id, kind, number);

-- Pages at Stripe on which a tenant leaves a card, pays in advance, or looks after its account.
CREATE TABLE stripe_sessions (
    session_id TEXT PRIMARY KEY NOT NULL CHECK (length(session_id) BETWEEN 1 AND 255),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (kind IN ('card', 'top_up', 'portal')),
    -- What is paid in advance, in the tenant's currency.
    amount_minor BIGINT CHECK (amount_minor > 0),
    created_unix_us BIGINT NOT NULL,
    completed_unix_us BIGINT,
    -- Stripe's payment, by which a refund finds it.
    payment_id TEXT UNIQUE CHECK (length(payment_id) BETWEEN 1 AND 255),
    -- What of it was taken back because it was refunded.
    refunded_minor BIGINT NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    CHECK ((kind = 'top_up') = (amount_minor IS NOT NULL)),
    CHECK (refunded_minor <= COALESCE(amount_minor, 0))
);

-- What Stripe told: each once, however often it tells it.
CREATE TABLE stripe_events (
    event_id TEXT PRIMARY KEY NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 255),
    object_id TEXT NOT NULL CHECK (length(object_id) <= 255),
    made_unix_us BIGINT NOT NULL,
    received_unix_us BIGINT NOT NULL
);

CREATE TRIGGER stripe_tenants_audit AFTER INSERT OR UPDATE OR DELETE ON stripe_tenants
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('stripe_tenant', 'tenant_id');
CREATE TRIGGER stripe_steps_audit AFTER UPDATE OF retries ON stripe_steps
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('stripe_step', 'subject', 'sequence');
CREATE TRIGGER stripe_sessions_audit AFTER INSERT ON stripe_sessions
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('stripe_session', 'session_id');

CREATE TRIGGER stripe_tenants_keep_customer BEFORE UPDATE ON stripe_tenants
FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id
                   OR (OLD.customer_id IS NOT NULL AND NEW.customer_id IS DISTINCT FROM OLD.customer_id))
EXECUTE FUNCTION tallygate_keep('which customer at Stripe a tenant is never changes');
CREATE TRIGGER stripe_tenants_keep_delete BEFORE DELETE ON stripe_tenants
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('which customer at Stripe a tenant is is never deleted; unlink it');
CREATE TRIGGER stripe_steps_keep_identity BEFORE UPDATE ON stripe_steps
FOR EACH ROW WHEN (NEW.subject <> OLD.subject OR NEW.sequence <> OLD.sequence OR NEW.tenant_id <> OLD.tenant_id
                   OR NEW.kind <> OLD.kind OR NEW.detail <> OLD.detail OR NEW.idempotency_key <> OLD.idempotency_key
                   OR NEW.generation < OLD.generation OR OLD.state = 'done')
EXECUTE FUNCTION tallygate_keep('what is to be done at Stripe never changes, and what is done stays done');
CREATE TRIGGER stripe_steps_keep_delete BEFORE DELETE ON stripe_steps
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what is to be done at Stripe is never deleted');
CREATE TRIGGER stripe_objects_keep BEFORE UPDATE OR DELETE ON stripe_objects
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('which object at Stripe is which of ours never changes');
CREATE TRIGGER stripe_objects_keep_all BEFORE TRUNCATE ON stripe_objects
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('which object at Stripe is which of ours is never deleted');
CREATE TRIGGER stripe_sessions_keep_identity BEFORE UPDATE ON stripe_sessions
FOR EACH ROW WHEN (NEW.session_id <> OLD.session_id OR NEW.tenant_id <> OLD.tenant_id OR NEW.kind <> OLD.kind
                   OR NEW.amount_minor IS DISTINCT FROM OLD.amount_minor
                   OR NEW.refunded_minor < OLD.refunded_minor
                   OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS DISTINCT FROM OLD.payment_id))
EXECUTE FUNCTION tallygate_keep('what a page at Stripe is for never changes');
CREATE TRIGGER stripe_sessions_keep_delete BEFORE DELETE ON stripe_sessions
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a page at Stripe is never deleted');
CREATE TRIGGER stripe_events_keep BEFORE UPDATE OR DELETE ON stripe_events
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what Stripe told never changes');
CREATE TRIGGER stripe_events_keep_all BEFORE TRUNCATE ON stripe_events
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('what Stripe told is never deleted');

-- Writes down what is to be done, and lets what waits before it look again at once.
CREATE FUNCTION tallygate_stripe_step(of_tenant UUID, of_subject TEXT, of_kind TEXT, of_detail TEXT, at_us BIGINT)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    next BIGINT := (SELECT COALESCE(MAX(sequence), 0) + 1 FROM stripe_steps WHERE subject = of_subject);
BEGIN
    UPDATE stripe_steps SET due_unix_us = LEAST(due_unix_us, at_us) WHERE subject = of_subject AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    VALUES (of_subject, next, of_tenant, of_kind, of_detail,
            'tg-' || replace(of_tenant::text, '-', '') || '-' || of_subject || '-' || next, at_us, at_us);
END;
$$;
CREATE FUNCTION tallygate_stripe_invoice() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'issued' THEN
        IF EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id AND unlinked_unix_us IS NULL) THEN
            PERFORM tallygate_stripe_step(NEW.tenant_id, NEW.number, 'invoice', '', NEW.at_unix_us);
        END IF;
    ELSIF NEW.kind IN ('paid', 'void', 'uncollectible')
        AND EXISTS (SELECT 1 FROM stripe_steps WHERE subject = NEW.number AND kind = 'invoice')
        -- What Stripe itself has collected it knows.
        AND NOT EXISTS (SELECT 1 FROM invoice_events WHERE number = NEW.number AND sequence = NEW.sequence - 1
                        AND reference LIKE 'stripe:%') THEN
        PERFORM tallygate_stripe_step(NEW.tenant_id, NEW.number, CASE NEW.kind WHEN 'paid' THEN 'settle' ELSE NEW.kind END,
                                      '', NEW.at_unix_us);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER invoice_events_go_to_stripe AFTER INSERT ON invoice_events
FOR EACH ROW EXECUTE FUNCTION tallygate_stripe_invoice();
CREATE FUNCTION tallygate_stripe_credit() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM stripe_steps WHERE subject = NEW.invoice_number AND kind = 'invoice') THEN
        PERFORM tallygate_stripe_step(NEW.tenant_id, NEW.invoice_number, 'credit_note', NEW.number, NEW.issued_unix_us);
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER credit_notes_go_to_stripe AFTER INSERT ON credit_notes
FOR EACH ROW EXECUTE FUNCTION tallygate_stripe_credit();
-- A customer there says what the tenant's billing details say here. The clock of the database: details have no time.
CREATE FUNCTION tallygate_stripe_customer() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id AND unlinked_unix_us IS NULL) THEN
        PERFORM tallygate_stripe_step(NEW.tenant_id, NEW.tenant_id::text, 'customer', '',
                                      CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT));
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER tenant_billing_goes_to_stripe AFTER INSERT OR UPDATE ON tenant_billing
FOR EACH ROW EXECUTE FUNCTION tallygate_stripe_customer();
