//! How large an installation must be: nodes, database, counters and what they cost, for so many developers.
//!
//! Plain arithmetic over two kinds of figures: what was measured of the program (`docs/scale.md` says how), and what is
//! assumed of its use and of prices. All of them can be set.

/// Seconds of an hour.
const HOUR: u64 = 3600;
/// Days of a month.
const MONTH: u64 = 30;
/// Days of a year.
const YEAR: u64 = 365;
const MICROS: u64 = 1_000_000;
const KIB: u64 = 1024;
const GIB: u64 = 1 << 30;

macro_rules! basis {
    ($($(#[$doc:meta])* $name:ident = $default:literal, $told:literal;)*) => {
        /// What the figures are reckoned from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Basis {
            $(#[doc = concat!($told, ".")] pub $name: u64,)*
        }

        impl Default for Basis {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Basis {
            /// Sets a figure by its name; false if there is none of this name.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }

            /// All figures: name, value, what it is.
            pub fn all(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name, $told),)*]
            }
        }
    };
}

basis! {
    active_percent = 60, "Assumed: developers who use it on a working day, in percent";
    requests_per_day = 150, "Assumed: requests of one of them on such a day";
    workdays_per_month = 22, "Assumed: working days of a month";
    peak_hour_percent = 20, "Assumed: requests of a day that fall into its busiest hour, in percent";
    burst_factor = 3, "Assumed: the busiest minute against the average of that hour";
    body_kib = 200, "Assumed: a request's body, in KiB";
    events = 200, "Assumed: events of a streamed reply";
    reply_seconds = 15, "Assumed: how long a reply takes, in seconds";
    wait_seconds = 4, "Assumed: how long a body is kept until the provider's first content, in seconds";
    sums_per_developer_day = 16, "Assumed: hourly sums of an active developer in a day (8 hours, 2 models)";
    retention_days = 90, "Assumed: retention.exchanges_days";
    node_cores = 2, "Assumed: cores of a node";
    use_percent = 50, "Assumed: how busy cores may be in the busiest minute, in percent";
    spare_nodes = 1, "Assumed: nodes that may be away";
    core_cents = 2500, "Assumed: price of a core for a month, in cents";
    memory_gib_cents = 350, "Assumed: price of a GiB of memory for a month, in cents";
    storage_gib_cents = 15, "Assumed: price of a GiB of storage for a month, in cents";
    node_idle_mib = 36, "Measured: memory of an idle node, in MiB";
    stream_kib = 33, "Measured: memory of an open stream, in KiB";
    request_us = 620, "Measured: CPU time of a node for a request of 2 KiB, all in, in microseconds";
    body_kib_ns = 2000, "Measured: CPU time for another KiB of body, in nanoseconds";
    event_us = 24, "Measured: CPU time for a streamed event, in microseconds";
    journal_bytes = 600, "Assumed: journal of an exchange, both frames, in bytes";
    exchange_bytes = 1030, "Measured: an exchange in PostgreSQL with its indexes, in bytes";
    audit_bytes = 190, "Measured: the audit log's share of an exchange, in bytes";
    sum_bytes = 670, "Measured: an hourly sum in PostgreSQL, in bytes";
    wal_bytes = 1850, "Measured: write-ahead log of PostgreSQL for an exchange, in bytes";
    database_us = 1000, "Measured: CPU time of PostgreSQL for an exchange, in microseconds";
    counter_operations = 2, "By design: operations on counters for a request (reserve and settle), at most";
}

/// What so many developers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// So many developers.
    pub developers: u64,
    /// Requests on a working day.
    pub requests_per_day: u64,
    /// Requests a second in the busiest minute, in thousandths.
    pub peak_per_second_milli: u64,
    /// Streams that are open then.
    pub open_streams: u64,
    /// Kilobytes a second that come in then.
    pub kib_in_per_second: u64,
    /// CPU time of a node for a request, in microseconds.
    pub cpu_us_per_request: u64,
    /// Nodes, the spare ones included.
    pub nodes: u64,
    /// Memory of a node when the spare ones are away, in MiB.
    pub node_memory_mib: u64,
    /// Rows written on a working day: exchanges and sums.
    pub rows_per_day: u64,
    /// Exchanges a second into the database in the busiest minute, in thousandths.
    pub writes_per_second_milli: u64,
    /// Write-ahead log then, in KiB a second.
    pub wal_kib_per_second: u64,
    /// Records that are kept, in bytes.
    pub records_bytes: u64,
    /// What the audit log grows by in a year, in bytes; it is kept for ever.
    pub audit_bytes_per_year: u64,
    /// What sums grow by in a year, in bytes; they are kept for ever.
    pub sums_bytes_per_year: u64,
    /// Cores of the database server.
    pub database_cores: u64,
    /// Memory of the database server, in GiB.
    pub database_memory_gib: u64,
    /// Storage of the database after the first year, in GiB.
    pub database_storage_gib: u64,
    /// How long a node's journal of 1 GiB lasts in the busiest minute while the database is away, in seconds.
    pub journal_seconds: u64,
    /// Operations on shared counters a second in the busiest minute.
    pub counter_operations_per_second: u64,
    /// What it costs in a month, in cents: nodes, database with a standby, counters.
    pub cents_per_month: u64,
    /// The same for one developer.
    pub cents_per_developer_month: u64,
}

