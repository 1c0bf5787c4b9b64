//! `scale`: how large an installation must be. Asks no server.

use gatehouse_domain::scale::{Basis, Size};
use serde_json::{Map, Value, json};

use super::table::{Align, Table, grouped};
use super::{Failure, Out};

/// Most developers that are reckoned for.
const MOST: u64 = 10_000_000;
/// Largest figure that can be set.
const LARGEST: u64 = 1_000_000;

/// Arguments of `scale`.
#[derive(clap::Args)]
pub(crate) struct ScaleArgs {
    /// For how many developers; several numbers with commas between
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "1000,10000,100000")]
    developers: Vec<u64>,
    /// A figure to reckon with in place of the usual one, such as `requests_per_day=300`; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

/// Runs `scale`.
pub(crate) fn run(args: &ScaleArgs, out: &mut Out) -> Result<u8, Failure> {
    let mut basis = Basis::default();
    for given in &args.set {
        let pair = given.split_once('=').and_then(|(name, value)| Some((name, value.parse::<u64>().ok()?)));
        let done = pair.is_some_and(|(name, value)| value <= LARGEST && basis.set(name, value));
        if !done {
            let names: Vec<_> = basis.all().into_iter().map(|(name, ..)| name).collect();
            return Err(Failure::Usage(format!(
                "--set `{given}`: expected NAME=VALUE with a whole number up to {LARGEST} and one of {}",
                names.join(", ")
            )));
        }
    }
    if let Some(bad) = args.developers.iter().find(|n| !(1..=MOST).contains(*n)) {
        return Err(Failure::Usage(format!("--developers `{bad}`: expected 1 to {MOST}")));
    }
    let sizes: Vec<Size> = args.developers.iter().map(|n| Size::of(*n, &basis)).collect();
    if out.wants_json() {
        let all: Map<String, Value> =
            basis.all().into_iter().map(|(name, value, _)| (name.to_owned(), json!(value))).collect();
        let sizes: Vec<Value> = sizes.iter().map(json_of).collect();
        out.json(&json!({"sizes": sizes, "basis": all}))?;
        return Ok(0);
    }
    let mut columns = vec![("", Align::Left)];
    let titles: Vec<String> = sizes.iter().map(|size| grouped(size.developers)).collect();
    columns.extend(titles.iter().map(|_| ("", Align::Right)));
    let mut table = Table::new(&columns);
    let mut heads = vec!["DEVELOPERS".to_owned()];
    heads.extend(titles);
    table.row(heads);
    for (name, figure) in ROWS {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(sizes.iter().map(figure));
        table.row(cells);
    }
    // Its titles are empty: what is above the figures depends on what was asked.
    out.line(table.to_string().trim())?;
    out.line("\nReckoned from (change with --set NAME=VALUE):")?;
    let mut table = Table::new(&[("NAME", Align::Left), ("VALUE", Align::Right), ("WHAT", Align::Left)]);
    for (name, value, told) in basis.all() {
        table.row([name.to_owned(), value.to_string(), told.to_owned()]);
    }
    out.table(&table, "")?;
    Ok(0)
}

type Figure = fn(&Size) -> String;

const ROWS: &[(&str, Figure)] = &[
    ("requests on a working day", |s| grouped(s.requests_per_day)),
    ("requests a second, busiest minute", |s| thousandths(s.peak_per_second_milli)),
    ("open streams then", |s| grouped(s.open_streams)),
    ("MiB a second in, then", |s| tenths(s.kib_in_per_second, 1024)),
    ("CPU of a node for a request, ms", |s| tenths(s.cpu_us_per_request, 1000)),
    ("nodes, spare ones included", |s| grouped(s.nodes)),
    ("memory of a node, MiB", |s| grouped(s.node_memory_mib)),
    ("rows written on a working day", |s| grouped(s.rows_per_day)),
    ("exchanges a second into the database", |s| thousandths(s.writes_per_second_milli)),
    ("write-ahead log, KiB a second", |s| grouped(s.wal_kib_per_second)),
    ("records kept, GiB", |s| gib(s.records_bytes)),
    ("audit log, GiB a year", |s| gib(s.audit_bytes_per_year)),
    ("sums, GiB a year", |s| gib(s.sums_bytes_per_year)),
    ("database: cores", |s| grouped(s.database_cores)),
    ("database: memory, GiB", |s| grouped(s.database_memory_gib)),
    ("database: storage, GiB", |s| grouped(s.database_storage_gib)),
    ("database may be away, minutes", |s| grouped(s.journal_seconds / 60)),
    ("counter operations a second", |s| grouped(s.counter_operations_per_second)),
    ("platform, USD a month", |s| grouped(s.cents_per_month.div_ceil(100))),
    ("platform, USD a developer and month", |s| {
        format!("{}.{:02}", s.cents_per_developer_month / 100, s.cents_per_developer_month % 100)
    }),
];

fn json_of(s: &Size) -> Value {
    json!({
        "developers": s.developers,
        "requests_per_day": s.requests_per_day,
        "peak_per_second_milli": s.peak_per_second_milli,
        "open_streams": s.open_streams,
        "kib_in_per_second": s.kib_in_per_second,
        "cpu_us_per_request": s.cpu_us_per_request,
        "nodes": s.nodes,
        "node_memory_mib": s.node_memory_mib,
        "rows_per_day": s.rows_per_day,
        "writes_per_second_milli": s.writes_per_second_milli,
        "wal_kib_per_second": s.wal_kib_per_second,
        "records_bytes": s.records_bytes,
        "audit_bytes_per_year": s.audit_bytes_per_year,
        "sums_bytes_per_year": s.sums_bytes_per_year,
        "database_cores": s.database_cores,
        "database_memory_gib": s.database_memory_gib,
        "database_storage_gib": s.database_storage_gib,
        "journal_seconds": s.journal_seconds,
        "counter_operations_per_second": s.counter_operations_per_second,
        "cents_per_month": s.cents_per_month,
        "cents_per_developer_month": s.cents_per_developer_month,
    })
}

/// Thousandths with one decimal, rounded up.
fn thousandths(milli: u64) -> String {
    tenths(milli, 1000)
}

fn tenths(number: u64, whole: u64) -> String {
    let tenths = (number * 10).div_ceil(whole);
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

fn gib(bytes: u64) -> String {
    tenths(bytes >> 20, 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!((thousandths(1501).as_str(), gib(3 << 29).as_str()), ("1.6", "1.5"));
    }
}
