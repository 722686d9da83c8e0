-- Credits: what grants are for and how long they last, and the double-entry books of what was paid from which.
-- A gateway of the version before goes on serving; it keeps records in its journal until it is replaced.

ALTER TABLE grants ADD COLUMN kind TEXT NOT NULL DEFAULT 'paid' CHECK (kind IN ('paid', 'promotional', 'refund'));
-- Lower ones are used first. Those for named models come before those for all.
ALTER TABLE grants ADD COLUMN priority BIGINT NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 99);
ALTER TABLE grants ADD COLUMN expires_unix_us BIGINT;
-- Names with commas between, in order; NULL: every model.
ALTER TABLE grants ADD COLUMN models TEXT;
ALTER TABLE grants ADD CONSTRAINT grants_scope
    CHECK ((models IS NULL) = (priority >= 50) AND (amount_nanos > 0 OR (models IS NULL AND expires_unix_us IS NULL)));
-- The posting that booked it. NULL: it was given before there were books.
ALTER TABLE grants ADD COLUMN posting BIGINT CHECK (posting >= 1);
CREATE INDEX grants_by_expiry ON grants (expires_unix_us) WHERE expires_unix_us IS NOT NULL;

-- What was agreed with a tenant about its credit. No row: nothing may be spent beyond it, and nobody is told.
CREATE TABLE credit_terms (
    tenant_id UUID PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    overage TEXT NOT NULL CHECK (overage IN ('refuse', 'allow')),
    -- How much may be spent beyond the grants before an invoice has it. NULL where overage is allowed: any amount.
    overage_nanos BIGINT CHECK (overage_nanos > 0),
    -- Below this balance somebody is told, once for each time that it falls.
    recharge_below_nanos BIGINT CHECK (recharge_below_nanos > 0),
    CHECK (overage = 'allow' OR overage_nanos IS NULL)
);

-- The books of tenants that were ever granted something. Its row is locked by whoever writes into them.
CREATE TABLE credit_books (
    tenant_id UUID PRIMARY KEY NOT NULL REFERENCES tenants (tenant_id),
    transfers BIGINT NOT NULL CHECK (transfers >= 0),
    postings BIGINT NOT NULL CHECK (postings >= 0),
    is_low BOOLEAN NOT NULL,
    -- Whether gateways must look again: more may be spent than they know.
    is_stale BOOLEAN NOT NULL,
    opened_unix_us BIGINT NOT NULL
);

-- Sums of the transfers. All of a tenant's are zero together, always: only a transfer changes them, two at a time.
CREATE TABLE credit_accounts (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    account TEXT NOT NULL CHECK (account IN ('issued', 'overage', 'billed') OR account LIKE 'grant:%'
                                 OR account LIKE 'breakage:%' OR account LIKE 'consumed:%'),
    balance_nanos BIGINT NOT NULL,
    last_transfer BIGINT NOT NULL CHECK (last_transfer >= 0),
    PRIMARY KEY (tenant_id, account),
    -- No credit is spent twice.
    CHECK (balance_nanos >= 0 OR account IN ('issued', 'overage', 'billed'))
);

-- What moved from which account to which, and for which records. Transfers of one posting belong together.
CREATE TABLE credit_transfers (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    posting BIGINT NOT NULL CHECK (posting >= 1),
    cause TEXT NOT NULL CHECK (cause IN ('opening', 'grant', 'take_back', 'usage', 'expiry', 'invoice')),
    at_unix_us BIGINT NOT NULL,
    from_account TEXT NOT NULL,
    to_account TEXT NOT NULL CHECK (to_account <> from_account),
    amount_nanos BIGINT NOT NULL CHECK (amount_nanos > 0),
    grant_id UUID,
    -- Of usage: the journal, the quarter of an hour in which the requests ended, and their places in the journal.
    journal_id UUID,
    unix_quarter BIGINT,
    first_sequence BIGINT CHECK (first_sequence >= 1),
    last_sequence BIGINT CHECK (last_sequence >= first_sequence),
    records BIGINT CHECK (records BETWEEN 1 AND last_sequence - first_sequence + 1),
    -- How much of what the first and the last of them were charged is in this transfer.
    first_part_nanos BIGINT CHECK (first_part_nanos > 0),
    last_part_nanos BIGINT CHECK (last_part_nanos > 0),
    PRIMARY KEY (tenant_id, sequence),
    CHECK ((cause = 'usage') = (journal_id IS NOT NULL) AND (journal_id IS NULL) = (unix_quarter IS NULL)
           AND (journal_id IS NULL) = (first_sequence IS NULL) AND (journal_id IS NULL) = (last_sequence IS NULL)
           AND (journal_id IS NULL) = (records IS NULL) AND (journal_id IS NULL) = (first_part_nanos IS NULL)
           AND (journal_id IS NULL) = (last_part_nanos IS NULL))
);
CREATE INDEX credit_transfers_by_quarter ON credit_transfers (tenant_id, unix_quarter) WHERE unix_quarter IS NOT NULL;
CREATE INDEX credit_transfers_by_record ON credit_transfers (journal_id, last_sequence) WHERE journal_id IS NOT NULL;