impl Size {
    /// What so many developers take.
    pub fn of(developers: u64, basis: &Basis) -> Self {
        let b = basis;
        let active = (developers * b.active_percent).div_ceil(100);
        let requests_per_day = active * b.requests_per_day;
        let peak_milli =
            (requests_per_day * b.peak_hour_percent * b.burst_factor * 1000).div_ceil(100 * HOUR);
        let per_second = |each: u64| (peak_milli * each).div_ceil(1000);

        let cpu = b.request_us + b.body_kib * b.body_kib_ns / 1000 + b.events * b.event_us;
        let usable = b.node_cores * MICROS * b.use_percent.clamp(1, 100) / 100;
        let busy = per_second(cpu).div_ceil(usable.max(1)).max(1);
        let nodes = busy + b.spare_nodes;
        let open_streams = per_second(b.reply_seconds);
        let kept_kib = (open_streams * b.stream_kib + per_second(b.wait_seconds * b.body_kib)).div_ceil(busy);
        let node_memory_mib = b.node_idle_mib + kept_kib.div_ceil(KIB);

        let requests_per_month = requests_per_day * b.workdays_per_month;
        let sums_per_day = active * b.sums_per_developer_day;
        let records = requests_per_month * b.retention_days / MONTH * b.exchange_bytes;
        let audit = requests_per_month * YEAR / MONTH * b.audit_bytes;
        let sums = sums_per_day * b.workdays_per_month * YEAR / MONTH * b.sum_bytes;
        let database_usable = MICROS * b.use_percent.clamp(1, 100) / 100;
        let database_cores = per_second(b.database_us).div_ceil(database_usable.max(1)).max(2);
        let database_bytes = records + audit + sums;
        // A tenth of it, so that what is read of it now is there: the newest days, the sums of the month, the indexes' tops.
        let database_memory_gib = (database_bytes / 10).div_ceil(GIB).clamp(4, 256);
        // As much again is free: for what is deleted and not yet used again, and for the write-ahead log.
        let database_storage_gib = (database_bytes * 2).div_ceil(GIB).max(10);

        let journal_rate = per_second(b.journal_bytes).div_ceil(busy).max(1);
        let cents = nodes
            * (b.node_cores * b.core_cents + node_memory_mib.max(512).div_ceil(KIB) * b.memory_gib_cents)
            + nodes * 4 * b.storage_gib_cents
            + 2 * (database_cores * b.core_cents
                + database_memory_gib * b.memory_gib_cents
                + database_storage_gib * b.storage_gib_cents)
            + if nodes > 1 { b.core_cents + b.memory_gib_cents } else { 0 };
        Self {
            developers,
            requests_per_day,
            peak_per_second_milli: peak_milli,
            open_streams,
            kib_in_per_second: per_second(b.body_kib),
            cpu_us_per_request: cpu,
            nodes,
            node_memory_mib,
            rows_per_day: requests_per_day + sums_per_day,
            writes_per_second_milli: peak_milli,
            wal_kib_per_second: per_second(b.wal_bytes).div_ceil(KIB),
            records_bytes: records,
            audit_bytes_per_year: audit,
            sums_bytes_per_year: sums,
            database_cores,
            database_memory_gib,
            database_storage_gib,
            journal_seconds: GIB / journal_rate,
            counter_operations_per_second: per_second(b.counter_operations),
            cents_per_month: cents,
            cents_per_developer_month: cents.div_ceil(developers.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_developers_are_reckoned_by_hand() {
        let basis = Basis {
            request_us: 1000,
            body_kib_ns: 0,
            event_us: 20,
            exchange_bytes: 1000,
            ..Basis::default()
        };
        let size = Size::of(1000, &basis);
        // 600 people, 150 requests each; a fifth in an hour of 3600 s, three times that in the busiest minute.
        assert_eq!((size.requests_per_day, size.peak_per_second_milli), (90_000, 15_000));
        // 1 ms and 200 events of 20 us.
        assert_eq!((size.cpu_us_per_request, size.nodes), (5_000, 2), "75 ms of CPU a second fit one node");
        assert_eq!((size.open_streams, size.counter_operations_per_second), (225, 30));
        assert_eq!(size.records_bytes, 90_000 * 22 * 3 * 1000);
        assert_eq!(size.rows_per_day, 90_000 + 600 * 16);
    }

    #[test]
    fn more_developers_never_take_less() {
        let basis = Basis::default();
        let mut before = Size::of(1, &basis);
        for developers in [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
            let size = Size::of(developers, &basis);
            assert!(size.nodes >= before.nodes && size.cents_per_month >= before.cents_per_month);
            assert!(size.database_storage_gib >= before.database_storage_gib);
            assert!(size.journal_seconds > 0);
            before = size;
        }
    }

    #[test]
    fn every_figure_can_be_set_by_its_name() {
        let mut basis = Basis::default();
        for (name, value, told) in basis.all() {
            assert!(told.contains(": "), "{name}: it says where it comes from");
            assert!(basis.set(name, value + 1));
        }
        assert!(basis.all().iter().zip(Basis::default().all()).all(|(a, b)| a.1 == b.1 + 1));
        assert!(!basis.set("nothing", 1));
    }
}
