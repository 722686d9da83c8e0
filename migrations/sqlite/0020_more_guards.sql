-- Guards that were missing: numbers of invoices and credit notes are drawn one after another, and INSERT OR REPLACE does
-- nothing that UPDATE and DELETE may not. It deletes without a delete trigger, so each guarded table has one on insert.
-- Guards of inserts that our own code makes are AFTER the insert where others have a word of their own to say before.

-- A number is drawn from its issuer's row: the document takes the next one, and only then the next grows by one.
CREATE TRIGGER invoices_keep_serial AFTER INSERT ON invoices
WHEN NEW.serial IS NOT (SELECT next_serial FROM invoice_issuers WHERE issuer = NEW.issuer)
  OR NEW.number <> NEW.issuer || '-' || printf('%06d', NEW.serial)
BEGIN SELECT RAISE(ABORT, 'invoices are numbered one after another'); END;
CREATE TRIGGER credit_notes_keep_serial AFTER INSERT ON credit_notes
WHEN NEW.serial IS NOT (SELECT next_credit_serial FROM invoice_issuers WHERE issuer = NEW.issuer)
  OR NEW.number <> NEW.issuer || '-CN-' || printf('%06d', NEW.serial)
BEGIN SELECT RAISE(ABORT, 'credit notes are numbered one after another'); END;
CREATE TRIGGER invoice_issuers_keep_series BEFORE UPDATE ON invoice_issuers
WHEN NEW.issuer <> OLD.issuer
  OR (NEW.next_serial <> OLD.next_serial
      AND (NEW.next_serial <> OLD.next_serial + 1
           OR NOT EXISTS (SELECT 1 FROM invoices WHERE issuer = OLD.issuer AND serial = OLD.next_serial)))
  OR (NEW.next_credit_serial <> OLD.next_credit_serial
      AND (NEW.next_credit_serial <> OLD.next_credit_serial + 1
           OR NOT EXISTS (SELECT 1 FROM credit_notes WHERE issuer = OLD.issuer AND serial = OLD.next_credit_serial)))
BEGIN SELECT RAISE(ABORT, 'the next number follows the last one that was taken'); END;
CREATE TRIGGER invoice_issuers_keep_delete BEFORE DELETE ON invoice_issuers
BEGIN SELECT RAISE(ABORT, 'a series of numbers is never deleted'); END;
CREATE TRIGGER invoice_issuers_keep_replace BEFORE INSERT ON invoice_issuers
WHEN NEW.next_serial <> 1 OR NEW.next_credit_serial <> 1
  OR EXISTS (SELECT 1 FROM invoice_issuers WHERE issuer = NEW.issuer)
BEGIN SELECT RAISE(ABORT, 'a series of numbers begins at one, once'); END;

-- Plans and tenants stay: what was billed names them, also for a client that does not check foreign keys.
CREATE TRIGGER plans_keep_delete BEFORE DELETE ON plans
BEGIN SELECT RAISE(ABORT, 'a plan is never deleted'); END;
-- The same again is no change: gateways of the version before say it each time they publish a version.
CREATE TRIGGER plans_keep_replace BEFORE INSERT ON plans
WHEN EXISTS (SELECT 1 FROM plans WHERE name = NEW.name AND currency <> NEW.currency)
BEGIN SELECT RAISE(ABORT, 'the currency of a plan never changes'); END;
CREATE TRIGGER tenants_keep_delete BEFORE DELETE ON tenants
BEGIN SELECT RAISE(ABORT, 'a tenant is never deleted; disable it'); END;
CREATE TRIGGER tenants_keep_replace BEFORE INSERT ON tenants
WHEN EXISTS (SELECT 1 FROM tenants WHERE tenant_id = NEW.tenant_id OR name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'this id or name is taken'); END;
-- `api_keys_keep_replace` has those that are revoked.
CREATE TRIGGER api_keys_keep_taken BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM api_keys
             WHERE revoked_unix_us IS NULL AND (key_id = NEW.key_id OR secret_hash = NEW.secret_hash))
BEGIN SELECT RAISE(ABORT, 'this id or name is taken'); END;

CREATE TRIGGER credit_invoiced_keep_replace BEFORE INSERT ON credit_invoiced
WHEN EXISTS (SELECT 1 FROM credit_invoiced WHERE tenant_id = NEW.tenant_id AND sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'a transfer is on one invoice'); END;
CREATE TRIGGER webhook_attempts_keep_replace BEFORE INSERT ON webhook_attempts
WHEN EXISTS (SELECT 1 FROM webhook_attempts
             WHERE endpoint_id = NEW.endpoint_id AND event_id = NEW.event_id AND attempt = NEW.attempt)
BEGIN SELECT RAISE(ABORT, 'a try never changes'); END;
CREATE TRIGGER webhook_endpoints_keep_delete BEFORE DELETE ON webhook_endpoints
BEGIN SELECT RAISE(ABORT, 'an endpoint is never deleted; disable it'); END;
CREATE TRIGGER webhook_endpoints_keep_replace BEFORE INSERT ON webhook_endpoints
WHEN EXISTS (SELECT 1 FROM webhook_endpoints WHERE endpoint_id = NEW.endpoint_id)
BEGIN SELECT RAISE(ABORT, 'whose endpoint it is and where never change; make another'); END;

CREATE TRIGGER ledger_counters_keep_delete BEFORE DELETE ON ledger_counters
BEGIN SELECT RAISE(ABORT, 'a count is never forgotten'); END;
CREATE TRIGGER ledger_counters_keep_replace BEFORE INSERT ON ledger_counters
WHEN EXISTS (SELECT 1 FROM ledger_counters WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a count only goes up'); END;
CREATE TRIGGER journal_cursors_keep_delete BEFORE DELETE ON journal_cursors
BEGIN SELECT RAISE(ABORT, 'how far a journal was taken is never forgotten'); END;
-- A cursor that is there already is met with a sequence of zero each time records arrive.
CREATE TRIGGER journal_cursors_keep_replace BEFORE INSERT ON journal_cursors
WHEN NEW.sequence <> 0 AND EXISTS (SELECT 1 FROM journal_cursors WHERE journal_id = NEW.journal_id)
BEGIN SELECT RAISE(ABORT, 'grants pay for records as they come: a newer gateway ships them'); END;
