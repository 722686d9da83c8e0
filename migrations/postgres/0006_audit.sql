-- Every change of who may ask, what was promised and what was charged is noted by the database itself, in the
-- transaction that makes it: no code path can forget it, and a change made with another client is noted as well.
-- Secrets are left out of every row, as is the text of plans and invoices, which never changes.

-- $1: what the row is. $2…: the columns that name it. Who is at work is said by the transaction, in the setting
-- tallygate.actor; without it, the change was made by somebody unknown.
CREATE FUNCTION tallygate_audit() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    before JSONB;
    after JSONB;
    row_now JSONB;
    who JSONB := NULLIF(current_setting('tallygate.actor', true), '')::jsonb;
    number BIGINT;
    object_id TEXT := '';
    action TEXT := TG_ARGV[0] || '.' || CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'changed' ELSE 'deleted' END;
BEGIN
    IF TG_OP <> 'INSERT' THEN before := to_jsonb(OLD) - 'secret_hash' - 'body'; END IF;
    IF TG_OP <> 'DELETE' THEN after := to_jsonb(NEW) - 'secret_hash' - 'body'; END IF;
    -- Compared whole, so that another secret is noted too, though not shown.
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) = to_jsonb(NEW) THEN RETURN NULL; END IF;
    row_now := COALESCE(after, before);
    FOR place IN 1 .. TG_NARGS - 1 LOOP
        object_id := object_id || CASE place WHEN 1 THEN '' ELSE ':' END || (row_now ->> TG_ARGV[place]);
    END LOOP;
    UPDATE ledger_counters SET value = value + 1 WHERE name = 'audit' RETURNING value INTO number;
    INSERT INTO audit_log (sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id,
                           request_id, before, after)
    VALUES (number, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT),
            COALESCE(who ->> 'kind', 'system'), COALESCE(who ->> 'name', 'unknown'), action, TG_ARGV[0], object_id,
            (row_now ->> 'tenant_id')::uuid, (who ->> 'request_id')::uuid, before::text, after::text);
    RETURN NULL;
END;
$$;

CREATE TRIGGER tenants_audit AFTER INSERT OR UPDATE OR DELETE ON tenants
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('tenant', 'tenant_id');
CREATE TRIGGER api_keys_audit AFTER INSERT OR UPDATE OR DELETE ON api_keys
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('key', 'key_id');
CREATE TRIGGER projects_audit AFTER INSERT OR UPDATE OR DELETE ON projects
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('project', 'project_id');
CREATE TRIGGER scope_limits_audit AFTER INSERT OR UPDATE OR DELETE ON scope_limits
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('limits', 'scope_kind', 'scope_id', 'model');
CREATE TRIGGER grants_audit AFTER INSERT OR UPDATE OR DELETE ON grants
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('grant', 'grant_id');
CREATE TRIGGER users_audit AFTER INSERT OR UPDATE OR DELETE ON users
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('user', 'user_id');
CREATE TRIGGER plan_versions_audit AFTER INSERT OR UPDATE OR DELETE ON plan_versions
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('plan', 'plan_version');
CREATE TRIGGER operators_audit AFTER INSERT OR UPDATE OR DELETE ON operators
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('operator', 'name');
CREATE TRIGGER invoices_audit AFTER INSERT OR UPDATE OR DELETE ON invoices
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('invoice', 'number');
