-- What came of requests that carried an Idempotency-Key, so that a repeat gets the same and is never billed again.
-- One row for each tenant and key; whoever inserts it runs the request. Rows go away after `expires_unix_us`.

CREATE TABLE idempotency (
    tenant_id UUID NOT NULL,
    -- SHA-256 of the key: what a client puts into it stays with the client.
    name_hash BYTEA NOT NULL CHECK (octet_length(name_hash) = 32),
    -- SHA-256 of what was asked: the API key's id, method, path and body.
    asked_hash BYTEA NOT NULL CHECK (octet_length(asked_hash) = 32),
    -- The request that runs or ran; its usage record has the same id.
    request_id UUID NOT NULL,
    -- Which gateway runs it, and which of its lives.
    journal_id UUID NOT NULL,
    boot_id UUID NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'stored', 'too_large', 'client_gone', 'lost')),
    -- No request runs longer than this.
    running_until_unix_us BIGINT NOT NULL,
    expires_unix_us BIGINT NOT NULL CHECK (expires_unix_us >= running_until_unix_us),
    status BIGINT CHECK (status BETWEEN 100 AND 999),
    headers TEXT,
    body BYTEA,
    PRIMARY KEY (tenant_id, name_hash),
    CHECK ((state = 'stored') = (status IS NOT NULL AND headers IS NOT NULL AND body IS NOT NULL))
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_unix_us);
CREATE INDEX idempotency_running ON idempotency (journal_id) WHERE state = 'running';
