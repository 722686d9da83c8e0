-- Credits: what grants are for and how long they last, and the double-entry books of what was paid from which.
-- A gateway of the version before goes on serving; it keeps records in its journal until it is replaced.

ALTER TABLE grants ADD COLUMN kind TEXT NOT NULL DEFAULT 'paid' CHECK (kind IN ('paid', 'promotional', 'refund'));
-- Lower ones are used first. Those for named models come before those for all.
ALTER TABLE grants ADD COLUMN priority INTEGER NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 99);
ALTER TABLE grants ADD COLUMN expires_unix_us INTEGER;
-- Names with commas between, in order; NULL: every model.
ALTER TABLE grants ADD COLUMN models TEXT
    CHECK ((models IS NULL) = (priority >= 50) AND (amount_nanos > 0 OR (models IS NULL AND expires_unix_us IS NULL)));
-- The posting that booked it. NULL: it was given before there were books.
ALTER TABLE grants ADD COLUMN posting INTEGER CHECK (posting >= 1);
CREATE INDEX grants_by_expiry ON grants (expires_unix_us) WHERE expires_unix_us IS NOT NULL;

-- What was agreed with a tenant about its credit. No row: nothing may be spent beyond it, and nobody is told.
CREATE TABLE credit_terms (
    tenant_id BLOB PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    overage TEXT NOT NULL CHECK (overage IN ('refuse', 'allow')),
    -- How much may be spent beyond the grants before an invoice has it. NULL where overage is allowed: any amount.
    overage_nanos INTEGER CHECK (overage_nanos > 0),
    -- Below this balance somebody is told, once for each time that it falls.
    recharge_below_nanos INTEGER CHECK (recharge_below_nanos > 0),
    CHECK (overage = 'allow' OR overage_nanos IS NULL)
) STRICT, WITHOUT ROWID;

