-- What happened to subscriptions, and the periods they are billed by. Both are only added to.

CREATE TABLE subscription_events (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('start', 'trial', 'pause', 'resume', 'cancel')),
    -- When it counts from.
    at_unix_us BIGINT NOT NULL,
    -- Of a start: by what periods it is billed, the local day it begins on, and what usage costs during its trial.
    cycle TEXT CHECK (cycle IN ('calendar', 'anniversary')),
    day TEXT CHECK (length(day) = 10),
    trial_usage TEXT CHECK (trial_usage IN ('free', 'charged')),
    -- Of a start with a trial, and of a change of it: the first instant after the trial, and the local day that begins there.
    until_unix_us BIGINT,
    until_day TEXT CHECK (length(until_day) = 10),
    -- By the clock of the program that noted it.
    noted_unix_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    CHECK ((kind = 'start') = (cycle IS NOT NULL) AND (kind = 'start') = (day IS NOT NULL)),
    CHECK ((until_unix_us IS NULL) = (until_day IS NULL)),
    CHECK (kind <> 'trial' OR until_day IS NOT NULL),
    CHECK (kind IN ('start', 'trial') OR until_day IS NULL),
    CHECK ((kind = 'start' AND until_day IS NOT NULL) = (trial_usage IS NOT NULL)),
    CHECK (until_unix_us IS NULL OR until_unix_us > at_unix_us)
);
CREATE TRIGGER subscription_events_keep BEFORE UPDATE OR DELETE ON subscription_events
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('what happened to a subscription never changes');
CREATE TRIGGER subscription_events_keep_all BEFORE TRUNCATE ON subscription_events
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('what happened to a subscription is never deleted');
CREATE FUNCTION tallygate_subscription_event_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_events
                        WHERE tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'what happened to a subscription is only added to' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER subscription_events_keep_order BEFORE INSERT ON subscription_events
FOR EACH ROW EXECUTE FUNCTION tallygate_subscription_event_order();

-- Bounds are reckoned once, when a period begins, and never again: a later change of a zone's rules moves none.
CREATE TABLE subscription_periods (
    tenant_id UUID NOT NULL REFERENCES tenants (tenant_id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('trial', 'regular')),
    full_start_unix_us BIGINT NOT NULL,
    start_unix_us BIGINT NOT NULL CHECK (start_unix_us >= full_start_unix_us),
    end_unix_us BIGINT NOT NULL CHECK (end_unix_us > start_unix_us),
    zone TEXT NOT NULL,
    PRIMARY KEY (tenant_id, sequence)
);
CREATE TRIGGER subscription_periods_keep BEFORE UPDATE OR DELETE ON subscription_periods
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a period never changes');
CREATE TRIGGER subscription_periods_keep_all BEFORE TRUNCATE ON subscription_periods
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a period is never deleted');
CREATE FUNCTION tallygate_period_order() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_periods
                        WHERE tenant_id = NEW.tenant_id)
       OR NEW.start_unix_us <= (SELECT MAX(start_unix_us) FROM subscription_periods
                                WHERE tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'periods come one after another' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER subscription_periods_keep_order BEFORE INSERT ON subscription_periods
FOR EACH ROW EXECUTE FUNCTION tallygate_period_order();

CREATE TRIGGER subscription_events_audit AFTER INSERT OR UPDATE OR DELETE ON subscription_events
FOR EACH ROW EXECUTE FUNCTION tallygate_audit('subscription', 'tenant_id', 'sequence');

-- The plan that is set in a transaction counts from what it says in the setting tallygate.plan_since; without it, the
-- database's clock counts.
CREATE OR REPLACE FUNCTION tallygate_subscribe() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO subscriptions (tenant_id, sequence, plan_name, since_unix_us)
    SELECT NEW.tenant_id, COALESCE(MAX(sequence), 0) + 1, NEW.plan_name,
        CASE TG_OP WHEN 'INSERT' THEN NEW.created_unix_us
        ELSE COALESCE(CAST(NULLIF(current_setting('tallygate.plan_since', true), '') AS BIGINT),
                      CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)) END
    FROM subscriptions WHERE tenant_id = NEW.tenant_id;
    RETURN NULL;
END;
$$;
