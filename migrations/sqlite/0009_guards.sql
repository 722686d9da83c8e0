-- Further guards of what never changes: revoked keys, places of projects, and what came of a request that may be
-- repeated. Each has its rule in the program as well.

CREATE TRIGGER api_keys_keep_identity BEFORE UPDATE OF key_id, secret_hash ON api_keys
WHEN NEW.key_id <> OLD.key_id OR NEW.secret_hash <> OLD.secret_hash
BEGIN SELECT RAISE(ABORT, 'the id and the secret of a key never change; rotate it'); END;
CREATE TRIGGER api_keys_keep_delete BEFORE DELETE ON api_keys
BEGIN SELECT RAISE(ABORT, 'a key is never deleted; revoke it'); END;
-- Stops INSERT OR REPLACE, which would delete without a delete trigger.
CREATE TRIGGER api_keys_keep_replace BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM api_keys
             WHERE revoked_unix_us IS NOT NULL AND (key_id = NEW.key_id OR secret_hash = NEW.secret_hash))
BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END;

-- As `projects_keep_replace`, for a project of another id in the same place.
CREATE TRIGGER projects_keep_replace_name BEFORE INSERT ON projects
WHEN EXISTS (SELECT 1 FROM projects
             WHERE tenant_id = NEW.tenant_id AND parent_id IS NEW.parent_id AND name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'the place of a project never changes'); END;

-- What came of a request is told again unchanged. Only when its time is over may another request take its row: that
-- one runs longer than the outcome was to be kept.
CREATE TRIGGER idempotency_keep_outcome BEFORE UPDATE ON idempotency
WHEN OLD.state <> 'running'
    AND NOT (NEW.state = 'running' AND NEW.request_id <> OLD.request_id
             AND NEW.running_until_unix_us > OLD.expires_unix_us)
BEGIN SELECT RAISE(ABORT, 'the outcome of a request never changes'); END;
CREATE TRIGGER idempotency_keep_name BEFORE UPDATE OF tenant_id, name_hash ON idempotency
WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.name_hash <> OLD.name_hash
BEGIN SELECT RAISE(ABORT, 'the key of an outcome never changes'); END;
