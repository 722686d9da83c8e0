//! The statements about what a PostgreSQL role may do with the ledger, and how old its tables are.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::pool::Statement;

pub(super) const HAS_MIGRATIONS: Statement =
    Statement::both("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
pub(super) const APPLIED: Statement =
    Statement::both("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version");
/// Whether tables may be made and changed: a right to the schema and, where there are tables, to act as their owner.
pub(super) const MAY_MIGRATE: Statement = Statement::both("SELECT CAST(current_user AS text),
        COALESCE(has_schema_privilege(CAST(current_schema() AS text), 'CREATE'), false)
        AND COALESCE((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('tenants')), true)");
/// A table of the ledger that this role may not read. Tables of detached months are nobody's but their owner's.
pub(super) const UNREADABLE: Statement = Statement::both("SELECT CAST(current_user AS text), CAST(relname AS text) FROM pg_class
     WHERE relnamespace = to_regnamespace(CAST(current_schema() AS text)) AND relkind IN ('r', 'p')
       AND NOT relispartition AND relname NOT LIKE 'usage\\_records\\_%' AND NOT has_table_privilege(oid, 'SELECT')
     ORDER BY relname LIMIT 1");
pub(super) const GRANT: Statement = Statement::both("SELECT table_name, rights FROM tallygate_grant($1)");
