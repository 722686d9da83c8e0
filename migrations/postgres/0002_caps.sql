-- Caps: projects, limits of any scope, budgets and grants, and what requests were charged by quarter of an hour.
-- The nil id stands for "no project" where a column is part of a key. Amounts of caps are whole billionths (…_nanos).
-- A gateway of the version before goes on serving; it keeps records in its journal until it is replaced.

-- Departments and purposes within a tenant. Their place never changes and none is deleted: usage names them.
CREATE TABLE projects (
    project_id UUID PRIMARY KEY NOT NULL CHECK (project_id <> '00000000-0000-0000-0000-000000000000'),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    parent_id UUID REFERENCES projects (project_id) CHECK (parent_id <> project_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    depth BIGINT NOT NULL CHECK (depth BETWEEN 1 AND 8 AND (depth = 1) = (parent_id IS NULL)),
    created_unix_us BIGINT NOT NULL,
    disabled_unix_us BIGINT
);
-- Absent parents are equal to each other here: two projects at the top cannot share a name either.
CREATE UNIQUE INDEX projects_by_name
    ON projects (tenant_id, (COALESCE(parent_id, '00000000-0000-0000-0000-000000000000')), name);
CREATE INDEX projects_by_parent ON projects (parent_id);

-- Every limit there is, by whose it is and for which model; an empty model stands for all models together.
CREATE TABLE scope_limits (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    scope_kind TEXT NOT NULL CHECK (scope_kind IN ('tenant', 'project', 'key')),
    -- The key's id, or the project's as 32 hex digits.
    scope_id TEXT NOT NULL CHECK ((scope_kind = 'tenant') = (scope_id = '') AND length(scope_id) <= 64),
    model TEXT NOT NULL CHECK (length(model) <= 128),
    requests_per_minute BIGINT CHECK (requests_per_minute > 0),
    tokens_per_minute BIGINT CHECK (tokens_per_minute > 0),
    requests_per_day BIGINT CHECK (requests_per_day > 0),
    concurrency BIGINT CHECK (concurrency > 0),
    budget_nanos BIGINT CHECK (budget_nanos > 0),
    budget_period TEXT CHECK (budget_period IN ('day', 'week', 'month', 'ever')),
    PRIMARY KEY (tenant_id, scope_kind, scope_id, model),
    CHECK ((budget_nanos IS NULL) = (budget_period IS NULL)),
    CHECK (COALESCE(requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget_nanos) IS NOT NULL)
);
-- From now on limits are read from there alone. The old columns stay, unread, until a later migration takes them away.
INSERT INTO scope_limits (tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute, concurrency)
SELECT tenant_id, 'tenant', '', '', requests_per_minute, tokens_per_minute, concurrency FROM tenants
WHERE COALESCE(requests_per_minute, tokens_per_minute, concurrency) IS NOT NULL;
INSERT INTO scope_limits (tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute, concurrency)
SELECT tenant_id, 'key', key_id, '', requests_per_minute, tokens_per_minute, concurrency FROM api_keys
WHERE COALESCE(requests_per_minute, tokens_per_minute, concurrency) IS NOT NULL;

ALTER TABLE tenants ADD COLUMN billing TEXT NOT NULL DEFAULT 'postpaid' CHECK (billing IN ('postpaid', 'prepaid'));
-- Whether a request may be served in a looser class when its own cannot be met, and asked for in a stricter one.
ALTER TABLE tenants ADD COLUMN allow_slo_downgrade BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE tenants ADD COLUMN allow_stricter_slo BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE api_keys ADD COLUMN project_id UUID REFERENCES projects (project_id);
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'inference,models:read,usage:read'
    CHECK (length(scopes) > 0);
ALTER TABLE api_keys ADD COLUMN expires_unix_us BIGINT;
ALTER TABLE api_keys ADD COLUMN slo_class TEXT CHECK (slo_class IN ('interactive', 'standard', 'batch'));
-- The key that it took the place of.
ALTER TABLE api_keys ADD COLUMN replaces TEXT REFERENCES api_keys (key_id) CHECK (replaces <> key_id);
-- Until now a disabled key was one that had been revoked.
ALTER TABLE api_keys ADD COLUMN revoked_unix_us BIGINT;
UPDATE api_keys SET revoked_unix_us = disabled_unix_us WHERE disabled_unix_us IS NOT NULL;
ALTER TABLE api_keys ADD CHECK (revoked_unix_us IS NULL OR disabled_unix_us IS NOT NULL);

-- Money given to a tenant, or taken back by a correction. What is left of it is all grants less all charges.
CREATE TABLE grants (
    grant_id UUID PRIMARY KEY NOT NULL,
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    amount_nanos BIGINT NOT NULL CHECK (amount_nanos <> 0),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    created_unix_us BIGINT NOT NULL,
    UNIQUE (tenant_id, idempotency_key)
);

ALTER TABLE usage_records ADD COLUMN project_id UUID;
ALTER TABLE usage_records ADD COLUMN usage_source TEXT NOT NULL DEFAULT 'engine'
    CHECK (usage_source IN ('engine', 'upstream', 'estimated'));
ALTER TABLE usage_records ADD COLUMN charge_nanos BIGINT NOT NULL DEFAULT 0 CHECK (charge_nanos >= 0);

-- The project becomes part of a tally's key.
ALTER TABLE tallies_hourly ADD COLUMN project_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE tallies_hourly DROP CONSTRAINT tallies_hourly_pkey;
ALTER TABLE tallies_hourly ADD PRIMARY KEY
    (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id);

-- What caps count, by the quarter of an hour in which the requests began. Kept in the transaction that inserts records.
CREATE TABLE spend_quarters (
    tenant_id UUID NOT NULL,
    unix_quarter BIGINT NOT NULL,
    project_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    charge_nanos BIGINT NOT NULL CHECK (charge_nanos >= 0),
    requests BIGINT NOT NULL CHECK (requests > 0),
    PRIMARY KEY (tenant_id, unix_quarter, project_id, key_id, model)
);

-- What never changes.
CREATE TRIGGER grants_keep BEFORE UPDATE OR DELETE ON grants
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a grant never changes; add one that corrects it');
CREATE TRIGGER grants_keep_all BEFORE TRUNCATE ON grants
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a grant is never deleted; add one that corrects it');

CREATE TRIGGER projects_keep_place BEFORE UPDATE OF project_id, tenant_id, parent_id, depth, name ON projects
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the place of a project never changes');
CREATE TRIGGER projects_keep_delete BEFORE DELETE ON projects
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a project is never deleted; disable it');
CREATE TRIGGER projects_keep_all BEFORE TRUNCATE ON projects
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a project is never deleted; disable it');
CREATE FUNCTION tallygate_below_its_parent() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.parent_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM projects
        WHERE project_id = NEW.parent_id AND tenant_id = NEW.tenant_id AND depth = NEW.depth - 1
    ) THEN
        RAISE EXCEPTION 'a project is one level below a project of the same tenant'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER projects_below_their_parent BEFORE INSERT ON projects
FOR EACH ROW EXECUTE FUNCTION tallygate_below_its_parent();

CREATE TRIGGER api_keys_keep_revoked BEFORE UPDATE ON api_keys
FOR EACH ROW
WHEN (OLD.revoked_unix_us IS NOT NULL AND (NEW.revoked_unix_us IS NULL OR NEW.disabled_unix_us IS NULL))
EXECUTE FUNCTION tallygate_keep('a revoked key stays revoked');
CREATE FUNCTION tallygate_project_of_its_tenant() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.project_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM projects WHERE project_id = NEW.project_id AND tenant_id = NEW.tenant_id
    ) THEN
        RAISE EXCEPTION 'the project of a key belongs to the same tenant' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER api_keys_keep_project_insert BEFORE INSERT ON api_keys
FOR EACH ROW EXECUTE FUNCTION tallygate_project_of_its_tenant();
CREATE TRIGGER api_keys_keep_project_update BEFORE UPDATE OF project_id, tenant_id ON api_keys
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the tenant and the project of a key never change');
