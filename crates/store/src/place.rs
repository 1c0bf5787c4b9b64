//! Where the database is, without what opens it.

use std::fmt;
use std::path::PathBuf;

use crate::dialect::Engine;
use crate::engine::Store;

/// Where the database is. Never a user or a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A PostgreSQL server.
    Server {
        /// Its name or address, or the directory of its socket.
        host: String,
        /// Its port.
        port: u16,
        /// The database on it.
        database: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "SQLite in `{}`", path.display()),
            Self::Server { host, port, database } => {
                write!(f, "PostgreSQL at {host}:{port}, database `{database}`")
            }
        }
    }
}

impl Store {
    /// Where the database is.
    pub fn place(&self) -> Place {
        match self.engine() {
            Engine::Sqlite { write, .. } => Place::File(write.connect_options().get_filename().to_owned()),
            Engine::Postgres(pool) => {
                let options = pool.connect_options();
                let socket = options.get_socket().map(|path| path.display().to_string());
                Place::Server {
                    host: socket.unwrap_or_else(|| options.get_host().to_owned()),
                    port: options.get_port(),
                    // PostgreSQL takes the user's name for it where none is given.
                    database: options.get_database().unwrap_or_else(|| options.get_username()).to_owned(),
                }
            }
        }
    }
}
