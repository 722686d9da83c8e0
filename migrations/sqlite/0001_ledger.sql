-- The ledger: who may ask, what was promised, what was used, what was charged.
-- Times are microseconds since 1970 (…_unix_us); ids are 16-byte blobs; exact amounts are decimal text.
-- Rows of usage, plan versions and issued invoices never change: triggers at the end refuse it.

CREATE TABLE ledger_counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT, WITHOUT ROWID;
-- Raised by every change of tenants, keys or plans, in the same transaction.
INSERT INTO ledger_counters (name, value) VALUES ('revision', 0);

CREATE TABLE operators (
    name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    created_unix_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
    name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    currency TEXT NOT NULL CHECK (length(currency) = 3)
) STRICT, WITHOUT ROWID;

CREATE TABLE plan_versions (
    plan_version TEXT PRIMARY KEY NOT NULL,
    plan_name TEXT NOT NULL REFERENCES plans (name),
    version INTEGER NOT NULL CHECK (version >= 1),
    body TEXT NOT NULL,
    published_unix_us INTEGER NOT NULL,
    UNIQUE (plan_name, version),
    CHECK (plan_version = plan_name || '@' || version)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    tenant_id BLOB PRIMARY KEY NOT NULL CHECK (length(tenant_id) = 16),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
    plan_name TEXT NOT NULL REFERENCES plans (name),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    zone TEXT NOT NULL,
    requests_per_minute INTEGER CHECK (requests_per_minute > 0),
    tokens_per_minute INTEGER CHECK (tokens_per_minute > 0),
    concurrency INTEGER CHECK (concurrency > 0),
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    requests_per_minute INTEGER CHECK (requests_per_minute > 0),
    tokens_per_minute INTEGER CHECK (tokens_per_minute > 0),
    concurrency INTEGER CHECK (concurrency > 0),
    models_allowed TEXT,
    created_unix_us INTEGER NOT NULL,
    disabled_unix_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);

-- No foreign keys here: usage must arrive even when the tables above are being rebuilt.
CREATE TABLE usage_records (
    request_id BLOB PRIMARY KEY NOT NULL CHECK (length(request_id) = 16),
    journal_id BLOB NOT NULL CHECK (length(journal_id) = 16),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    record_hash BLOB NOT NULL CHECK (length(record_hash) = 32),
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    backend TEXT NOT NULL,
    slo_class TEXT NOT NULL,
    ttft_target_us INTEGER CHECK (ttft_target_us >= 0),
    ttft_target_us_per_1k_prompt INTEGER NOT NULL CHECK (ttft_target_us_per_1k_prompt >= 0),
    tpot_target_us INTEGER CHECK (tpot_target_us >= 0),
    reason TEXT NOT NULL CHECK (reason IN ('completed', 'client_gone', 'deadline', 'engine_error', 'crashed')),
    prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
    cached_prompt_tokens INTEGER NOT NULL CHECK (cached_prompt_tokens BETWEEN 0 AND prompt_tokens),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens INTEGER NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    ttft_us INTEGER CHECK (ttft_us >= 0),
    tpot_us INTEGER CHECK (tpot_us >= 0),
    slo_met INTEGER NOT NULL CHECK (slo_met IN (0, 1)),
    tokens_in_slo INTEGER NOT NULL CHECK (tokens_in_slo BETWEEN 0 AND output_tokens),
    energy_mj INTEGER NOT NULL CHECK (energy_mj >= 0),
    energy_source TEXT NOT NULL CHECK (energy_source IN ('nvml_energy', 'nvml_power', 'rapl', 'modelled')),
    client_stall_us INTEGER NOT NULL CHECK (client_stall_us >= 0),
    queue_us INTEGER NOT NULL CHECK (queue_us >= 0),
    started_unix_us INTEGER NOT NULL,
    finished_unix_us INTEGER NOT NULL,
    price_version TEXT NOT NULL,
    UNIQUE (journal_id, sequence)
) STRICT;
CREATE INDEX usage_records_by_tenant ON usage_records (tenant_id, finished_unix_us, request_id);

-- Sums of usage_records per hour in which the requests finished. Kept in the transaction that inserts records.
CREATE TABLE tallies_hourly (
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
    PRIMARY KEY (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source)
) STRICT, WITHOUT ROWID;

