-- Caps: projects, limits of any scope, budgets and grants, and what requests were charged by quarter of an hour.
-- The nil id stands for "no project" where a column is part of a key. Amounts of caps are whole billionths (…_nanos).
-- A gateway of the version before goes on serving; it keeps records in its journal until it is replaced.

-- Departments and purposes within a tenant. Their place never changes and none is deleted: usage names them.
CREATE TABLE projects (
    project_id BLOB PRIMARY KEY NOT NULL CHECK (length(project_id) = 16 AND project_id <> zeroblob(16)),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    parent_id BLOB REFERENCES projects (project_id) CHECK (length(parent_id) = 16 AND parent_id <> project_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    depth INTEGER NOT NULL CHECK (depth BETWEEN 1 AND 8 AND (depth = 1) = (parent_id IS NULL)),
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER
) STRICT, WITHOUT ROWID;
-- Absent parents are equal to each other here: two projects at the top cannot share a name either.
CREATE UNIQUE INDEX projects_by_name ON projects (tenant_id, COALESCE(parent_id, zeroblob(16)), name);
CREATE INDEX projects_by_parent ON projects (parent_id);

-- Every limit there is, by whose it is and for which model; an empty model stands for all models together.
CREATE TABLE scope_limits (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    scope_kind TEXT NOT NULL CHECK (scope_kind IN ('tenant', 'project', 'key')),
    -- The key's id, or the project's as 32 hex digits.
    scope_id TEXT NOT NULL CHECK ((scope_kind = 'tenant') = (scope_id = '') AND length(scope_id) <= 64),
    model TEXT NOT NULL CHECK (length(model) <= 128),
    requests_per_minute INTEGER CHECK (requests_per_minute > 0),
    tokens_per_minute INTEGER CHECK (tokens_per_minute > 0),
    requests_per_day INTEGER CHECK (requests_per_day > 0),
    concurrency INTEGER CHECK (concurrency > 0),
    budget_nanos INTEGER CHECK (budget_nanos > 0),
    budget_period TEXT CHECK (budget_period IN ('day', 'week', 'month', 'ever')),
    PRIMARY KEY (tenant_id, scope_kind, scope_id, model),
    CHECK ((budget_nanos IS NULL) = (budget_period IS NULL)),
    CHECK (COALESCE(requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget_nanos) IS NOT NULL)
) STRICT, WITHOUT ROWID;
-- From now on limits are read from there alone. The old columns stay, unread, until a later migration takes them away.
INSERT INTO scope_limits (tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute, concurrency)
SELECT tenant_id, 'tenant', '', '', requests_per_minute, tokens_per_minute, concurrency FROM tenants
WHERE COALESCE(requests_per_minute, tokens_per_minute, concurrency) IS NOT NULL;
INSERT INTO scope_limits (tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute, concurrency)
SELECT tenant_id, 'key', key_id, '', requests_per_minute, tokens_per_minute, concurrency FROM api_keys
WHERE COALESCE(requests_per_minute, tokens_per_minute, concurrency) IS NOT NULL;

ALTER TABLE tenants ADD COLUMN billing TEXT NOT NULL DEFAULT 'postpaid' CHECK (billing IN ('postpaid', 'prepaid'));
-- Whether a request may be served in a looser class when its own cannot be met, and asked for in a stricter one.
ALTER TABLE tenants ADD COLUMN allow_slo_downgrade INTEGER NOT NULL DEFAULT 0 CHECK (allow_slo_downgrade IN (0, 1));
ALTER TABLE tenants ADD COLUMN allow_stricter_slo INTEGER NOT NULL DEFAULT 0 CHECK (allow_stricter_slo IN (0, 1));

ALTER TABLE api_keys ADD COLUMN project_id BLOB REFERENCES projects (project_id) CHECK (length(project_id) = 16);
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'inference,models:read,usage:read'
    CHECK (length(scopes) > 0);
ALTER TABLE api_keys ADD COLUMN expires_unix_us INTEGER;
ALTER TABLE api_keys ADD COLUMN slo_class TEXT CHECK (slo_class IN ('interactive', 'standard', 'batch'));
-- The key that it took the place of.
ALTER TABLE api_keys ADD COLUMN replaces TEXT REFERENCES api_keys (key_id) CHECK (replaces <> key_id);
-- Until now a disabled key was one that had been revoked.
ALTER TABLE api_keys ADD COLUMN revoked_unix_us INTEGER
    CHECK (revoked_unix_us IS NULL OR disabled_unix_us IS NOT NULL);
UPDATE api_keys SET revoked_unix_us = disabled_unix_us WHERE disabled_unix_us IS NOT NULL;

-- Money given to a tenant, or taken back by a correction. What is left of it is all grants less all charges.
CREATE TABLE grants (
    grant_id BLOB PRIMARY KEY NOT NULL CHECK (length(grant_id) = 16),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    amount_nanos INTEGER NOT NULL CHECK (amount_nanos <> 0),
    idempotency_key TEXT NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    note TEXT NOT NULL CHECK (length(note) <= 500),
    created_unix_us INTEGER NOT NULL,
    UNIQUE (tenant_id, idempotency_key)
) STRICT, WITHOUT ROWID;

ALTER TABLE usage_records ADD COLUMN project_id BLOB CHECK (length(project_id) = 16);
ALTER TABLE usage_records ADD COLUMN usage_source TEXT NOT NULL DEFAULT 'engine'
    CHECK (usage_source IN ('engine', 'upstream', 'estimated'));
ALTER TABLE usage_records ADD COLUMN charge_nanos INTEGER NOT NULL DEFAULT 0 CHECK (charge_nanos >= 0);

-- The project becomes part of a tally's key, for which SQLite needs a new table.
CREATE TABLE tallies_by_project (
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    unix_hour INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    slo_class TEXT NOT NULL,
    reason TEXT NOT NULL,
    price_version TEXT NOT NULL,
    energy_source TEXT NOT NULL,
    requests INTEGER NOT NULL CHECK (requests > 0),
    requests_slo_met INTEGER NOT NULL CHECK (requests_slo_met BETWEEN 0 AND requests),
    prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    cached_prompt_tokens INTEGER NOT NULL CHECK (cached_prompt_tokens BETWEEN 0 AND prompt_tokens),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens INTEGER NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    tokens_in_slo INTEGER NOT NULL CHECK (tokens_in_slo BETWEEN 0 AND output_tokens),
    late_tokens INTEGER NOT NULL CHECK (late_tokens = output_tokens - tokens_in_slo),
    energy_mj INTEGER NOT NULL CHECK (energy_mj >= 0),
    project_id BLOB NOT NULL DEFAULT (zeroblob(16)) CHECK (length(project_id) = 16),
    PRIMARY KEY (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id)
) STRICT, WITHOUT ROWID;
INSERT INTO tallies_by_project SELECT *, zeroblob(16) FROM tallies_hourly;
DROP TABLE tallies_hourly;
ALTER TABLE tallies_by_project RENAME TO tallies_hourly;

-- What caps count, by the quarter of an hour in which the requests began. Kept in the transaction that inserts records.
CREATE TABLE spend_quarters (
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    unix_quarter INTEGER NOT NULL,
    project_id BLOB NOT NULL CHECK (length(project_id) = 16),
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    charge_nanos INTEGER NOT NULL CHECK (charge_nanos >= 0),
    requests INTEGER NOT NULL CHECK (requests > 0),
    PRIMARY KEY (tenant_id, unix_quarter, project_id, key_id, model)
) STRICT, WITHOUT ROWID;

-- What never changes.
CREATE TRIGGER grants_keep_update BEFORE UPDATE ON grants
BEGIN SELECT RAISE(ABORT, 'a grant never changes; add one that corrects it'); END;
CREATE TRIGGER grants_keep_delete BEFORE DELETE ON grants
BEGIN SELECT RAISE(ABORT, 'a grant is never deleted; add one that corrects it'); END;
CREATE TRIGGER grants_keep_replace BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM grants WHERE grant_id = NEW.grant_id
                OR (tenant_id = NEW.tenant_id AND idempotency_key = NEW.idempotency_key))
