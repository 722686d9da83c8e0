-- Guards that were missing: numbers of invoices and credit notes are drawn one after another, and what others name is
-- never deleted, by the owner of the tables either.

-- A number is drawn from its issuer's row: the document takes the next one, and only then the next grows by one.
CREATE FUNCTION tallygate_serial_is_next() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    wanted BIGINT;
    prefix TEXT := NEW.issuer || '-';
BEGIN
    IF TG_TABLE_NAME = 'credit_notes' THEN
        SELECT next_credit_serial INTO wanted FROM invoice_issuers WHERE issuer = NEW.issuer;
        prefix := prefix || 'CN-';
    ELSE
        SELECT next_serial INTO wanted FROM invoice_issuers WHERE issuer = NEW.issuer;
    END IF;
    IF NEW.serial IS DISTINCT FROM wanted
       OR NEW.number <> prefix || lpad(NEW.serial::text, GREATEST(6, length(NEW.serial::text)), '0') THEN
        RAISE EXCEPTION '% are numbered one after another', replace(TG_TABLE_NAME::text, '_', ' ')
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER invoices_keep_serial AFTER INSERT ON invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_serial_is_next();
CREATE TRIGGER credit_notes_keep_serial AFTER INSERT ON credit_notes
FOR EACH ROW EXECUTE FUNCTION tallygate_serial_is_next();
CREATE FUNCTION tallygate_keep_series() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.next_serial <> 1 OR NEW.next_credit_serial <> 1 THEN
            RAISE EXCEPTION 'a series of numbers begins at one, once' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.issuer <> OLD.issuer
       OR (NEW.next_serial <> OLD.next_serial
           AND (NEW.next_serial <> OLD.next_serial + 1
                OR NOT EXISTS (SELECT 1 FROM invoices WHERE issuer = OLD.issuer AND serial = OLD.next_serial)))
       OR (NEW.next_credit_serial <> OLD.next_credit_serial
           AND (NEW.next_credit_serial <> OLD.next_credit_serial + 1
                OR NOT EXISTS (SELECT 1 FROM credit_notes
                               WHERE issuer = OLD.issuer AND serial = OLD.next_credit_serial))) THEN
        RAISE EXCEPTION 'the next number follows the last one that was taken' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER invoice_issuers_keep_series BEFORE INSERT OR UPDATE ON invoice_issuers
FOR EACH ROW EXECUTE FUNCTION tallygate_keep_series();

CREATE TRIGGER invoice_issuers_keep_delete BEFORE DELETE ON invoice_issuers
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a series of numbers is never deleted');
CREATE TRIGGER invoice_issuers_keep_all BEFORE TRUNCATE ON invoice_issuers
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a series of numbers is never deleted');
CREATE TRIGGER plans_keep_delete BEFORE DELETE ON plans
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a plan is never deleted');
CREATE TRIGGER plans_keep_all BEFORE TRUNCATE ON plans
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a plan is never deleted');
CREATE TRIGGER tenants_keep_delete BEFORE DELETE ON tenants
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a tenant is never deleted; disable it');
CREATE TRIGGER tenants_keep_all BEFORE TRUNCATE ON tenants
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a tenant is never deleted; disable it');
CREATE TRIGGER webhook_endpoints_keep_delete BEFORE DELETE ON webhook_endpoints
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('an endpoint is never deleted; disable it');
CREATE TRIGGER webhook_endpoints_keep_all BEFORE TRUNCATE ON webhook_endpoints
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('an endpoint is never deleted; disable it');
CREATE TRIGGER ledger_counters_keep_delete BEFORE DELETE ON ledger_counters
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a count is never forgotten');
CREATE TRIGGER ledger_counters_keep_all BEFORE TRUNCATE ON ledger_counters
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a count is never forgotten');
CREATE TRIGGER journal_cursors_keep_delete BEFORE DELETE ON journal_cursors
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('how far a journal was taken is never forgotten');
CREATE TRIGGER journal_cursors_keep_all BEFORE TRUNCATE ON journal_cursors
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('how far a journal was taken is never forgotten');

-- Gives a role what a gateway needs and no more, and says what that is. What a guard refuses to change or delete, the
-- role has no right to change or delete either; tables stay with their owner. Run it again after each migration.
-- What was spent is a projection of the records: whoever may change it may also make it anew.
CREATE OR REPLACE FUNCTION tallygate_grant(role_name TEXT) RETURNS TABLE (table_name TEXT, rights TEXT)
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
                ('journal_marks', 'journal_cursors', 'ledger_counters', 'invoice_issuers', 'plans', 'tenants') THEN
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
