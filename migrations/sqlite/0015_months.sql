-- Usage records by month. SQLite has one table for all of them; months that are invoiced and old may be detached into a
-- table of their own, as PostgreSQL detaches partitions. A request has one record for ever, also when its month is gone.

-- Months whose records are no part of usage_records any more. Several parts of one month: records that came after the
-- first.
CREATE TABLE detached_months (
    month TEXT NOT NULL CHECK (month GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]'),
    part INTEGER NOT NULL CHECK (part >= 1),
    start_unix_us INTEGER NOT NULL,
    end_unix_us INTEGER NOT NULL CHECK (end_unix_us > start_unix_us),
    -- The table that has the records.
    place TEXT NOT NULL,
    records INTEGER NOT NULL CHECK (records >= 0),
    detached_unix_us INTEGER NOT NULL CHECK (detached_unix_us >= end_unix_us),
    dropped_unix_us INTEGER,
    PRIMARY KEY (month, part)
) STRICT, WITHOUT ROWID;

-- The records of those months, with the columns of usage_records.
CREATE TABLE usage_records_detached AS SELECT * FROM usage_records WHERE 0;
CREATE UNIQUE INDEX usage_records_detached_by_request ON usage_records_detached (request_id);
CREATE INDEX usage_records_detached_by_time ON usage_records_detached (finished_unix_us);

-- What those records are known by. It stays when they are dropped.
CREATE TABLE detached_record_keys (
    request_id BLOB PRIMARY KEY NOT NULL CHECK (length(request_id) = 16),
    journal_id BLOB NOT NULL CHECK (length(journal_id) = 16),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    record_hash BLOB NOT NULL CHECK (length(record_hash) = 32),
    UNIQUE (journal_id, sequence)
) STRICT, WITHOUT ROWID;

-- Only months of which every instant of every tenant is on an issued invoice. A tenant that was disabled before, and
-- used nothing, owes none. An invoice of a part of a running period is followed by that of the whole.
CREATE TRIGGER detached_months_invoiced BEFORE INSERT ON detached_months
WHEN EXISTS (
    SELECT 1 FROM (
        SELECT tenant_id, MIN(from_us) AS at_us FROM (
            SELECT tenant_id, MIN(finished_unix_us) AS from_us FROM usage_records
            WHERE finished_unix_us >= NEW.start_unix_us AND finished_unix_us < NEW.end_unix_us GROUP BY tenant_id
            UNION ALL
            SELECT tenant_id, MAX(created_unix_us, NEW.start_unix_us) FROM tenants
            WHERE created_unix_us < NEW.end_unix_us
              AND (disabled_unix_us IS NULL OR disabled_unix_us > NEW.start_unix_us)
        ) GROUP BY tenant_id
        UNION ALL
        SELECT tenant_id, period_end_unix_us FROM invoices
        WHERE period_end_unix_us > NEW.start_unix_us AND period_end_unix_us < NEW.end_unix_us
          AND number NOT IN (SELECT number FROM threshold_invoices) AND tenant_id IN (
            SELECT tenant_id FROM usage_records
            WHERE finished_unix_us >= NEW.start_unix_us AND finished_unix_us < NEW.end_unix_us
            UNION
            SELECT tenant_id FROM tenants
            WHERE created_unix_us < NEW.end_unix_us
              AND (disabled_unix_us IS NULL OR disabled_unix_us > NEW.start_unix_us))
    ) AS points
    WHERE NOT EXISTS (SELECT 1 FROM invoices WHERE invoices.tenant_id = points.tenant_id
                        AND period_start_unix_us <= at_us AND period_end_unix_us > at_us
                        AND number NOT IN (SELECT number FROM threshold_invoices))
)
BEGIN SELECT RAISE(ABORT, 'a month is detached only when all of it is on issued invoices'); END;
CREATE TRIGGER detached_months_keep BEFORE UPDATE ON detached_months
WHEN OLD.dropped_unix_us IS NOT NULL OR NEW.dropped_unix_us IS NULL OR NEW.month <> OLD.month
  OR NEW.part <> OLD.part OR NEW.start_unix_us <> OLD.start_unix_us OR NEW.end_unix_us <> OLD.end_unix_us
  OR NEW.place <> OLD.place OR NEW.records <> OLD.records OR NEW.detached_unix_us <> OLD.detached_unix_us
BEGIN SELECT RAISE(ABORT, 'a detached month can only be dropped, once'); END;
CREATE TRIGGER detached_months_keep_delete BEFORE DELETE ON detached_months
BEGIN SELECT RAISE(ABORT, 'that a month was detached is never forgotten'); END;
CREATE TRIGGER detached_months_keep_replace BEFORE INSERT ON detached_months
WHEN EXISTS (SELECT 1 FROM detached_months WHERE month = NEW.month AND part = NEW.part)
BEGIN SELECT RAISE(ABORT, 'that a month was detached is never forgotten'); END;

