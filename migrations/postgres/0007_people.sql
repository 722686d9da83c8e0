-- Which plan a tenant was under since when, what people of a tenant may do, and how far each journal is complete.

-- Every plan a tenant was ever under, noted by the database itself: no code path can forget it.
CREATE TABLE subscriptions (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    plan_name TEXT NOT NULL REFERENCES plans (name),
    since_unix_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);
-- Of tenants from before: their plan, since the audit log first has it, or since they were made.
INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
SELECT tenant_id, 1, plan_name, COALESCE(
    (SELECT MAX(at_unix_us) FROM audit_log
     WHERE audit_log.tenant_id = tenants.tenant_id AND action = 'tenant.changed'
       AND before::jsonb ->> 'plan_name' <> after::jsonb ->> 'plan_name'),
    created_unix_us)
FROM tenants;
-- The tenant's row is locked by its change, so numbers do not meet.
CREATE FUNCTION tallygate_subscribe() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
    SELECT NEW.tenant_id, COALESCE(MAX(sequence), 0) + 1, NEW.plan_name,
        CASE TG_OP WHEN 'INSERT' THEN NEW.created_unix_us
        ELSE CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) END
    FROM subscriptions WHERE tenant_id = NEW.tenant_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER tenants_subscribe_insert AFTER INSERT ON tenants
FOR EACH ROW EXECUTE FUNCTION tallygate_subscribe();
CREATE TRIGGER tenants_subscribe_update AFTER UPDATE ON tenants
FOR EACH ROW WHEN (NEW.plan_name <> OLD.plan_name) EXECUTE FUNCTION tallygate_subscribe();
CREATE TRIGGER subscriptions_keep BEFORE UPDATE OR DELETE ON subscriptions
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what a tenant was subscribed to never changes');
CREATE TRIGGER subscriptions_keep_all BEFORE TRUNCATE ON subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('what a tenant was subscribed to is never deleted');
CREATE FUNCTION tallygate_subscription_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscriptions WHERE tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'what a tenant was subscribed to is only added to' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER subscriptions_keep_order BEFORE INSERT ON subscriptions
FOR EACH ROW EXECUTE FUNCTION tallygate_subscription_order();

-- Before this instant every record that ended is in the ledger. NULL: not known. No row: its gateway is older than this.
CREATE TABLE journal_marks (
    journal_id UUID PRIMARY KEY NOT NULL,
    complete_unix_us BIGINT
);

-- Other roles.
ALTER TABLE users DROP CONSTRAINT users_role_check;
UPDATE users SET role = 'developer' WHERE role = 'member';
ALTER TABLE users ADD CONSTRAINT users_role_check CHECK (role IN ('owner', 'developer', 'billing', 'viewer'));
