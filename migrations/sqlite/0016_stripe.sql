-- Billing through Stripe: which tenants, what is still to be done there, which objects there are ours, and what it told.
-- The database itself writes down what is to be done, in the transaction of its cause: no code path can forget it.

CREATE TABLE stripe_tenants (
    tenant_id BLOB PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id) CHECK (length(tenant_id) = 16),
    -- Whether a card is charged or the invoice is sent by mail.
    collection TEXT NOT NULL CHECK (collection IN ('charge', 'send')),
    -- NULL: it is not made yet.
    customer_id TEXT UNIQUE CHECK (length(customer_id) BETWEEN 1 AND 255),
    linked_unix_us INTEGER NOT NULL,
    -- Since when further invoices do not go to Stripe. NULL: they do.
    unlinked_unix_us INTEGER
) STRICT, WITHOUT ROWID;

-- The outbox. Steps of one subject are taken one after another.
CREATE TABLE stripe_steps (
    -- An invoice's number, a tenant's id, or the id of an event that Stripe told.
    subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) CHECK (length(tenant_id) = 16),
    kind TEXT NOT NULL CHECK (kind IN ('customer', 'invoice', 'collect', 'settle', 'void', 'uncollectible',
                                       'credit_note', 'observe', 'session', 'refund')),
    -- A credit note's number; of what Stripe told, which object it was about.
    detail TEXT NOT NULL CHECK (length(detail) <= 255),
    -- What the key of each call begins with.
    idempotency_key TEXT UNIQUE NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    -- How often keys were given up because a failure was stored under them.
    generation INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'parked')),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_unix_us INTEGER NOT NULL,
    -- Until then somebody is at it.
    lease_unix_us INTEGER NOT NULL DEFAULT 0,
    -- Why it failed last, or what came of it.
    outcome TEXT NOT NULL DEFAULT '' CHECK (length(outcome) <= 1000),
    created_unix_us INTEGER NOT NULL,
    ended_unix_us INTEGER,
    -- How often somebody let a parked one go on.
    retries INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
    PRIMARY KEY (subject, sequence),
    CHECK ((state = 'pending') = (ended_unix_us IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX stripe_steps_pending ON stripe_steps (due_unix_us) WHERE state = 'pending';
CREATE INDEX stripe_steps_parked ON stripe_steps (subject, sequence) WHERE state = 'parked';
CREATE INDEX stripe_steps_by_tenant ON stripe_steps (tenant_id, kind, state);

-- Which object at Stripe is which of ours.
CREATE TABLE stripe_objects (
    kind TEXT NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    number TEXT NOT NULL CHECK (length(number) BETWEEN 1 AND 64),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) CHECK (length(tenant_id) = 16),
    stripe_id TEXT UNIQUE NOT NULL CHECK (length(stripe_id) BETWEEN 1 AND 255),
    made_unix_us INTEGER NOT NULL,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX stripe_objects_by_tenant ON stripe_objects (tenant_id, kind, number);

-- Pages at Stripe on which a tenant leaves a card, pays in advance, or looks after its account.
CREATE TABLE stripe_sessions (
    session_id TEXT PRIMARY KEY NOT NULL CHECK (length(session_id) BETWEEN 1 AND 255),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) CHECK (length(tenant_id) = 16),
    kind TEXT NOT NULL CHECK (kind IN ('card', 'top_up', 'portal')),
    -- What is paid in advance, in the tenant's currency.
    amount_minor INTEGER CHECK (amount_minor > 0),
    created_unix_us INTEGER NOT NULL,
    completed_unix_us INTEGER,
    -- Stripe's payment, by which a refund finds it.
    payment_id TEXT UNIQUE CHECK (length(payment_id) BETWEEN 1 AND 255),
    -- What of it was taken back because it was refunded.
    refunded_minor INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    CHECK ((kind = 'top_up') = (amount_minor IS NOT NULL)),
    CHECK (refunded_minor <= COALESCE(amount_minor, 0))
) STRICT, WITHOUT ROWID;

-- What Stripe told: each once, however often it tells it.
CREATE TABLE stripe_events (
    event_id TEXT PRIMARY KEY NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 255),
    object_id TEXT NOT NULL CHECK (length(object_id) <= 255),
    made_unix_us INTEGER NOT NULL,
    received_unix_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER stripe_tenants_audit_insert AFTER INSERT ON stripe_tenants
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'stripe_tenant.created',
        'stripe_tenant', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)), NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'collection', NEW.collection,
        'customer_id', NEW.customer_id,
        'linked_unix_us', NEW.linked_unix_us,
        'unlinked_unix_us', NEW.unlinked_unix_us)
    FROM audit_actor;
