-- Further guards of what never changes: revoked keys, places of projects, and what came of a request that may be
-- repeated. Each has its rule in the program as well.

CREATE TRIGGER api_keys_keep_identity BEFORE UPDATE ON api_keys
FOR EACH ROW WHEN (NEW.key_id <> OLD.key_id OR NEW.secret_hash <> OLD.secret_hash)
EXECUTE FUNCTION tallygate_keep('the id and the secret of a key never change; rotate it');
CREATE TRIGGER api_keys_keep_delete BEFORE DELETE ON api_keys
FOR EACH ROW EXECUTE FUNCTION tallygate_keep('a key is never deleted; revoke it');
CREATE TRIGGER api_keys_keep_all BEFORE TRUNCATE ON api_keys
FOR EACH STATEMENT EXECUTE FUNCTION tallygate_keep('a key is never deleted; revoke it');

-- What came of a request is told again unchanged. Only when its time is over may another request take its row: that
-- one runs longer than the outcome was to be kept.
CREATE TRIGGER idempotency_keep_outcome BEFORE UPDATE ON idempotency
FOR EACH ROW
WHEN (OLD.state <> 'running'
      AND NOT (NEW.state = 'running' AND NEW.request_id <> OLD.request_id
               AND NEW.running_until_unix_us > OLD.expires_unix_us))
EXECUTE FUNCTION tallygate_keep('the outcome of a request never changes');
CREATE TRIGGER idempotency_keep_name BEFORE UPDATE ON idempotency
FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.name_hash <> OLD.name_hash)
EXECUTE FUNCTION tallygate_keep('the key of an outcome never changes');
