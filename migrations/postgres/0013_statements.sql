-- Signed statements of issued invoices, what they are made of, and where a rebuilding of tallies stands.

-- What an invoice's usage records were when it was issued: their number, sums and digest, as JSON.
CREATE TABLE invoice_seals (
    number TEXT PRIMARY KEY NOT NULL REFERENCES invoices (number),
    body TEXT NOT NULL
);

-- One for each invoice and key: after a rotation the same invoice may be stated again under another key.
CREATE TABLE statements (
    number TEXT NOT NULL REFERENCES invoices (number),
    key_id TEXT NOT NULL CHECK (length(key_id) = 16),
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32),
    tenant_id UUID NOT NULL,
    made_unix_us BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (number, key_id)
);

-- The first hour that a rebuilding of tallies has not looked at. No row: none is under way.
CREATE TABLE tally_rebuild (
    only_row BIGINT PRIMARY KEY NOT NULL CHECK (only_row = 1),
    tenant_id UUID NOT NULL,
    unix_hour BIGINT NOT NULL
);

CREATE TRIGGER invoice_seals_keep BEFORE UPDATE OR DELETE ON invoice_seals
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the seal of an issued invoice never changes');
CREATE TRIGGER invoice_seals_keep_all BEFORE TRUNCATE ON invoice_seals
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('the seal of an issued invoice is never deleted');
CREATE TRIGGER statements_keep BEFORE UPDATE OR DELETE ON statements
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a statement never changes');
CREATE TRIGGER statements_keep_all BEFORE TRUNCATE ON statements
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a statement is never deleted');

CREATE TRIGGER statements_audit AFTER INSERT OR UPDATE OR DELETE ON statements
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('statement', 'number', 'key_id');