END;
CREATE TRIGGER stripe_tenants_audit_update AFTER UPDATE ON stripe_tenants
WHEN OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.collection IS NOT NEW.collection
   OR OLD.customer_id IS NOT NEW.customer_id
   OR OLD.linked_unix_us IS NOT NEW.linked_unix_us
   OR OLD.unlinked_unix_us IS NOT NEW.unlinked_unix_us
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'stripe_tenant.changed',
        'stripe_tenant', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)), NEW.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'collection', OLD.collection,
        'customer_id', OLD.customer_id,
        'linked_unix_us', OLD.linked_unix_us,
        'unlinked_unix_us', OLD.unlinked_unix_us),
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'collection', NEW.collection,
        'customer_id', NEW.customer_id,
        'linked_unix_us', NEW.linked_unix_us,
        'unlinked_unix_us', NEW.unlinked_unix_us)
    FROM audit_actor;
END;
CREATE TRIGGER stripe_steps_audit_update AFTER UPDATE OF retries ON stripe_steps
WHEN OLD.retries <> NEW.retries
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'stripe_step.changed',
        'stripe_step', NEW.subject || ':' || NEW.sequence, NEW.tenant_id, request_id,
        json_object(
        'subject', OLD.subject,
        'sequence', OLD.sequence,
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'kind', OLD.kind,
        'detail', OLD.detail,
        'idempotency_key', OLD.idempotency_key,
        'generation', OLD.generation,
        'state', OLD.state,
        'attempts', OLD.attempts,
        'due_unix_us', OLD.due_unix_us,
        'lease_unix_us', OLD.lease_unix_us,
        'outcome', OLD.outcome,
        'created_unix_us', OLD.created_unix_us,
        'ended_unix_us', OLD.ended_unix_us,
        'retries', OLD.retries),
        json_object(
        'subject', NEW.subject,
        'sequence', NEW.sequence,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'kind', NEW.kind,
        'detail', NEW.detail,
        'idempotency_key', NEW.idempotency_key,
        'generation', NEW.generation,
        'state', NEW.state,
        'attempts', NEW.attempts,
        'due_unix_us', NEW.due_unix_us,
        'lease_unix_us', NEW.lease_unix_us,
        'outcome', NEW.outcome,
        'created_unix_us', NEW.created_unix_us,
        'ended_unix_us', NEW.ended_unix_us,
        'retries', NEW.retries)
    FROM audit_actor;
END;
CREATE TRIGGER stripe_sessions_audit_insert AFTER INSERT ON stripe_sessions
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'stripe_session.created',
        'stripe_session', NEW.session_id, NEW.tenant_id, request_id,
        NULL,
        json_object(
        'session_id', NEW.session_id,
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'kind', NEW.kind,
        'amount_minor', NEW.amount_minor,
        'created_unix_us', NEW.created_unix_us,
        'completed_unix_us', NEW.completed_unix_us,
        'payment_id', NEW.payment_id,
        'refunded_minor', NEW.refunded_minor)
    FROM audit_actor;
END;

