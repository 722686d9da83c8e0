-- Usage events: what tenants used beside tokens, as CloudEvents say it. Each is stored once for ever, known by its source
-- and id, in the chain of its tenant; no retention takes any away.

CREATE TABLE usage_events (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 1024),
    event_id TEXT NOT NULL CHECK (length(event_id) BETWEEN 1 AND 255),
    event_type TEXT NOT NULL CHECK (length(event_type) BETWEEN 1 AND 255),
    time_unix_us BIGINT NOT NULL,
    received_unix_us BIGINT NOT NULL,
    project_id UUID REFERENCES projects (project_id),
    price_version TEXT NOT NULL REFERENCES plan_versions (plan_version),
    -- What it counts for, by meter, as JSON: a part of what is hashed.
    counts TEXT NOT NULL,
    -- The event, in the one way of writing it.
    body TEXT NOT NULL CHECK (length(body) <= 65536),
    previous_hash BYTEA NOT NULL CHECK (length(previous_hash) = 32),
    event_hash BYTEA NOT NULL CHECK (length(event_hash) = 32),
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (source, event_id)
);
CREATE INDEX usage_events_by_time ON usage_events (tenant_id, time_unix_us, sequence);

-- The same counts, one row for each meter, for sums. The nil id stands for no project.
CREATE TABLE usage_event_counts (
    tenant_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    meter TEXT NOT NULL CHECK (length(meter) BETWEEN 1 AND 31),
    time_unix_us BIGINT NOT NULL,
    price_version TEXT NOT NULL,
    project_id UUID NOT NULL,
    counts BIGINT NOT NULL CHECK (counts >= 0),
    PRIMARY KEY (tenant_id, sequence, meter),
    FOREIGN KEY (tenant_id, sequence) REFERENCES usage_events (tenant_id, sequence)
);
CREATE INDEX usage_event_counts_by_time ON usage_event_counts (tenant_id, time_unix_us);

-- Sums of those by the hour: a projection, which can be made anew.
CREATE TABLE event_tallies_hourly (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    unix_hour BIGINT NOT NULL,
    meter TEXT NOT NULL,
    price_version TEXT NOT NULL,
    project_id UUID NOT NULL,
    events BIGINT NOT NULL CHECK (events >= 0),
    counts BIGINT NOT NULL CHECK (counts >= 0),
    PRIMARY KEY (tenant_id, unix_hour, meter, price_version, project_id)
);

CREATE TRIGGER usage_events_keep BEFORE UPDATE OR DELETE ON usage_events
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('usage events never change');
CREATE TRIGGER usage_events_keep_all BEFORE TRUNCATE ON usage_events
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('usage events are never deleted');
CREATE TRIGGER usage_event_counts_keep BEFORE UPDATE OR DELETE ON usage_event_counts
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what a usage event counts for never changes');
CREATE TRIGGER usage_event_counts_keep_all BEFORE TRUNCATE ON usage_event_counts
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('what a usage event counts for is never deleted');

-- An operator that may send usage events and nothing else: a program that reports what it served needs no more. Its role
-- is read_only for a gateway of the version before, which knows no scope.
ALTER TABLE operators ADD COLUMN scope TEXT CHECK (scope IS NULL OR (scope = 'events' AND role = 'read_only'));
