-- Webhooks: who is told of events, with which secrets, and how each delivery went. A gateway of the version before
-- goes on serving; it writes events all the same, as the database itself makes deliveries of them.

CREATE TABLE webhook_endpoints (
    endpoint_id UUID PRIMARY KEY NOT NULL,
    -- NULL: an operator's, which hears of every tenant.
    tenant_id UUID REFERENCES tenants (tenant_id),
    url TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    -- Kinds of events with commas between; empty: all.
    kinds TEXT NOT NULL CHECK (length(kinds) <= 500),
    -- How many secrets it ever had: its change tells of a rotation, and never the secret.
    secrets BIGINT NOT NULL CHECK (secrets >= 1),
    -- How many deliveries somebody sent again.
    resends BIGINT NOT NULL DEFAULT 0 CHECK (resends >= 0),
    created_unix_us BIGINT NOT NULL,
    disabled_unix_us BIGINT,
    -- Since when every try failed. NULL: the last one did not.
    failing_since_unix_us BIGINT
);
CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant_id);

-- Signing needs the secret itself, so it is kept as it is: whoever reads the ledger could sign.
CREATE TABLE webhook_secrets (
    endpoint_id UUID NOT NULL REFERENCES webhook_endpoints (endpoint_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    secret BYTEA NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    created_unix_us BIGINT NOT NULL,
    -- Until when it signs beside its successor. NULL: it has none.
    expires_unix_us BIGINT,
    PRIMARY KEY (endpoint_id, sequence)
);

CREATE TABLE webhook_deliveries (
    endpoint_id UUID NOT NULL REFERENCES webhook_endpoints (endpoint_id),
    event_id UUID NOT NULL REFERENCES events (event_id),
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    due_unix_us BIGINT NOT NULL,
    -- Until then somebody is delivering it.
    lease_unix_us BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, event_id)
);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (endpoint_id, event_id) WHERE state = 'pending';

-- Every try, without what was sent and without what came back.
CREATE TABLE webhook_attempts (
    endpoint_id UUID NOT NULL,
    event_id UUID NOT NULL,
    attempt BIGINT NOT NULL CHECK (attempt >= 1),
    at_unix_us BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL CHECK (duration_ms >= 0),
    -- What was answered. NULL: nothing.
    status BIGINT CHECK (status BETWEEN 100 AND 999),
    outcome TEXT NOT NULL CHECK (length(outcome) BETWEEN 1 AND 63),
    PRIMARY KEY (endpoint_id, event_id, attempt),
    FOREIGN KEY (endpoint_id, event_id) REFERENCES webhook_deliveries (endpoint_id, event_id)
);

-- What was told once and is not told again: a budget's threshold in a window, a class in a month.
CREATE TABLE alerts (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    alert TEXT NOT NULL CHECK (length(alert) BETWEEN 1 AND 500),
    at_unix_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, alert)
);

CREATE TRIGGER webhook_endpoints_audit AFTER INSERT OR DELETE OR UPDATE OF kinds, secrets, resends, disabled_unix_us ON webhook_endpoints
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('webhook', 'endpoint_id');

-- The deliveries of an event come with it, in the transaction of its cause.
CREATE FUNCTION tallygate_deliver() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (endpoint_id, event_id, state, attempts, due_unix_us, lease_unix_us)
    SELECT endpoint_id, NEW.event_id, 'pending', 0, NEW.at_unix_us, 0 FROM webhook_endpoints
    WHERE disabled_unix_us IS NULL AND (tenant_id IS NULL OR tenant_id = NEW.tenant_id)
      AND (kinds = '' OR ',' || kinds || ',' LIKE '%,' || NEW.kind || ',%');
    RETURN NULL;
END;
$$;
CREATE TRIGGER events_deliver AFTER INSERT ON events
FOR EACH ROW EXECUTE FUNCTION tallygate_deliver();
CREATE TRIGGER webhook_attempts_keep BEFORE UPDATE OR DELETE ON webhook_attempts
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a try never changes');
CREATE TRIGGER webhook_attempts_keep_all BEFORE TRUNCATE ON webhook_attempts
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a try is never deleted');
CREATE TRIGGER webhook_endpoints_keep_tenant BEFORE UPDATE OF endpoint_id, tenant_id, url ON webhook_endpoints
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('whose endpoint it is and where never change; make another');