BEGIN SELECT RAISE(ABORT, 'this grant is there already'); END;

CREATE TRIGGER projects_keep_place BEFORE UPDATE OF project_id, tenant_id, parent_id, depth, name ON projects
BEGIN SELECT RAISE(ABORT, 'the place of a project never changes'); END;
CREATE TRIGGER projects_keep_delete BEFORE DELETE ON projects
BEGIN SELECT RAISE(ABORT, 'a project is never deleted; disable it'); END;
CREATE TRIGGER projects_keep_replace BEFORE INSERT ON projects
WHEN EXISTS (SELECT 1 FROM projects WHERE project_id = NEW.project_id)
BEGIN SELECT RAISE(ABORT, 'the place of a project never changes'); END;
CREATE TRIGGER projects_below_their_parent BEFORE INSERT ON projects
WHEN NEW.parent_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM projects
    WHERE project_id = NEW.parent_id AND tenant_id = NEW.tenant_id AND depth = NEW.depth - 1
)
BEGIN SELECT RAISE(ABORT, 'a project is one level below a project of the same tenant'); END;

CREATE TRIGGER api_keys_keep_revoked BEFORE UPDATE ON api_keys
WHEN OLD.revoked_unix_us IS NOT NULL AND (NEW.revoked_unix_us IS NULL OR NEW.disabled_unix_us IS NULL)
BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END;
CREATE TRIGGER api_keys_keep_project_insert BEFORE INSERT ON api_keys
WHEN NEW.project_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM projects WHERE project_id = NEW.project_id AND tenant_id = NEW.tenant_id
)
BEGIN SELECT RAISE(ABORT, 'the project of a key belongs to the same tenant'); END;
CREATE TRIGGER api_keys_keep_project_update BEFORE UPDATE OF project_id, tenant_id ON api_keys
BEGIN SELECT RAISE(ABORT, 'the tenant and the project of a key never change'); END;