CREATE TRIGGER usage_records_detached_keep_update BEFORE UPDATE ON usage_records_detached
BEGIN SELECT RAISE(ABORT, 'usage records never change'); END;
CREATE TRIGGER usage_records_detached_keep_delete BEFORE DELETE ON usage_records_detached
WHEN NOT EXISTS (SELECT 1 FROM detached_months
                 WHERE start_unix_us <= OLD.finished_unix_us AND end_unix_us > OLD.finished_unix_us
                   AND dropped_unix_us IS NOT NULL)
  OR EXISTS (SELECT 1 FROM detached_months
             WHERE start_unix_us <= OLD.finished_unix_us AND end_unix_us > OLD.finished_unix_us
               AND dropped_unix_us IS NULL)
BEGIN SELECT RAISE(ABORT, 'usage records of a detached month are deleted only when it is dropped'); END;
CREATE TRIGGER usage_records_detached_keep_insert BEFORE INSERT ON usage_records_detached
WHEN EXISTS (SELECT 1 FROM usage_records_detached WHERE request_id = NEW.request_id)
  OR NOT EXISTS (SELECT 1 FROM usage_records
                 WHERE request_id = NEW.request_id AND record_hash = NEW.record_hash)
  OR NOT EXISTS (SELECT 1 FROM detached_months
                 WHERE start_unix_us <= NEW.finished_unix_us AND end_unix_us > NEW.finished_unix_us
                   AND dropped_unix_us IS NULL)
BEGIN SELECT RAISE(ABORT, 'only records of a detached month are put aside, as they are'); END;

CREATE TRIGGER detached_record_keys_keep_update BEFORE UPDATE ON detached_record_keys
BEGIN SELECT RAISE(ABORT, 'the key of a usage record never changes'); END;
CREATE TRIGGER detached_record_keys_keep_delete BEFORE DELETE ON detached_record_keys
BEGIN SELECT RAISE(ABORT, 'the key of a usage record is never deleted'); END;
CREATE TRIGGER detached_record_keys_keep_replace BEFORE INSERT ON detached_record_keys
WHEN EXISTS (SELECT 1 FROM detached_record_keys WHERE request_id = NEW.request_id
                OR (journal_id = NEW.journal_id AND sequence = NEW.sequence))
BEGIN SELECT RAISE(ABORT, 'the key of a usage record never changes'); END;

-- A record leaves usage_records only when it was put aside, unchanged, with its key.
DROP TRIGGER usage_records_keep_delete;
CREATE TRIGGER usage_records_keep_delete BEFORE DELETE ON usage_records
WHEN NOT EXISTS (SELECT 1 FROM usage_records_detached JOIN detached_record_keys USING (request_id)
                 WHERE usage_records_detached.request_id = OLD.request_id
                   AND usage_records_detached.record_hash = OLD.record_hash
                   AND detached_record_keys.record_hash = OLD.record_hash)
BEGIN SELECT RAISE(ABORT, 'usage records are never deleted'); END;
-- A request that has a record already, in a month that was detached: as one in a month that was not.
CREATE TRIGGER usage_records_keep_detached BEFORE INSERT ON usage_records
WHEN EXISTS (SELECT 1 FROM detached_record_keys WHERE request_id = NEW.request_id)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER usage_records_keep_detached_sequence BEFORE INSERT ON usage_records
WHEN EXISTS (
    SELECT 1 FROM detached_record_keys
    WHERE journal_id = NEW.journal_id AND sequence = NEW.sequence AND request_id <> NEW.request_id
)
BEGIN SELECT RAISE(ABORT, 'this place in the journal holds another usage record'); END;

-- The tallies of a detached month cannot be made again from its records.
CREATE TRIGGER tallies_hourly_keep_detached BEFORE DELETE ON tallies_hourly
WHEN EXISTS (SELECT 1 FROM detached_months
             WHERE start_unix_us <= OLD.unix_hour * 3600000000 AND end_unix_us > OLD.unix_hour * 3600000000)
BEGIN SELECT RAISE(ABORT, 'the tallies of a detached month are kept'); END;

CREATE TRIGGER detached_months_audit_insert AFTER INSERT ON detached_months
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'month.created', 'month',
        NEW.month || ':' || NEW.part,
        NULL, request_id,
        NULL,
        json_object(
        'month', NEW.month,
        'part', NEW.part,
        'start_unix_us', NEW.start_unix_us,
        'end_unix_us', NEW.end_unix_us,
        'place', NEW.place,
        'records', NEW.records,
        'detached_unix_us', NEW.detached_unix_us,
        'dropped_unix_us', NEW.dropped_unix_us)
    FROM audit_actor;
END;
CREATE TRIGGER detached_months_audit_update AFTER UPDATE ON detached_months
BEGIN
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit';
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    SELECT (SELECT value FROM ledger_counters WHERE name = 'audit'),
        CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000, kind, name, 'month.changed', 'month',
        NEW.month || ':' || NEW.part,
        NULL, request_id,
        json_object('month', OLD.month, 'part', OLD.part, 'dropped_unix_us', OLD.dropped_unix_us),
        json_object('month', NEW.month, 'part', NEW.part, 'dropped_unix_us', NEW.dropped_unix_us)
    FROM audit_actor;
END;