-- The books of tenants that were ever granted something. Its row is locked by whoever writes into them.
CREATE TABLE credit_books (
    tenant_id BLOB PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    transfers INTEGER NOT NULL CHECK (transfers >= 0),
    postings INTEGER NOT NULL CHECK (postings >= 0),
    is_low INTEGER NOT NULL CHECK (is_low IN (0, 1)),
    -- Whether gateways must look again: more may be spent than they know.
    is_stale INTEGER NOT NULL CHECK (is_stale IN (0, 1)),
    opened_unix_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums of the transfers. All of a tenant's are zero together, always: only a transfer changes them, two at a time.
CREATE TABLE credit_accounts (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    account TEXT NOT NULL CHECK (account IN ('issued', 'overage', 'billed') OR account LIKE 'grant:%'
                                 OR account LIKE 'breakage:%' OR account LIKE 'consumed:%'),
    balance_nanos INTEGER NOT NULL,
    last_transfer INTEGER NOT NULL CHECK (last_transfer >= 0),
    PRIMARY KEY (tenant_id, account),
    -- No credit is spent twice.
    CHECK (balance_nanos >= 0 OR account IN ('issued', 'overage', 'billed'))
) STRICT, WITHOUT ROWID;

-- What moved from which account to which, and for which records. Transfers of one posting belong together.
CREATE TABLE credit_transfers (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    posting INTEGER NOT NULL CHECK (posting >= 1),
    cause TEXT NOT NULL CHECK (cause IN ('opening', 'grant', 'take_back', 'usage', 'expiry', 'invoice')),
    at_unix_us INTEGER NOT NULL,
    from_account TEXT NOT NULL,
    to_account TEXT NOT NULL CHECK (to_account <> from_account),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos > 0),
    grant_id BLOB CHECK (length(grant_id) = 16),
    -- Of usage: the journal, the quarter of an hour in which the requests ended, and their places in the journal.
    journal_id BLOB CHECK (length(journal_id) = 16),
    unix_quarter INTEGER,
    first_sequence INTEGER CHECK (first_sequence >= 1),
    last_sequence INTEGER CHECK (last_sequence >= first_sequence),
    records INTEGER CHECK (records BETWEEN 1 AND last_sequence - first_sequence + 1),
    -- How much of what the first and the last of them were charged is in this transfer.
    first_part_nanos INTEGER CHECK (first_part_nanos > 0),
    last_part_nanos INTEGER CHECK (last_part_nanos > 0),
    PRIMARY KEY (tenant_id, sequence),
    CHECK ((cause = 'usage') = (journal_id IS NOT NULL) AND (journal_id IS NULL) = (unix_quarter IS NULL)
           AND (journal_id IS NULL) = (first_sequence IS NULL) AND (journal_id IS NULL) = (last_sequence IS NULL)
           AND (journal_id IS NULL) = (records IS NULL) AND (journal_id IS NULL) = (first_part_nanos IS NULL)
           AND (journal_id IS NULL) = (last_part_nanos IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX credit_transfers_by_quarter ON credit_transfers (tenant_id, unix_quarter) WHERE unix_quarter IS NOT NULL;
CREATE INDEX credit_transfers_by_record ON credit_transfers (journal_id, last_sequence) WHERE journal_id IS NOT NULL;

-- Which transfers of usage an invoice has: each is on one.
CREATE TABLE credit_invoiced (
    tenant_id BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    number TEXT NOT NULL REFERENCES invoices (number),
    PRIMARY KEY (tenant_id, sequence),
    FOREIGN KEY (tenant_id, sequence) REFERENCES credit_transfers (tenant_id, sequence)
) STRICT, WITHOUT ROWID;

-- What happened that somebody may want to be told of, written with its cause.
CREATE TABLE events (
    event_id BLOB PRIMARY KEY NOT NULL CHECK (length(event_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    at_unix_us INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_tenant ON events (tenant_id, event_id);

DROP TRIGGER grants_audit_insert;
CREATE TRIGGER grants_audit_insert AFTER INSERT ON grants
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'grant.created', 'grant',
        lower(substr(hex(NEW.grant_id), 1, 8) || '-' || substr(hex(NEW.grant_id), 9, 4) || '-' || substr(hex(NEW.grant_id), 13, 4) || '-' || substr(hex(NEW.grant_id), 17, 4)
            || '-' || substr(hex(NEW.grant_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'grant_id', lower(substr(hex(NEW.grant_id), 1, 8) || '-' || substr(hex(NEW.grant_id), 9, 4) || '-' || substr(hex(NEW.grant_id), 13, 4) || '-' || substr(hex(NEW.grant_id), 17, 4)
            || '-' || substr(hex(NEW.grant_id), 21)),
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'amount_nanos', NEW.amount_nanos,
        'idempotency_key', NEW.idempotency_key,
        'note', NEW.note,
        'kind', NEW.kind,
        'priority', NEW.priority,
        'expires_unix_us', NEW.expires_unix_us,
        'models', NEW.models,
        'created_unix_us', NEW.created_unix_us)
    FROM audit_actor;
END;

CREATE TRIGGER credit_terms_audit_insert AFTER INSERT ON credit_terms
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'credit_terms.created', 'credit_terms',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        NULL,
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'overage', NEW.overage,
        'overage_nanos', NEW.overage_nanos,
        'recharge_below_nanos', NEW.recharge_below_nanos)
    FROM audit_actor;
END;

CREATE TRIGGER credit_terms_audit_update AFTER UPDATE ON credit_terms
WHEN OLD.tenant_id IS NOT NEW.tenant_id
   OR OLD.overage IS NOT NEW.overage
   OR OLD.overage_nanos IS NOT NEW.overage_nanos
   OR OLD.recharge_below_nanos IS NOT NEW.recharge_below_nanos
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'credit_terms.changed', 'credit_terms',
        lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        NEW.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'overage', OLD.overage,
        'overage_nanos', OLD.overage_nanos,
        'recharge_below_nanos', OLD.recharge_below_nanos),
        json_object(
        'tenant_id', lower(substr(hex(NEW.tenant_id), 1, 8) || '-' || substr(hex(NEW.tenant_id), 9, 4) || '-' || substr(hex(NEW.tenant_id), 13, 4) || '-' || substr(hex(NEW.tenant_id), 17, 4)
            || '-' || substr(hex(NEW.tenant_id), 21)),
        'overage', NEW.overage,
        'overage_nanos', NEW.overage_nanos,
        'recharge_below_nanos', NEW.recharge_below_nanos)
    FROM audit_actor;
END;

CREATE TRIGGER credit_terms_audit_delete AFTER DELETE ON credit_terms
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'credit_terms.deleted', 'credit_terms',
        lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        OLD.tenant_id, request_id,
        json_object(
        'tenant_id', lower(substr(hex(OLD.tenant_id), 1, 8) || '-' || substr(hex(OLD.tenant_id), 9, 4) || '-' || substr(hex(OLD.tenant_id), 13, 4) || '-' || substr(hex(OLD.tenant_id), 17, 4)
            || '-' || substr(hex(OLD.tenant_id), 21)),
        'overage', OLD.overage,
        'overage_nanos', OLD.overage_nanos,
        'recharge_below_nanos', OLD.recharge_below_nanos),
        NULL
    FROM audit_actor;
END;

CREATE TRIGGER grants_keep_booked BEFORE INSERT ON grants WHEN NEW.posting IS NULL
BEGIN SELECT RAISE(ABORT, 'a grant is booked as it is given: a newer version does that'); END;

CREATE TRIGGER credit_transfers_book AFTER INSERT ON credit_transfers
BEGIN
    INSERT INTO credit_accounts (tenant_id, account, balance_nanos, last_transfer)
    SELECT NEW.tenant_id, NEW.from_account, 0, 0
    WHERE NOT EXISTS (SELECT 1 FROM credit_accounts WHERE tenant_id = NEW.tenant_id AND account = NEW.from_account);
    INSERT INTO credit_accounts (tenant_id, account, balance_nanos, last_transfer)
    SELECT NEW.tenant_id, NEW.to_account, 0, 0
    WHERE NOT EXISTS (SELECT 1 FROM credit_accounts WHERE tenant_id = NEW.tenant_id AND account = NEW.to_account);
    UPDATE credit_accounts SET balance_nanos = balance_nanos - NEW.amount_nanos, last_transfer = NEW.sequence
    WHERE tenant_id = NEW.tenant_id AND account = NEW.from_account;
    UPDATE credit_accounts SET balance_nanos = balance_nanos + NEW.amount_nanos, last_transfer = NEW.sequence
    WHERE tenant_id = NEW.tenant_id AND account = NEW.to_account;
END;
CREATE TRIGGER credit_transfers_keep_order BEFORE INSERT ON credit_transfers
WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM credit_transfers WHERE tenant_id = NEW.tenant_id)
BEGIN SELECT RAISE(ABORT, 'transfers are only added to'); END;
CREATE TRIGGER credit_transfers_keep_update BEFORE UPDATE ON credit_transfers
BEGIN SELECT RAISE(ABORT, 'a transfer never changes'); END;
CREATE TRIGGER credit_transfers_keep_delete BEFORE DELETE ON credit_transfers
BEGIN SELECT RAISE(ABORT, 'a transfer is never deleted'); END;

-- An account begins at zero and changes by a transfer that is there, each of them once.
CREATE TRIGGER credit_accounts_keep_insert BEFORE INSERT ON credit_accounts
WHEN NEW.balance_nanos <> 0 OR NEW.last_transfer <> 0
    OR EXISTS (SELECT 1 FROM credit_accounts WHERE tenant_id = NEW.tenant_id AND account = NEW.account)
BEGIN SELECT RAISE(ABORT, 'only a transfer changes an account'); END;
CREATE TRIGGER credit_accounts_keep_update BEFORE UPDATE ON credit_accounts
WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.account <> OLD.account OR NEW.last_transfer <= OLD.last_transfer
    OR NOT EXISTS (
        SELECT 1 FROM credit_transfers
        WHERE tenant_id = NEW.tenant_id AND sequence = NEW.last_transfer
          AND ((from_account = NEW.account AND NEW.balance_nanos = OLD.balance_nanos - amount_nanos)
               OR (to_account = NEW.account AND NEW.balance_nanos = OLD.balance_nanos + amount_nanos)))
BEGIN SELECT RAISE(ABORT, 'only a transfer changes an account'); END;
CREATE TRIGGER credit_accounts_keep_delete BEFORE DELETE ON credit_accounts
BEGIN SELECT RAISE(ABORT, 'an account is never deleted'); END;

CREATE TRIGGER credit_invoiced_keep_update BEFORE UPDATE ON credit_invoiced
BEGIN SELECT RAISE(ABORT, 'a transfer is on one invoice'); END;
CREATE TRIGGER credit_invoiced_keep_delete BEFORE DELETE ON credit_invoiced
BEGIN SELECT RAISE(ABORT, 'a transfer is on one invoice'); END;

CREATE TRIGGER events_keep_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event never changes'); END;
CREATE TRIGGER events_keep_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
CREATE TRIGGER events_keep_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'an event never changes'); END;

-- Up to which record of a journal grants have paid: up to the last that was taken, or nobody takes it. So a gateway
-- that knows nothing of these books cannot pass them by.
ALTER TABLE journal_cursors ADD COLUMN paid_sequence INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER journal_cursors_keep_paid BEFORE UPDATE ON journal_cursors
WHEN NEW.sequence > OLD.sequence AND NEW.paid_sequence <> NEW.sequence
BEGIN SELECT RAISE(ABORT, 'grants pay for records as they come: a newer gateway ships them'); END;
