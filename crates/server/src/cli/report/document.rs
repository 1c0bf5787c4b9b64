//! `report statement`, and reports as PDF documents.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::client::{Client, escaped};
use super::super::{Failure, Out};
use super::{path, statements};

/// Arguments of `report statement`.
#[derive(Args)]
pub(crate) struct StatementArgs {
    /// The month, 2026-10
    month: String,
    /// Write it to this file, as a PDF document
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// What the document has a row for
    #[arg(long, default_value = "team", requires = "pdf")]
    #[arg(value_parser = ["team", "project", "user", "key", "provider", "model"])]
    by: String,
    /// Show the totals of the document in this currency too
    #[arg(long, value_name = "CODE", requires = "pdf")]
    currency: Option<String>,
    /// Put every line of the statement into the document, not only the sums
    #[arg(long, requires = "pdf")]
    lines: bool,
    /// Language of the document
    #[arg(long, default_value = "en", requires = "pdf", value_parser = ["en", "zh-CN", "zh-TW"])]
    lang: String,
}

/// Runs `report statement`.
pub(super) fn statement(args: &StatementArgs, client: &Client, out: &mut Out) -> Result<u8, Failure> {
    let of = path(&format!("statements/{}", escaped(&args.month)));
    let answer = client.get(&of, &[])?;
    out.one(&answer, &statements(std::slice::from_ref(&answer["statement"])))?;
    let intact = answer["intact"] == Value::Bool(true);
    if !out.wants_json() {
        out.line(if intact {
            "Its lines are those that were closed."
        } else {
            "ITS LINES ARE NOT THOSE THAT WERE CLOSED: somebody changed the database."
        })?;
    }
    if let Some(file) = &args.pdf {
        let mut query = vec![("by", args.by.as_str()), ("language", &args.lang)];
        query.extend(args.currency.as_deref().map(|currency| ("currency", currency)));
        query.extend(args.lines.then_some(("lines", "true")));
        let written = save(client, &of, query, file)?;
        if !out.wants_json() {
            out.line(written.sentence())?;
        }
    }
    Ok(u8::from(!intact))
}

/// A document that was written.
pub(in crate::cli) struct Written<'a> {
    file: &'a Path,
    bytes: usize,
}

impl Written<'_> {
    /// What programs are told.
    pub(in crate::cli) fn answer(&self) -> Value {
        json!({"file": self.file.display().to_string(), "bytes": self.bytes})
    }

    /// What people are told.
    pub(in crate::cli) fn sentence(&self) -> String {
        format!("Wrote {} ({} bytes).", self.file.display(), self.bytes)
    }
}

/// Asks for a report as PDF, and writes it to a file.
pub(in crate::cli) fn save<'a>(
    client: &Client,
    report: &str,
    mut query: Vec<(&str, &str)>,
    file: &'a Path,
) -> Result<Written<'a>, Failure> {
    query.push(("format", "pdf"));
    let document = client.bytes(report, &query)?;
    let failed = |error| Failure::Failed(format!("cannot write `{}`: {error}", file.display()));
    std::fs::write(file, &document).map_err(failed)?;
    Ok(Written { file, bytes: document.len() })
}
