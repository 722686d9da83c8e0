-- Usage records by month: one partition for each month of UTC in which requests ended, made ahead of time; months that
-- are invoiced and old may be detached, and are kept as tables of their own. A request has one record for ever, also
-- across months and after its month was detached: that is what usage_record_keys is for.
-- A gateway of the version before keeps records in its journal until it is replaced.

ALTER TABLE usage_records RENAME TO usage_records_before;
ALTER TABLE usage_records_before RENAME CONSTRAINT usage_records_pkey TO usage_records_before_pkey;
ALTER INDEX usage_records_by_tenant RENAME TO usage_records_before_by_tenant;

-- What a record is known by: written in the statement that adds the record, and never removed.
CREATE TABLE usage_record_keys (
    request_id UUID PRIMARY KEY NOT NULL,
    journal_id UUID NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    record_hash BYTEA NOT NULL CHECK (length(record_hash) = 32),
    tenant_id UUID NOT NULL,
    finished_unix_us BIGINT NOT NULL,
    UNIQUE (journal_id, sequence)
);
INSERT INTO usage_record_keys (request_id, journal_id, sequence, record_hash, tenant_id, finished_unix_us)
SELECT request_id, journal_id, sequence, record_hash, tenant_id, finished_unix_us FROM usage_records_before;
CREATE TRIGGER usage_record_keys_keep BEFORE UPDATE OR DELETE ON usage_record_keys
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('the key of a usage record never changes');
CREATE TRIGGER usage_record_keys_keep_all BEFORE TRUNCATE ON usage_record_keys
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('the key of a usage record is never deleted');

CREATE TABLE usage_records (
    LIKE usage_records_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    -- Also the order in which pages of a tenant's records follow on each other.
    PRIMARY KEY (tenant_id, finished_unix_us, request_id)
) PARTITION BY RANGE (finished_unix_us);
CREATE INDEX usage_records_by_key ON usage_records (tenant_id, key_id, finished_unix_us, request_id);
CREATE INDEX usage_records_by_model ON usage_records (tenant_id, model, finished_unix_us, request_id);
CREATE INDEX usage_records_by_journal ON usage_records (journal_id, sequence);
CREATE TRIGGER usage_records_keep BEFORE UPDATE OR DELETE ON usage_records
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('usage records never change');
CREATE TRIGGER usage_records_keep_all BEFORE TRUNCATE ON usage_records
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('usage records are never deleted');

-- A record comes with its key, also for somebody with a database client. The plan is fixed to the key's index: it is
-- made once for a connection, when the table may still be empty.
CREATE FUNCTION tallygate_records_have_keys() RETURNS TRIGGER LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added LEFT JOIN usage_record_keys AS known ON known.request_id = added.request_id
        WHERE known.request_id IS NULL OR known.tenant_id <> added.tenant_id
           OR known.finished_unix_us <> added.finished_unix_us OR known.journal_id <> added.journal_id
           OR known.sequence <> added.sequence OR known.record_hash <> added.record_hash
    ) THEN
        RAISE EXCEPTION 'a usage record is added with its key, once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END;
$$;

-- Months that are no part of usage_records any more. Several parts of one month: records that came after the first.
CREATE TABLE detached_months (
    month TEXT NOT NULL CHECK (month ~ '^[0-9]{4}-[0-9]{2}$'),
    part BIGINT NOT NULL CHECK (part >= 1),
    start_unix_us BIGINT NOT NULL,
    end_unix_us BIGINT NOT NULL CHECK (end_unix_us > start_unix_us),
    -- The table that has the records.
    place TEXT NOT NULL,
    records BIGINT NOT NULL CHECK (records >= 0),
    detached_unix_us BIGINT NOT NULL CHECK (detached_unix_us >= end_unix_us),
    dropped_unix_us BIGINT,
    PRIMARY KEY (month, part)
);

