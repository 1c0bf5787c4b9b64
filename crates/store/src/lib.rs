//! The only SQL: SQLite and PostgreSQL, migrations, the journal and the ledger.
