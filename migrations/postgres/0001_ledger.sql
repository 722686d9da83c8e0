-- The ledger: who may ask, what was promised, what was used, what was charged.
-- Times are microseconds since 1970 (…_unix_us); ids are native UUIDs; exact amounts are decimal text.
-- Rows of usage, plan versions and issued invoices never change: triggers at the end refuse it.

CREATE TABLE ledger_counters (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL CHECK (value >= 0)
);
-- Raised by every change of tenants, keys or plans, in the same transaction.
INSERT INTO ledger_counters (name, value) VALUES ('revision', 0);

CREATE TABLE operators (
    name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    created_unix_us BIGINT NOT NULL
);

CREATE TABLE plans (
    name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    currency TEXT NOT NULL CHECK (length(currency) = 3)
);

CREATE TABLE plan_versions (
    plan_version TEXT PRIMARY KEY NOT NULL,
    plan_name TEXT NOT NULL REFERENCES plans (name),
    version BIGINT NOT NULL CHECK (version >= 1),
    body TEXT NOT NULL,
    published_unix_us BIGINT NOT NULL,
    UNIQUE (plan_name, version),
    CHECK (plan_version = plan_name || '@' || CAST(version AS TEXT))
);

CREATE TABLE tenants (
    tenant_id UUID PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
    plan_name TEXT NOT NULL REFERENCES plans (name),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    zone TEXT NOT NULL,
    requests_per_minute BIGINT CHECK (requests_per_minute > 0),
    tokens_per_minute BIGINT CHECK (tokens_per_minute > 0),
    concurrency BIGINT CHECK (concurrency > 0),
    created_unix_us BIGINT NOT NULL,
    disabled_unix_us BIGINT
);

CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    secret_hash BYTEA NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    requests_per_minute BIGINT CHECK (requests_per_minute > 0),
    tokens_per_minute BIGINT CHECK (tokens_per_minute > 0),
    concurrency BIGINT CHECK (concurrency > 0),
    models_allowed TEXT,
    created_unix_us BIGINT NOT NULL,
    disabled_unix_us BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);

-- No foreign keys here: usage must arrive even when the tables above are being rebuilt.
CREATE TABLE usage_records (
    request_id UUID PRIMARY KEY NOT NULL,
    journal_id UUID NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    previous_hash BYTEA NOT NULL CHECK (length(previous_hash) = 32),
    record_hash BYTEA NOT NULL CHECK (length(record_hash) = 32),
    tenant_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    backend TEXT NOT NULL,
    slo_class TEXT NOT NULL,
    ttft_target_us BIGINT CHECK (ttft_target_us >= 0),
    ttft_target_us_per_1k_prompt BIGINT NOT NULL CHECK (ttft_target_us_per_1k_prompt >= 0),
    tpot_target_us BIGINT CHECK (tpot_target_us >= 0),
    reason TEXT NOT NULL CHECK (reason IN ('completed', 'client_gone', 'deadline', 'engine_error', 'crashed')),
    prompt_tokens BIGINT NOT NULL CHECK (prompt_tokens >= 0),
    cached_prompt_tokens BIGINT NOT NULL CHECK (cached_prompt_tokens BETWEEN 0 AND prompt_tokens),
    output_tokens BIGINT NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens BIGINT NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    ttft_us BIGINT CHECK (ttft_us >= 0),
    tpot_us BIGINT CHECK (tpot_us >= 0),
    slo_met BOOLEAN NOT NULL,
    tokens_in_slo BIGINT NOT NULL CHECK (tokens_in_slo BETWEEN 0 AND output_tokens),
    energy_mj BIGINT NOT NULL CHECK (energy_mj >= 0),
    energy_source TEXT NOT NULL CHECK (energy_source IN ('nvml_energy', 'nvml_power', 'rapl', 'modelled')),
    client_stall_us BIGINT NOT NULL CHECK (client_stall_us >= 0),
    queue_us BIGINT NOT NULL CHECK (queue_us >= 0),
    started_unix_us BIGINT NOT NULL,
    finished_unix_us BIGINT NOT NULL,
    price_version TEXT NOT NULL,
    UNIQUE (journal_id, sequence)
);
CREATE INDEX usage_records_by_tenant ON usage_records (tenant_id, finished_unix_us, request_id);

-- Sums of usage_records per hour in which the requests finished. Kept in the transaction that inserts records.
CREATE TABLE tallies_hourly (
    tenant_id UUID NOT NULL,
    unix_hour BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    slo_class TEXT NOT NULL,
    reason TEXT NOT NULL,
    price_version TEXT NOT NULL,
    energy_source TEXT NOT NULL,
    requests BIGINT NOT NULL CHECK (requests > 0),
    requests_slo_met BIGINT NOT NULL CHECK (requests_slo_met BETWEEN 0 AND requests),
    prompt_tokens BIGINT NOT NULL CHECK (prompt_tokens >= 0),
    cached_prompt_tokens BIGINT NOT NULL CHECK (cached_prompt_tokens BETWEEN 0 AND prompt_tokens),
    output_tokens BIGINT NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens BIGINT NOT NULL CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    tokens_in_slo BIGINT NOT NULL CHECK (tokens_in_slo BETWEEN 0 AND output_tokens),
    late_tokens BIGINT NOT NULL CHECK (late_tokens = output_tokens - tokens_in_slo),
    energy_mj BIGINT NOT NULL CHECK (energy_mj >= 0),
    PRIMARY KEY (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source)
);