-- Which transfers of usage an invoice has: each is on one.
CREATE TABLE credit_invoiced (
    tenant_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    number TEXT NOT NULL REFERENCES invoices (number),
    PRIMARY KEY (tenant_id, sequence),
    FOREIGN KEY (tenant_id, sequence) REFERENCES credit_transfers (tenant_id, sequence)
);

-- What happened that somebody may want to be told of, written with its cause.
CREATE TABLE events (
    event_id UUID PRIMARY KEY NOT NULL,
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    at_unix_us BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX events_by_tenant ON events (tenant_id, event_id);

CREATE TRIGGER credit_terms_audit AFTER INSERT OR UPDATE OR DELETE ON credit_terms
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('credit_terms', 'tenant_id');

CREATE TRIGGER grants_keep_booked BEFORE INSERT ON grants
FOR EACH ROW WHEN (NEW.posting IS NULL)
EXECUTE FUNCTION tallygate_keep('a grant is booked as it is given: a newer version does that');

CREATE FUNCTION tallygate_book_transfer() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO credit_accounts (tenant_id, account, balance_nanos, last_transfer)
    SELECT NEW.tenant_id, account, 0, 0 FROM (VALUES (NEW.from_account), (NEW.to_account)) AS named (account)
    WHERE NOT EXISTS (SELECT 1 FROM credit_accounts AS known
                      WHERE known.tenant_id = NEW.tenant_id AND known.account = named.account);
    UPDATE credit_accounts SET balance_nanos = balance_nanos - NEW.amount_nanos, last_transfer = NEW.sequence
    WHERE tenant_id = NEW.tenant_id AND account = NEW.from_account;
    UPDATE credit_accounts SET balance_nanos = balance_nanos + NEW.amount_nanos, last_transfer = NEW.sequence
    WHERE tenant_id = NEW.tenant_id AND account = NEW.to_account;
    RETURN NULL;
END;
$$;
CREATE TRIGGER credit_transfers_book AFTER INSERT ON credit_transfers
FOR EACH ROW EXECUTE FUNCTION tallygate_book_transfer();
CREATE FUNCTION tallygate_transfer_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM credit_transfers WHERE tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'transfers are only added to' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER credit_transfers_keep_order BEFORE INSERT ON credit_transfers
FOR EACH ROW EXECUTE FUNCTION tallygate_transfer_order();
CREATE TRIGGER credit_transfers_keep BEFORE UPDATE OR DELETE ON credit_transfers
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a transfer never changes');
CREATE TRIGGER credit_transfers_keep_all BEFORE TRUNCATE ON credit_transfers
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a transfer is never deleted');

-- An account begins at zero and changes by a transfer that is there, each of them once.
CREATE FUNCTION tallygate_keep_account() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance_nanos = 0 AND NEW.last_transfer = 0 THEN RETURN NEW; END IF;
    ELSIF NEW.tenant_id = OLD.tenant_id AND NEW.account = OLD.account AND NEW.last_transfer > OLD.last_transfer
        AND EXISTS (
            SELECT 1 FROM credit_transfers
            WHERE tenant_id = NEW.tenant_id AND sequence = NEW.last_transfer
              AND ((from_account = NEW.account AND NEW.balance_nanos = OLD.balance_nanos - amount_nanos)
                   OR (to_account = NEW.account AND NEW.balance_nanos = OLD.balance_nanos + amount_nanos)))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'only a transfer changes an account' USING ERRCODE = 'restrict_violation';
END;
$$;
CREATE TRIGGER credit_accounts_keep BEFORE INSERT OR UPDATE ON credit_accounts
FOR EACH ROW EXECUTE FUNCTION tallygate_keep_account();
CREATE TRIGGER credit_accounts_keep_delete BEFORE DELETE ON credit_accounts
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('an account is never deleted');
CREATE TRIGGER credit_accounts_keep_all BEFORE TRUNCATE ON credit_accounts
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('an account is never deleted');

CREATE TRIGGER credit_invoiced_keep BEFORE UPDATE OR DELETE ON credit_invoiced
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a transfer is on one invoice');
CREATE TRIGGER credit_invoiced_keep_all BEFORE TRUNCATE ON credit_invoiced
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a transfer is on one invoice');

CREATE TRIGGER events_keep BEFORE UPDATE OR DELETE ON events
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('an event never changes');
CREATE TRIGGER events_keep_all BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('an event is never deleted');

-- Up to which record of a journal grants have paid: up to the last that was taken, or nobody takes it. So a gateway
-- that knows nothing of these books cannot pass them by.
ALTER TABLE journal_cursors ADD COLUMN paid_sequence BIGINT NOT NULL DEFAULT 0;
CREATE TRIGGER journal_cursors_keep_paid BEFORE UPDATE ON journal_cursors
FOR EACH ROW WHEN (NEW.sequence > OLD.sequence AND NEW.paid_sequence <> NEW.sequence)
EXECUTE FUNCTION tallygate_keep('grants pay for records as they come: a newer gateway ships them');
