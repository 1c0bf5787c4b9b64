//! What stands in a row, apart from any engine.

use base64ct::{Base64, Encoding as _};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Row};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Text,
    Integer,
    Real,
    Bytes,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    Integer(Option<i64>),
    Real(Option<f64>),
    Bytes(Option<Vec<u8>>),
}

impl Kind {
    /// By an engine's name of the type.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "text" => Self::Text,
            "integer" | "bigint" => Self::Integer,
            "real" | "double precision" => Self::Real,
            "blob" | "bytea" => Self::Bytes,
            _ => return None,
        })
    }

    /// What a line of an archive has for a column of this kind; `None` when it is something else.
    pub(super) fn read(self, value: &Value) -> Option<Cell> {
        if value.is_null() {
            return Some(match self {
                Self::Text => Cell::Text(None),
                Self::Integer => Cell::Integer(None),
                Self::Real => Cell::Real(None),
                Self::Bytes => Cell::Bytes(None),
            });
        }
        Some(match self {
            Self::Text => Cell::Text(Some(value.as_str()?.to_owned())),
            Self::Integer => Cell::Integer(Some(value.as_i64()?)),
            Self::Real => Cell::Real(Some(value.as_f64()?)),
            Self::Bytes => Cell::Bytes(Some(Base64::decode_vec(value.as_str()?).ok()?)),
        })
    }
}

impl Cell {
    fn value(&self) -> Value {
        match self {
            Self::Text(text) => text.as_deref().into(),
            Self::Integer(number) => (*number).into(),
            Self::Real(number) => (*number).into(),
            Self::Bytes(bytes) => bytes.as_deref().map(Base64::encode_string).into(),
        }
    }
}

/// A row of an engine.
pub(super) trait Reads {
    /// The value of the column at this place.
    fn cell(&self, at: usize, kind: Kind) -> Result<Cell, sqlx::Error>;
}

macro_rules! reads {
    ($row:ty) => {
        impl Reads for $row
        where
            usize: ColumnIndex<$row>,
        {
            fn cell(&self, at: usize, kind: Kind) -> Result<Cell, sqlx::Error> {
                Ok(match kind {
                    Kind::Text => Cell::Text(self.try_get(at)?),
                    Kind::Integer => Cell::Integer(self.try_get(at)?),
                    Kind::Real => Cell::Real(self.try_get(at)?),
                    Kind::Bytes => Cell::Bytes(self.try_get(at)?),
                })
            }
        }
    };
}

reads!(SqliteRow);
reads!(PgRow);

/// A row's line, without the end.
pub(super) fn line(row: &impl Reads, kinds: &[Kind]) -> Result<String, sqlx::Error> {
    let cells = kinds.iter().enumerate().map(|(at, kind)| row.cell(at, *kind).map(|cell| cell.value()));
    Ok(Value::Array(cells.collect::<Result<_, _>>()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_again() {
        for (kind, cell) in [
            (Kind::Text, Cell::Text(Some("a \"quoted\" line\nand 一".to_owned()))),
            (Kind::Text, Cell::Text(None)),
            (Kind::Integer, Cell::Integer(Some(i64::MIN))),
            (Kind::Integer, Cell::Integer(Some(i64::MAX))),
            (Kind::Real, Cell::Real(Some(0.1))),
            (Kind::Bytes, Cell::Bytes(Some((0..=255).collect()))),
            (Kind::Bytes, Cell::Bytes(Some(Vec::new()))),
        ] {
            let text = cell.value().to_string();
            assert_eq!(kind.read(&serde_json::from_str(&text).unwrap()), Some(cell), "{text}");
        }
    }

    #[test]
    fn what_is_of_another_kind_is_refused() {
        for (kind, value) in [
            (Kind::Text, json!(1)),
            (Kind::Integer, json!("1")),
            (Kind::Integer, json!(1.5)),
            (Kind::Integer, json!(u64::MAX)),
            (Kind::Bytes, json!("no base64!")),
            (Kind::Bytes, json!([1])),
        ] {
            assert_eq!(kind.read(&value), None, "{value}");
        }
    }
}