-- Tenants of whose time in a month some instant is on no invoice. A tenant that was disabled before, and used nothing,
-- owes none. An invoice of a part of a running period is followed by that of the whole.
CREATE FUNCTION tallygate_open_tenants(start_us BIGINT, end_us BIGINT) RETURNS SETOF UUID LANGUAGE sql STABLE AS $$
    WITH asked AS (
        SELECT tenant_id, MIN(from_us) AS from_us FROM (
            SELECT tenant_id, MIN(finished_unix_us) AS from_us FROM usage_records
            WHERE finished_unix_us >= start_us AND finished_unix_us < end_us GROUP BY tenant_id
            UNION ALL
            SELECT tenant_id, GREATEST(created_unix_us, start_us) FROM tenants
            WHERE created_unix_us < end_us AND (disabled_unix_us IS NULL OR disabled_unix_us > start_us)
        ) AS found GROUP BY tenant_id
    ), points AS (
        SELECT tenant_id, from_us AS at_us FROM asked
        UNION ALL
        SELECT invoices.tenant_id, period_end_unix_us FROM invoices JOIN asked USING (tenant_id)
        WHERE period_end_unix_us > from_us AND period_end_unix_us < end_us
          AND number NOT IN (SELECT number FROM threshold_invoices)
    )
    SELECT DISTINCT tenant_id FROM points
    WHERE NOT EXISTS (SELECT 1 FROM invoices WHERE invoices.tenant_id = points.tenant_id
                        AND period_start_unix_us <= at_us AND period_end_unix_us > at_us
                        AND number NOT IN (SELECT number FROM threshold_invoices))
$$;

CREATE FUNCTION tallygate_month_is_invoiced() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM tallygate_open_tenants(NEW.start_unix_us, NEW.end_unix_us)) THEN
        RAISE EXCEPTION 'a month is detached only when all of it is on issued invoices'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER detached_months_invoiced BEFORE INSERT ON detached_months
FOR EACH ROW EXECUTE FUNCTION tallygate_month_is_invoiced();
CREATE TRIGGER detached_months_keep BEFORE UPDATE ON detached_months
FOR EACH ROW
WHEN (OLD.dropped_unix_us IS NOT NULL OR NEW.dropped_unix_us IS NULL OR NEW.month <> OLD.month
      OR NEW.part <> OLD.part OR NEW.start_unix_us <> OLD.start_unix_us OR NEW.end_unix_us <> OLD.end_unix_us
      OR NEW.place <> OLD.place OR NEW.records <> OLD.records OR NEW.detached_unix_us <> OLD.detached_unix_us)
EXECUTE FUNCTION tallygate_keep('a detached month can only be dropped, once');
CREATE TRIGGER detached_months_keep_delete BEFORE DELETE ON detached_months
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('that a month was detached is never forgotten');
CREATE TRIGGER detached_months_keep_all BEFORE TRUNCATE ON detached_months
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('that a month was detached is never forgotten');
CREATE TRIGGER detached_months_audit AFTER INSERT OR UPDATE OR DELETE ON detached_months
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('month', 'month', 'part');

-- The tallies of a detached month cannot be made again from its records.
CREATE FUNCTION tallygate_tally_is_needed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM detached_months
               WHERE start_unix_us <= OLD.unix_hour * 3600000000 AND end_unix_us > OLD.unix_hour * 3600000000) THEN
        RAISE EXCEPTION 'the tallies of a detached month are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER tallies_hourly_keep_detached BEFORE DELETE ON tallies_hourly
FOR EACH ROW EXECUTE FUNCTION tallygate_tally_is_needed();