CREATE TRIGGER stripe_tenants_keep_customer BEFORE UPDATE ON stripe_tenants
WHEN NEW.tenant_id <> OLD.tenant_id OR (OLD.customer_id IS NOT NULL AND NEW.customer_id IS NOT OLD.customer_id)
BEGIN SELECT RAISE(ABORT, 'which customer at Stripe a tenant is never changes'); END;
CREATE TRIGGER stripe_tenants_keep_delete BEFORE DELETE ON stripe_tenants
BEGIN SELECT RAISE(ABORT, 'which customer at Stripe a tenant is is never deleted; unlink it'); END;
CREATE TRIGGER stripe_tenants_keep_replace BEFORE INSERT ON stripe_tenants
WHEN EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'which customer at Stripe a tenant is never changes'); END;
CREATE TRIGGER stripe_tenants_keep_taken BEFORE INSERT ON stripe_tenants
WHEN EXISTS (SELECT 1 FROM stripe_tenants WHERE customer_id = NEW.customer_id AND tenant_id <> NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'this id or name is taken'); END;
CREATE TRIGGER stripe_steps_keep_identity BEFORE UPDATE ON stripe_steps
WHEN NEW.subject <> OLD.subject OR NEW.sequence <> OLD.sequence OR NEW.tenant_id <> OLD.tenant_id
    OR NEW.kind <> OLD.kind OR NEW.detail <> OLD.detail OR NEW.idempotency_key <> OLD.idempotency_key
    OR NEW.generation < OLD.generation OR OLD.state = 'done'
BEGIN SELECT RAISE(ABORT, 'what is to be done at Stripe never changes, and what is done stays done'); END;
CREATE TRIGGER stripe_steps_keep_delete BEFORE DELETE ON stripe_steps
BEGIN SELECT RAISE(ABORT, 'what is to be done at Stripe is never deleted'); END;
CREATE TRIGGER stripe_steps_keep_replace BEFORE INSERT ON stripe_steps
WHEN EXISTS (SELECT 1 FROM stripe_steps WHERE (subject = NEW.subject AND sequence = NEW.sequence)
                                           OR idempotency_key = NEW.idempotency_key)
BEGIN SELECT RAISE(ABORT, 'what is to be done at Stripe never changes'); END;
CREATE TRIGGER stripe_objects_keep_update BEFORE UPDATE ON stripe_objects
BEGIN SELECT RAISE(ABORT, 'which object at Stripe is which of ours never changes'); END;
CREATE TRIGGER stripe_objects_keep_delete BEFORE DELETE ON stripe_objects
BEGIN SELECT RAISE(ABORT, 'which object at Stripe is which of ours never changes'); END;
CREATE TRIGGER stripe_objects_keep_replace BEFORE INSERT ON stripe_objects
WHEN EXISTS (SELECT 1 FROM stripe_objects WHERE (kind = NEW.kind AND number = NEW.number)
                                             OR stripe_id = NEW.stripe_id)
BEGIN SELECT RAISE(ABORT, 'which object at Stripe is which of ours never changes'); END;
CREATE TRIGGER stripe_sessions_keep_identity BEFORE UPDATE ON stripe_sessions
WHEN NEW.session_id <> OLD.session_id OR NEW.tenant_id <> OLD.tenant_id OR NEW.kind <> OLD.kind
    OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.refunded_minor < OLD.refunded_minor
    OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS NOT OLD.payment_id)
BEGIN SELECT RAISE(ABORT, 'what a page at Stripe is for never changes'); END;
CREATE TRIGGER stripe_sessions_keep_delete BEFORE DELETE ON stripe_sessions
BEGIN SELECT RAISE(ABORT, 'a page at Stripe is never deleted'); END;
CREATE TRIGGER stripe_sessions_keep_replace BEFORE INSERT ON stripe_sessions
WHEN EXISTS (SELECT 1 FROM stripe_sessions WHERE session_id = NEW.session_id OR payment_id = NEW.payment_id)
BEGIN SELECT RAISE(ABORT, 'what a page at Stripe is for never changes'); END;
CREATE TRIGGER stripe_events_keep_update BEFORE UPDATE ON stripe_events
BEGIN SELECT RAISE(ABORT, 'what Stripe told never changes'); END;
CREATE TRIGGER stripe_events_keep_delete BEFORE DELETE ON stripe_events
BEGIN SELECT RAISE(ABORT, 'what Stripe told never changes'); END;
CREATE TRIGGER stripe_events_keep_replace BEFORE INSERT ON stripe_events
WHEN EXISTS (SELECT 1 FROM stripe_events WHERE event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'what Stripe told never changes'); END;

