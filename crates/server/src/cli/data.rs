//! `data`: what data protection looks for, and whether a file has it. Asks no server.

use std::io::Read as _;

use clap::Subcommand;
use gatehouse_dlp::{Scanner, Selection, UnknownDetector, all};
use serde_json::{Value, json};

use super::table::{Align, Table};
use super::{Failure, Out};

/// Largest file that is looked at, in bytes.
const MOST: u64 = 256 << 20;

/// `data …`
#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// List what is looked for
    Detectors,
    /// Look for it in a file; never prints what it finds; exit code 1 if it finds something
    Scan(ScanArgs),
}

/// Arguments of `data scan`.
#[derive(clap::Args)]
pub(crate) struct ScanArgs {
    /// File to look at; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Detectors to use: identifiers, `secrets`, `personal` or `all`, with commas between
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_value = "all")]
    detectors: Vec<String>,
    /// Detectors not to use
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    except: Vec<String>,
}

/// Runs `data`.
pub(crate) fn run(command: &DataCommand, out: &mut Out) -> Result<u8, Failure> {
    match command {
        DataCommand::Detectors => detectors(out),
        DataCommand::Scan(args) => scan(args, out),
    }
}

fn detectors(out: &mut Out) -> Result<u8, Failure> {
    if out.wants_json() {
        let view = |one: &gatehouse_dlp::Detector| json!({"id": one.id, "kind": one.kind.as_str(), "what": one.what});
        out.json(&json!({"items": all().map(view).collect::<Vec<_>>()}))?;
        return Ok(0);
    }
    let mut table = Table::new(&[("DETECTOR", Align::Left), ("KIND", Align::Left), ("FINDS", Align::Left)]);
    for one in all() {
        table.row([one.id.to_owned(), one.kind.as_str().to_owned(), one.what.to_owned()]);
    }
    out.table(&table, "")?;
    Ok(0)
}

fn scan(args: &ScanArgs, out: &mut Out) -> Result<u8, Failure> {
    let (wanted, except) = (args.detectors.iter(), args.except.iter());
    let selection = Selection::new(wanted.map(String::as_str), except.map(String::as_str)).map_err(
        |error: UnknownDetector| Failure::Usage(format!("{error}; `gatehouse data detectors` lists them")),
    )?;
    let text = read(&args.file)?;
    let scanner = Scanner::new(&selection);
    let mut found = Vec::new();
    scanner.scan(&text, |finding| found.push((finding.start, scanner.detectors()[finding.detector])));
    found.sort_by_key(|(start, one)| (*start, one.id));
    let mut places = Places::new(&text);
    let rows: Vec<(u64, u64, &gatehouse_dlp::Detector)> = found
        .into_iter()
        .map(|(start, one)| {
            let (line, column) = places.of(start);
            (line, column, one)
        })
        .collect();
    if out.wants_json() {
        let view = |(line, column, one): &(u64, u64, &gatehouse_dlp::Detector)| -> Value {
            json!({"line": line, "column": column, "detector": one.id, "kind": one.kind.as_str(), "what": one.what})
        };
        out.json(&json!({"items": rows.iter().map(view).collect::<Vec<_>>()}))?;
    } else {
        let columns = [
            ("LINE", Align::Right),
            ("COLUMN", Align::Right),
            ("DETECTOR", Align::Left),
            ("FINDS", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for (line, column, one) in &rows {
            table.row([line.to_string(), column.to_string(), one.id.to_owned(), one.what.to_owned()]);
        }
        out.table(&table, "Nothing was found.")?;
    }
    Ok(u8::from(!rows.is_empty()))
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let done = if file == "-" {
        std::io::stdin().lock().take(MOST + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MOST + 1).read_to_end(&mut text))
    };
    done.map_err(|error| Failure::Failed(format!("cannot read `{file}`: {error}")))?;
    if text.len() as u64 > MOST {
        return Err(Failure::Failed(format!(
            "`{file}` is larger than {} MiB; look at it in parts",
            MOST >> 20
        )));
    }
    Ok(text)
}

/// Lines and columns of places that are asked for in order.
struct Places<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
    line_begins: usize,
}

impl<'a> Places<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1, line_begins: 0 }
    }

    /// The line, and the column in characters, both from 1.
    fn of(&mut self, place: usize) -> (u64, u64) {
        for (offset, byte) in self.text[self.at..place].iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.line_begins = self.at + offset + 1;
            }
        }
        self.at = place;
        let column = String::from_utf8_lossy(&self.text[self.line_begins..place]).chars().count();
        (self.line, column as u64 + 1)
    }
}