-- The first instant of the month that an instant falls in, and how its partition is called.
CREATE FUNCTION tallygate_month_start(at_us BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(EXTRACT(EPOCH FROM date_trunc('month',
        to_timestamp((at_us - (at_us % 1000000 + 1000000) % 1000000) / 1000000) AT TIME ZONE 'UTC')) AS BIGINT)
        * 1000000
$$;
CREATE FUNCTION tallygate_month_name(start_us BIGINT) RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(to_timestamp(start_us / 1000000) AT TIME ZONE 'UTC', 'YYYY_MM')
$$;

CREATE FUNCTION tallygate_new_part(name TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE usage_records INCLUDING ALL)', name);
    EXECUTE format('CREATE TRIGGER usage_records_have_keys AFTER INSERT ON %I REFERENCING NEW TABLE AS added '
                   'FOR EACH STATEMENT EXECUTE FUNCTION tallygate_records_have_keys()', name);
    EXECUTE format('CREATE TRIGGER usage_records_keep_all BEFORE TRUNCATE ON %I FOR EACH STATEMENT '
                   'EXECUTE FUNCTION tallygate_keep(''usage records are never deleted'')', name);
END;
$$;

-- Records that belong to no month that there is. They are counted and told of: there should be none.
DO $$ BEGIN PERFORM tallygate_new_part('usage_records_outside'); END; $$;
ALTER TABLE usage_records ATTACH PARTITION usage_records_outside DEFAULT;

-- Makes the partition of the month that an instant falls in, with what lies outside; false when it is there.
-- As its owner, so that a gateway without the right to change tables has its months.
CREATE FUNCTION tallygate_add_month(at_us BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    start_us BIGINT := tallygate_month_start(at_us);
    end_us BIGINT := tallygate_month_start(start_us + 2764800000000);
    name TEXT := 'usage_records_' || tallygate_month_name(start_us);
    has_outside BOOLEAN;
BEGIN
    -- One at a time: who comes second finds it made.
    PERFORM pg_advisory_xact_lock(7401, 15);
    IF to_regclass(name) IS NOT NULL THEN RETURN FALSE; END IF;
    has_outside := EXISTS (SELECT 1 FROM usage_records_outside
                           WHERE finished_unix_us >= start_us AND finished_unix_us < end_us);
    IF has_outside THEN
        LOCK TABLE usage_records IN ACCESS EXCLUSIVE MODE;
        ALTER TABLE usage_records DETACH PARTITION usage_records_outside;
        ALTER TABLE usage_records_outside RENAME TO usage_records_outside_before;
        PERFORM tallygate_new_part('usage_records_outside');
        ALTER TABLE usage_records ATTACH PARTITION usage_records_outside DEFAULT;
    END IF;
    PERFORM tallygate_new_part(name);
    EXECUTE format('ALTER TABLE usage_records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                   name, start_us, end_us);
    IF has_outside THEN
        INSERT INTO usage_records SELECT * FROM usage_records_outside_before;
        DROP TABLE usage_records_outside_before;
    END IF;
    RETURN TRUE;
END;
$$;

CREATE FUNCTION tallygate_records_outside() RETURNS BIGINT LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT COUNT(*) FROM usage_records_outside
$$;

-- Takes a month out of usage_records and says which table has it; nothing when there is no such month.
-- As its owner: the rule is checked here, whoever asks.
CREATE FUNCTION tallygate_detach_month(at_us BIGINT, now_us BIGINT) RETURNS TEXT
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    start_us BIGINT := tallygate_month_start(at_us);
    end_us BIGINT := tallygate_month_start(start_us + 2764800000000);
    month_name TEXT := replace(tallygate_month_name(start_us), '_', '-');
    name TEXT := 'usage_records_' || tallygate_month_name(start_us);
    number BIGINT;
    kept TEXT;
    counted BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(7401, 15);
    IF to_regclass(name) IS NULL THEN RETURN NULL; END IF;
    SELECT COUNT(*) + 1 INTO number FROM detached_months WHERE month = month_name;
    kept := name || '_detached' || CASE number WHEN 1 THEN '' ELSE '_' || number END;
    EXECUTE format('SELECT COUNT(*) FROM %I', name) INTO counted;
    INSERT INTO detached_months (month, part, start_unix_us, end_unix_us, place, records, detached_unix_us)
    VALUES (month_name, number, start_us, end_us, kept, counted, now_us);
    EXECUTE format('ALTER TABLE usage_records DETACH PARTITION %I', name);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, kept);
    EXECUTE format('CREATE TRIGGER usage_records_keep BEFORE UPDATE OR DELETE ON %I FOR EACH ROW '
                   'EXECUTE FUNCTION tallygate_keep(''usage records never change'')', kept);
    RETURN kept;
END;
$$;

-- Deletes the tables of a detached month and says how many records they had. Their owner alone can.
CREATE FUNCTION tallygate_drop_month(which TEXT, now_us BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    kept RECORD;
    counted BIGINT := NULL;
BEGIN
    FOR kept IN SELECT part, place, records FROM detached_months
                WHERE month = which AND dropped_unix_us IS NULL ORDER BY part FOR UPDATE
    LOOP
        EXECUTE format('DROP TABLE %I', kept.place);
        UPDATE detached_months SET dropped_unix_us = now_us WHERE month = which AND part = kept.part;
        counted := COALESCE(counted, 0) + kept.records;
    END LOOP;
    RETURN counted;
END;
$$;

-- Gives a role what a gateway needs and no more, and says what that is. What a guard refuses to change or delete, the
-- role has no right to change or delete either; tables stay with their owner. Run it again after each migration.
CREATE FUNCTION tallygate_grant(role_name TEXT) RETURNS TABLE (table_name TEXT, rights TEXT)
LANGUAGE plpgsql AS $$
DECLARE
    found RECORD;
    keep OID := 'tallygate_keep()'::regprocedure;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
        RAISE EXCEPTION 'there is no role %', role_name USING ERRCODE = 'undefined_object';
    END IF;
    IF EXISTS (SELECT 1 FROM pg_class WHERE oid = 'usage_records'::regclass
                                        AND pg_has_role(role_name, relowner, 'MEMBER')) THEN
        RAISE EXCEPTION 'the role % owns the tables, or may act as their owner: nothing can be kept from it', role_name
            USING ERRCODE = 'invalid_role_specification';
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %I', current_schema(), role_name);
    FOR found IN
        SELECT CAST(relname AS text) AS name,
               EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgfoid = keep AND tgqual IS NULL
                         AND CAST(tgattr AS text) = '' AND tgtype & 19 = 19) AS keeps_update,
               EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgfoid = keep AND tgqual IS NULL
                         AND tgtype & 11 = 11) AS keeps_delete
        FROM pg_class
        WHERE relnamespace = to_regnamespace(current_schema()::text) AND relkind IN ('r', 'p') AND NOT relispartition
        ORDER BY relname
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %I FROM %I', found.name, role_name);
        -- Detached months are for whoever keeps the archive.
        CONTINUE WHEN found.name LIKE 'usage\_records\_%';
        rights := 'SELECT';
        IF found.name NOT IN ('_sqlx_migrations', 'detached_months') THEN
            rights := rights || ', INSERT';
            IF NOT found.keeps_update THEN rights := rights || ', UPDATE'; END IF;
            IF NOT found.keeps_delete AND found.name NOT IN
                ('journal_marks', 'journal_cursors', 'ledger_counters', 'invoice_issuers', 'plans', 'tenants',
                 'spend_quarters') THEN
                rights := rights || ', DELETE';
            END IF;
        END IF;
        EXECUTE format('GRANT %s ON TABLE %I TO %I', rights, found.name, role_name);
        table_name := found.name;
        RETURN NEXT;
    END LOOP;
    EXECUTE format('GRANT EXECUTE ON FUNCTION tallygate_add_month(BIGINT), tallygate_records_outside(), '
                   'tallygate_detach_month(BIGINT, BIGINT) TO %I', role_name);
END;
$$;

-- What runs as its owner finds the ledger's own tables, and only those, whatever the caller's path is.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION tallygate_add_month(BIGINT) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION tallygate_records_outside() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION tallygate_detach_month(BIGINT, BIGINT) SET search_path = %I, pg_temp',
                   current_schema());