-- Writes down what is to be done, and lets what waits before it look again at once.
CREATE TRIGGER invoice_events_issued_goes_to_stripe AFTER INSERT ON invoice_events
WHEN NEW.kind = 'issued'
    AND EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id AND unlinked_unix_us IS NULL)
BEGIN
    UPDATE stripe_steps SET due_unix_us = MIN(due_unix_us, NEW.at_unix_us) WHERE subject = NEW.number AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    SELECT NEW.number, next, NEW.tenant_id, 'invoice', '',
        'tg-' || lower(hex(NEW.tenant_id)) || '-' || NEW.number || '-' || next, NEW.at_unix_us, NEW.at_unix_us
    FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = NEW.number);
END;
CREATE TRIGGER invoice_events_go_to_stripe AFTER INSERT ON invoice_events
WHEN NEW.kind IN ('paid', 'void', 'uncollectible')
    AND EXISTS (SELECT 1 FROM stripe_steps WHERE subject = NEW.number AND kind = 'invoice')
    -- What Stripe itself has collected it knows.
    AND NOT EXISTS (SELECT 1 FROM invoice_events WHERE number = NEW.number AND sequence = NEW.sequence - 1
                    AND reference LIKE 'stripe:%')
BEGIN
    UPDATE stripe_steps SET due_unix_us = MIN(due_unix_us, NEW.at_unix_us) WHERE subject = NEW.number AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    SELECT NEW.number, next, NEW.tenant_id, CASE NEW.kind WHEN 'paid' THEN 'settle' ELSE NEW.kind END, '',
        'tg-' || lower(hex(NEW.tenant_id)) || '-' || NEW.number || '-' || next, NEW.at_unix_us, NEW.at_unix_us
    FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = NEW.number);
END;
CREATE TRIGGER credit_notes_go_to_stripe AFTER INSERT ON credit_notes
WHEN EXISTS (SELECT 1 FROM stripe_steps WHERE subject = NEW.invoice_number AND kind = 'invoice')
BEGIN
    UPDATE stripe_steps SET due_unix_us = MIN(due_unix_us, NEW.issued_unix_us) WHERE subject = NEW.invoice_number AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    SELECT NEW.invoice_number, next, NEW.tenant_id, 'credit_note', NEW.number,
        'tg-' || lower(hex(NEW.tenant_id)) || '-' || NEW.invoice_number || '-' || next, NEW.issued_unix_us, NEW.issued_unix_us
    FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = NEW.invoice_number);
END;
-- A customer there says what the tenant's billing details say here. The clock of the database: details have no time.
CREATE TRIGGER tenant_billing_insert_goes_to_stripe AFTER INSERT ON tenant_billing
WHEN EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id AND unlinked_unix_us IS NULL)
BEGIN
    UPDATE stripe_steps SET due_unix_us = MIN(due_unix_us, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000) WHERE subject = lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    SELECT lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)), next, NEW.tenant_id, 'customer', '',
        'tg-' || lower(hex(NEW.tenant_id)) || '-' || lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) || '-' || next, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000
    FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)));
END;
CREATE TRIGGER tenant_billing_update_goes_to_stripe AFTER UPDATE ON tenant_billing
WHEN EXISTS (SELECT 1 FROM stripe_tenants WHERE tenant_id = NEW.tenant_id AND unlinked_unix_us IS NULL)
BEGIN
    UPDATE stripe_steps SET due_unix_us = MIN(due_unix_us, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000) WHERE subject = lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) AND state = 'pending';
    INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
    SELECT lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)), next, NEW.tenant_id, 'customer', '',
        'tg-' || lower(hex(NEW.tenant_id)) || '-' || lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)) || '-' || next, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000
    FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)));
END;
