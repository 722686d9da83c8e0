-- Answers of the Responses API that their tenants may ask for again, until they expire or are deleted.
-- Not usage and never billed from: rows may go at any time. The bound of each text is the program's own as well.

CREATE TABLE stored_responses (
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    response_id TEXT NOT NULL CHECK (length(response_id) BETWEEN 1 AND 64),
    body TEXT NOT NULL CHECK (length(body) BETWEEN 2 AND 2097152),
    conversation TEXT NOT NULL CHECK (length(conversation) BETWEEN 2 AND 2097152),
    created_unix_us INTEGER NOT NULL,
    expires_unix_us INTEGER NOT NULL CHECK (expires_unix_us > created_unix_us),
    PRIMARY KEY (tenant_id, response_id)
) STRICT;
CREATE INDEX stored_responses_by_expiry ON stored_responses (expires_unix_us);