END;
$$;
REVOKE EXECUTE ON FUNCTION tallygate_add_month(BIGINT), tallygate_records_outside(),
    tallygate_detach_month(BIGINT, BIGINT), tallygate_drop_month(TEXT, BIGINT),
    tallygate_grant(TEXT) FROM PUBLIC;

-- The months that there are records of, the one before this one, and three to come. What a clock put before 2000 or
-- after 2100 stays outside.
DO $$
DECLARE
    at_us BIGINT;
    now_us BIGINT := CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) * 1000000;
    before BIGINT;
    after BIGINT;
BEGIN
    FOR at_us IN
        SELECT DISTINCT tallygate_month_start(finished_unix_us) FROM usage_records_before
        WHERE finished_unix_us BETWEEN 946684800000000 AND 4102444799999999
    LOOP
        PERFORM tallygate_add_month(at_us);
    END LOOP;
    at_us := tallygate_month_start(tallygate_month_start(now_us) - 1);
    FOR step IN 0 .. 4 LOOP
        PERFORM tallygate_add_month(at_us);
        at_us := tallygate_month_start(at_us + 2764800000000);
    END LOOP;
    INSERT INTO usage_records SELECT * FROM usage_records_before;
    SELECT COUNT(*) INTO before FROM usage_records_before;
    SELECT COUNT(*) INTO after FROM usage_records;
    IF before <> after THEN
        RAISE EXCEPTION '% usage records became %', before, after;
    END IF;
END;
$$;
DROP TABLE usage_records_before;
CREATE TRIGGER usage_records_have_keys AFTER INSERT ON usage_records REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_records_have_keys();