-- How far each journal has been copied: the next batch must continue this chain.
CREATE TABLE journal_cursors (
    journal_id UUID PRIMARY KEY NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    record_hash BYTEA NOT NULL CHECK (length(record_hash) = 32)
);

CREATE TABLE invoice_issuers (
    issuer TEXT PRIMARY KEY NOT NULL,
    next_serial BIGINT NOT NULL CHECK (next_serial >= 1)
);
INSERT INTO invoice_issuers (issuer, next_serial) VALUES ('TG', 1);

CREATE TABLE invoices (
    number TEXT PRIMARY KEY NOT NULL,
    issuer TEXT NOT NULL REFERENCES invoice_issuers (issuer),
    serial BIGINT NOT NULL CHECK (serial >= 1),
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    period_start_unix_us BIGINT NOT NULL,
    period_end_unix_us BIGINT NOT NULL CHECK (period_end_unix_us > period_start_unix_us),
    zone TEXT NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    subtotal_exact TEXT NOT NULL,
    subtotal_minor BIGINT NOT NULL,
    total_minor BIGINT NOT NULL,
    records BIGINT NOT NULL CHECK (records >= 0),
    lines BIGINT NOT NULL CHECK (lines >= 0),
    issued_unix_us BIGINT NOT NULL CHECK (issued_unix_us >= period_end_unix_us),
    body TEXT NOT NULL,
    UNIQUE (issuer, serial),
    UNIQUE (tenant_id, period_start_unix_us, period_end_unix_us)
);

CREATE TABLE invoice_lines (
    number TEXT NOT NULL REFERENCES invoices (number),
    position BIGINT NOT NULL CHECK (position >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'slo_credit', 'not_billed', 'energy')),
    item TEXT NOT NULL,
    model TEXT,
    price_version TEXT,
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    unit TEXT NOT NULL,
    unit_price TEXT,
    exact TEXT NOT NULL,
    displayed_minor BIGINT NOT NULL,
    PRIMARY KEY (number, position),
    CHECK (kind <> 'charge' OR displayed_minor >= 0),
    CHECK (kind <> 'slo_credit' OR displayed_minor <= 0),
    CHECK (kind NOT IN ('not_billed', 'energy') OR displayed_minor = 0)
);

-- What never changes. One function per answer: it names what was touched.
CREATE FUNCTION tallygate_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER usage_records_keep BEFORE UPDATE OR DELETE ON usage_records
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('usage records never change');
CREATE TRIGGER usage_records_keep_all BEFORE TRUNCATE ON usage_records
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('usage records are never deleted');

CREATE TRIGGER plan_versions_keep BEFORE UPDATE OR DELETE ON plan_versions
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a plan version never changes');
CREATE TRIGGER plan_versions_keep_all BEFORE TRUNCATE ON plan_versions
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a plan version is never deleted');
CREATE TRIGGER plans_keep BEFORE UPDATE ON plans
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the currency of a plan never changes');
CREATE TRIGGER tenants_keep_currency BEFORE UPDATE OF currency ON tenants
FOR EACH ROW WHEN (NEW.currency <> OLD.currency)
EXECUTE FUNCTION tallygate_keep('the currency of a tenant never changes');

CREATE TRIGGER invoices_keep BEFORE UPDATE OR DELETE ON invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('an issued invoice never changes');
CREATE TRIGGER invoices_keep_all BEFORE TRUNCATE ON invoices
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('an issued invoice is never deleted');
CREATE TRIGGER invoice_lines_keep BEFORE UPDATE OR DELETE ON invoice_lines
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a line of an issued invoice never changes');
CREATE TRIGGER invoice_lines_keep_all BEFORE TRUNCATE ON invoice_lines
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a line of an issued invoice is never deleted');

-- Two invoices of one tenant never cover the same instant. The row lock on the issuer makes this check race-free.
CREATE FUNCTION tallygate_one_invoice_per_instant() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM invoice_issuers WHERE issuer = NEW.issuer FOR UPDATE;
    IF EXISTS (SELECT 1 FROM invoices
               WHERE tenant_id = NEW.tenant_id AND period_start_unix_us < NEW.period_end_unix_us
                 AND period_end_unix_us > NEW.period_start_unix_us) THEN
        RAISE EXCEPTION 'this period already has an issued invoice' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER invoices_one_per_instant BEFORE INSERT ON invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_one_invoice_per_instant();

-- All lines of an invoice come with it, from 1 to as many as it says; so later there is no place left.
CREATE FUNCTION tallygate_no_more_lines() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number AND NEW.position <= lines) THEN
        RAISE EXCEPTION 'an issued invoice takes no more lines' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER invoice_lines_keep_count BEFORE INSERT ON invoice_lines
FOR EACH ROW EXECUTE FUNCTION tallygate_no_more_lines();
