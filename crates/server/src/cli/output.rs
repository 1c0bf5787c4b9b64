//! What a command prints.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use serde_json::Value;

use super::table::Table;

/// Standard output. Remembers whether the reader on the other side has gone.
pub(crate) struct Out {
    json: bool,
    closed: bool,
    to: BufWriter<Stdout>,
}

impl Out {
    /// Prints JSON if `json`, else for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, closed: false, to: BufWriter::new(io::stdout()) }
    }

    /// Whether JSON is wanted.
    pub(crate) const fn wants_json(&self) -> bool {
        self.json
    }

    /// Whether the reader has gone.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Prints a line and hands it on at once.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        let done = writeln!(self.to, "{}", text.as_ref()).and_then(|()| self.to.flush());
        self.watch(done)
    }

    /// Prints a text as it is, and hands it on.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        let done = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush());
        self.watch(done)
    }

    /// Prints a JSON value, indented.
    pub(crate) fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(format!("{value:#}"))
    }

    /// Prints a JSON value on one line, without flushing: there may be many.
    pub(crate) fn json_line(&mut self, value: &Value) -> io::Result<()> {
        let done = writeln!(self.to, "{value}");
        self.watch(done)
    }

    /// Prints a table, or a sentence if it is empty.
    pub(crate) fn table(&mut self, table: &Table, if_empty: &str) -> io::Result<()> {
        if table.is_empty() {
            return self.line(if_empty);
        }
        let done = write!(self.to, "{table}").and_then(|()| self.to.flush());
        self.watch(done)
    }

    /// Hands on what was printed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let done = self.to.flush();
        self.watch(done)
    }

    fn watch(&mut self, done: io::Result<()>) -> io::Result<()> {
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed = true;
        }
        done
    }
}

/// Tells people something beside the output proper, on standard error.
pub(crate) fn complain(text: &str) {
    // If standard error is gone too, there is nobody left to tell.
    drop(writeln!(io::stderr(), "{text}"));
}

/// Whether standard output is a terminal, so that nobody keeps what is printed.
pub(crate) fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

impl Out {
    /// Prints the outcome of an act: the server's answer for programs, a sentence for people. The sentence tells of the
    /// act's effect, so it is left out when the act has none yet.
    pub(crate) fn done(&mut self, answer: &Value, sentence: &str) -> io::Result<()> {
        let waits = warn(answer);
        match (self.json, answer) {
            (true, Value::Null) => self.json(&serde_json::json!({})),
            (true, answer) => self.json(answer),
            (false, _) if waits => Ok(()),
            (false, _) => self.line(sentence),
        }
    }

    /// Prints a list: an array for programs, a table for people, or a sentence if there is nothing in it.
    pub(crate) fn list(&mut self, items: &[Value], table: &Table, if_empty: &str) -> io::Result<()> {
        if self.json { self.json(&Value::Array(items.to_vec())) } else { self.table(table, if_empty) }
    }

    /// Prints one thing.
    pub(crate) fn one(&mut self, item: &Value, table: &Table) -> io::Result<()> {
        if self.json { self.json(item) } else { self.table(table, "") }
    }
}

/// Passes on, to standard error, that what an act changed is not in force yet. Says whether it is so.
pub(crate) fn warn(answer: &Value) -> bool {
    if answer["in_force"] != Value::Bool(false) {
        return false;
    }
    let told = answer["warning"].as_str().unwrap_or("the change is recorded, but not in force yet");
    complain(&format!("gatehouse: {}", super::table::printable(told)));
    true
}

/// A member of an answer as a cell: texts as they are, lists joined, nothing as `-`.
pub(crate) fn field(item: &Value, key: &str) -> String {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let value = &item[key];
    match value.as_array() {
        _ if value.is_null() => "-".to_owned(),
        Some(items) if items.is_empty() => "-".to_owned(),
        Some(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        None => cell(value),
    }
}

/// A whole number of an answer, grouped in threes.
pub(crate) fn number(item: &Value, key: &str) -> String {
    item[key].as_u64().map_or_else(|| field(item, key), super::table::grouped)
}

/// Adds a member to a body, if there is a value.
pub(crate) fn put(body: &mut Value, key: &str, value: Option<String>) {
    if let Some(value) = value {
        body[key] = Value::String(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_not_in_force_is_warned_of() {
        assert!(warn(&json!({"in_force": false, "warning": "wait"})));
        for answer in [json!({"in_force": true}), json!({}), Value::Null, json!([])] {
            assert!(!warn(&answer), "{answer}");
        }
    }
}
