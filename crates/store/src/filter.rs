//! Statements whose conditions depend on what is asked for.
//!
//! Only the conditions that apply are written, so that both engines can choose the index that fits.

/// A statement that grows by conditions, with its arguments.
pub(crate) struct Filter {
    sql: String,
    args: Vec<Arg>,
}

/// An argument of a condition.
pub(crate) enum Arg {
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
}

impl Filter {
    /// Begins with a statement up to and including `WHERE org_id = $1`, and the organization.
    pub(crate) fn new(sql: &'static str, org: gatehouse_domain::id::OrgId) -> Self {
        Self { sql: sql.to_owned(), args: vec![Arg::Text(org.to_string())] }
    }

    /// As [`Filter::new`], with a statement that was put together of constants.
    pub(crate) fn made(sql: String, org: gatehouse_domain::id::OrgId) -> Self {
        Self { sql, args: vec![Arg::Text(org.to_string())] }
    }

    /// Appends text that was put together of constants, without an argument.
    pub(crate) fn made_sql(&mut self, sql: &str) {
        self.sql.push(' ');
        self.sql.push_str(sql);
    }

    /// Appends text without an argument.
    pub(crate) fn sql(&mut self, sql: &'static str) {
        self.sql.push(' ');
        self.sql.push_str(sql);
    }

    /// Appends text in which every `$?` stands for this argument.
    pub(crate) fn arg(&mut self, sql: &'static str, arg: Arg) {
        self.args.push(arg);
        self.sql.push(' ');
        self.sql.push_str(&sql.replace("$?", &format!("${}", self.args.len())));
    }

    /// Appends text for an argument that may be a text.
    pub(crate) fn text(&mut self, sql: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.arg(sql, Arg::Text(value.to_string()));
        }
    }

    /// Appends text for an argument that may be a number.
    pub(crate) fn int(&mut self, sql: &'static str, value: Option<i64>) {
        if let Some(value) = value {
            self.arg(sql, Arg::Int(value));
        }
    }

    /// The statement and its arguments, to be bound in order. The statement is made of constants only.
    pub(crate) fn into_parts(self) -> (sqlx::AssertSqlSafe<String>, Vec<Arg>) {
        (sqlx::AssertSqlSafe(self.sql), self.args)
    }
}

/// A `LIKE` pattern (with `ESCAPE '\'`) for texts that contain this one, in lower case.
pub(crate) fn containing(text: &str) -> String {
    format!("%{}", beginning(&text.to_lowercase()))
}

/// A `LIKE` pattern (with `ESCAPE '\'`) for texts that begin with this one.
pub(crate) fn beginning(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Binds the arguments of a [`Filter`] to a query of either engine.
macro_rules! bound {
    ($query:expr, $args:expr) => {
        $args.into_iter().fold($query, |query, arg| match arg {
            $crate::filter::Arg::Text(text) => query.bind(text),
            $crate::filter::Arg::Int(number) => query.bind(number),
        })
    };
}

pub(crate) use bound;