-- How far each journal has been copied: the next batch must continue this chain.
CREATE TABLE journal_cursors (
    journal_id BLOB PRIMARY KEY NOT NULL CHECK (length(journal_id) = 16),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    record_hash BLOB NOT NULL CHECK (length(record_hash) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE invoice_issuers (
    issuer TEXT PRIMARY KEY NOT NULL,
    next_serial INTEGER NOT NULL CHECK (next_serial >= 1)
) STRICT, WITHOUT ROWID;
INSERT INTO invoice_issuers (issuer, next_serial) VALUES ('TG', 1);

CREATE TABLE invoices (
    number TEXT PRIMARY KEY NOT NULL,
    issuer TEXT NOT NULL REFERENCES invoice_issuers (issuer),
    serial INTEGER NOT NULL CHECK (serial >= 1),
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id),
    period_start_unix_us INTEGER NOT NULL,
    period_end_unix_us INTEGER NOT NULL CHECK (period_end_unix_us > period_start_unix_us),
    zone TEXT NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    subtotal_exact TEXT NOT NULL,
    subtotal_minor INTEGER NOT NULL,
    total_minor INTEGER NOT NULL,
    records INTEGER NOT NULL CHECK (records >= 0),
    lines INTEGER NOT NULL CHECK (lines >= 0),
    issued_unix_us INTEGER NOT NULL CHECK (issued_unix_us >= period_end_unix_us),
    body TEXT NOT NULL,
    UNIQUE (issuer, serial),
    UNIQUE (tenant_id, period_start_unix_us, period_end_unix_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE invoice_lines (
    number TEXT NOT NULL REFERENCES invoices (number),
    position INTEGER NOT NULL CHECK (position >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'slo_credit', 'not_billed', 'energy')),
    item TEXT NOT NULL,
    model TEXT,
    price_version TEXT,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    unit TEXT NOT NULL,
    unit_price TEXT,
    exact TEXT NOT NULL,
    displayed_minor INTEGER NOT NULL,
    PRIMARY KEY (number, position),
    CHECK (kind <> 'charge' OR displayed_minor >= 0),
    CHECK (kind <> 'slo_credit' OR displayed_minor <= 0),
    CHECK (kind NOT IN ('not_billed', 'energy') OR displayed_minor = 0)
) STRICT, WITHOUT ROWID;

-- What never changes. BEFORE INSERT guards stop INSERT OR REPLACE, which would delete without a delete trigger.
CREATE TRIGGER usage_records_keep_update BEFORE UPDATE ON usage_records
BEGIN SELECT RAISE(ABORT, 'usage records never change'); END;
CREATE TRIGGER usage_records_keep_delete BEFORE DELETE ON usage_records
BEGIN SELECT RAISE(ABORT, 'usage records are never deleted'); END;
CREATE TRIGGER usage_records_keep_replace BEFORE INSERT ON usage_records
WHEN EXISTS (SELECT 1 FROM usage_records WHERE request_id = NEW.request_id)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER usage_records_keep_sequence BEFORE INSERT ON usage_records
WHEN EXISTS (
    SELECT 1 FROM usage_records
    WHERE journal_id = NEW.journal_id AND sequence = NEW.sequence AND request_id <> NEW.request_id
)
BEGIN SELECT RAISE(ABORT, 'this place in the journal holds another usage record'); END;

CREATE TRIGGER plan_versions_keep_update BEFORE UPDATE ON plan_versions
BEGIN SELECT RAISE(ABORT, 'a plan version never changes'); END;
CREATE TRIGGER plan_versions_keep_delete BEFORE DELETE ON plan_versions
BEGIN SELECT RAISE(ABORT, 'a plan version is never deleted'); END;
CREATE TRIGGER plan_versions_keep_replace BEFORE INSERT ON plan_versions
WHEN EXISTS (SELECT 1 FROM plan_versions
             WHERE plan_version = NEW.plan_version OR (plan_name = NEW.plan_name AND version = NEW.version))
BEGIN SELECT RAISE(ABORT, 'a plan version never changes'); END;
CREATE TRIGGER plans_keep_update BEFORE UPDATE ON plans
BEGIN SELECT RAISE(ABORT, 'the currency of a plan never changes'); END;
CREATE TRIGGER tenants_keep_currency BEFORE UPDATE OF currency ON tenants WHEN NEW.currency <> OLD.currency
BEGIN SELECT RAISE(ABORT, 'the currency of a tenant never changes'); END;

CREATE TRIGGER invoices_keep_update BEFORE UPDATE ON invoices
BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;
CREATE TRIGGER invoices_keep_delete BEFORE DELETE ON invoices
BEGIN SELECT RAISE(ABORT, 'an issued invoice is never deleted'); END;
CREATE TRIGGER invoices_keep_replace BEFORE INSERT ON invoices
WHEN EXISTS (SELECT 1 FROM invoices
             WHERE number = NEW.number OR (issuer = NEW.issuer AND serial = NEW.serial)
                OR (tenant_id = NEW.tenant_id AND period_start_unix_us < NEW.period_end_unix_us
                    AND period_end_unix_us > NEW.period_start_unix_us))
BEGIN SELECT RAISE(ABORT, 'this number or this period already has an issued invoice'); END;
CREATE TRIGGER invoice_lines_keep_update BEFORE UPDATE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
CREATE TRIGGER invoice_lines_keep_delete BEFORE DELETE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice is never deleted'); END;
CREATE TRIGGER invoice_lines_keep_replace BEFORE INSERT ON invoice_lines
WHEN EXISTS (SELECT 1 FROM invoice_lines WHERE number = NEW.number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
-- All lines of an invoice come with it, from 1 to as many as it says; so later there is no place left.
-- An invoice must be there also for clients that do not check foreign keys.
CREATE TRIGGER invoice_lines_keep_count BEFORE INSERT ON invoice_lines
WHEN NOT EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number AND NEW.position <= lines)
BEGIN SELECT RAISE(ABORT, 'an issued invoice takes no more lines'); END;
