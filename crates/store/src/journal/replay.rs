//! What happens at the start: earlier runs' entries are read, and what they left open is ended.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Mutex, OnceLock, RwLock};
use std::time::SystemTime;

use gatehouse_domain::exchange::{Cost, Intent};
use gatehouse_domain::id::ExchangeId;
use tracing::{error, info, warn};

use super::append::{Files, Pending, WriteError};
use super::frame::{self, CONTROL, ForeignForm, FrameKind, Payload};
use super::scan::{Beginning, Scanner};
use super::segment::{Folder, Segment};
use super::{Inner, Options, StartError, keep};

/// Smallest segment: room for the ends of some exchanges.
const MIN_SEGMENT: u64 = 64 * 1024;

/// What the start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Entries read, intents included.
    pub entries: u64,
    /// Intents without an end, which now have one.
    pub interrupted: u64,
    /// Entries that should be there and cannot be read: the disk has lost or changed them.
    pub lost: u64,
    /// Of these, those at the end of the last run. After a power cut they may be ones that were not durable yet, since a
    /// disk writes in any order before a flush.
    pub lost_at_end: u64,
    /// Segments of which nothing can be read.
    pub unreadable_segments: u64,
}

/// Reads the folder, ends what is open, and makes that durable.
pub(super) fn start(
    options: &Options,
    price: &dyn Fn(&Intent) -> Cost,
) -> Result<(Inner, Recovered), StartError> {
    let failed = |e: Failed| match e {
        Failed::Io(source) => StartError::Io { folder: options.folder.clone(), source },
        Failed::Foreign(form) => {
            StartError::Foreign { folder: options.folder.clone(), what: form.to_string() }
        }
    };
    let folder = Folder::open(&options.folder, options.segment_bytes.max(MIN_SEGMENT))
        .map_err(|e| failed(e.into()))?;
    let found = read(&folder).map_err(failed)?;
    let (mut files, mut pending) = begin(&folder, &found, options).map_err(|e| failed(e.into()))?;
    let mut recovered = found.recovered;
    let earlier_seq = pending.next_seq - 1;
    for (_, (version, payload)) in found.open {
        let intent = frame::read_intent(version, &payload).map_err(|e| failed(e.into()))?;
        let cost = price(&intent);
        pending.push(FrameKind::Exchange, Payload::exchange(&intent.interrupted(cost)).bytes());
        recovered.interrupted += 1;
    }
    let found_seq = pending.next_seq - 1;
    settle(&folder, &mut files, &mut pending).map_err(|e| failed(e.into()))?;
    tell(&recovered);
    let durable_at = files.position();
    let mut runs = found.runs;
    runs.push(files.epoch);
    let inner = Inner {
        folder,
        options: options.clone(),
        gate: AtomicU8::new(super::gate_from(pending.refusing())),
        files: Mutex::new(files),
        pending: Mutex::new(pending),
        durable: AtomicU64::new(durable_at.seq),
        durable_at: Mutex::new(durable_at),
        found_seq,
        earlier_seq,
        runs,
        passed: AtomicU64::new(0),
        making: Mutex::new(keep::Freeing::default()),
        commits: AtomicU64::new(0),
        wakes: RwLock::new(Vec::new()),
        threads: OnceLock::new(),
    };
    Ok((inner, recovered))
}

fn tell(recovered: &Recovered) {
    if recovered.lost > recovered.lost_at_end || recovered.unreadable_segments > 0 {
        error!(
            lost_entries = recovered.lost,
            unreadable_segments = recovered.unreadable_segments,
            "the journal is damaged: entries that were durable cannot be read; check the disk"
        );
    } else if recovered.lost > 0 {
        warn!(
            lost_entries = recovered.lost,
            "entries at the end of the last run cannot be read. If the machine lost power, they were not durable yet, \
             and nobody had been told that they were; if it did not, check the disk"
        );
    }
    if recovered.interrupted > 0 {
        info!(
            interrupted = recovered.interrupted,
            "exchanges that the last run left open are recorded as interrupted"
        );
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Foreign(#[from] ForeignForm),
}

#[derive(Default)]
struct Found {
    recovered: Recovered,
    /// The number of the next entry.
    next_seq: u64,
    /// Intents without an end, encoded, with their form's version.
    open: HashMap<ExchangeId, (u8, Box<[u8]>)>,
    /// The newest segment with entries: number, length, end of its entries.
    newest: Option<(u64, u64, u64)>,
    /// The newest segment is as its run left it, so that it can be gone on in.
    newest_is_sound: bool,
    /// An unused segment behind it: number and length.
    unused: Option<(u64, u64)>,
    last_number: u64,
    /// Epochs of the runs that wrote here, oldest first.
    runs: Vec<u64>,
    /// The run that wrote what was read last.
    run: u64,
}

impl Found {
    /// Counts entries that are missing before what this run wrote. What is missing before the first of a run was told at
    /// that run's start.
    fn lose(&mut self, missing: u64, run: u64) {
        self.recovered.lost += missing;
        self.recovered.lost_at_end = if self.run == run { self.recovered.lost_at_end + missing } else { 0 };
        self.run = run;
    }
}

fn read(folder: &Folder) -> Result<Found, Failed> {
    folder.clean()?;
    let mut found = Found::default();
    for (number, len) in folder.list()? {
        found.last_number = number;
        let (mut scanner, beginning) = Scanner::open(folder.read(number)?, number, len)?;
        match beginning {
            Beginning::Empty if scanner.holds_entries_from(found.next_seq)? => {
                found.recovered.unreadable_segments += 1;
                found.newest_is_sound = false;
            }
            Beginning::Empty if len == folder.segment_bytes() && found.unused.is_none() => {
                found.unused = Some((number, len));
            }
            Beginning::Empty => folder.remove(number)?,
            Beginning::Unreadable => {
                found.recovered.unreadable_segments += 1;
                found.newest_is_sound = false;
            }
            Beginning::Begun => read_segment(&mut found, scanner, len)?,
        }
    }
    if let (Some((unused, _)), Some((newest, ..))) = (found.unused, found.newest)
        && unused < newest
    {
        folder.remove(unused)?;
        found.unused = None;
    }
    if found.next_seq == 0 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        found.next_seq = u64::try_from(since.as_micros()).unwrap_or(1).max(1);
    }
    Ok(found)
}

fn read_segment(found: &mut Found, mut scanner: Scanner, len: u64) -> Result<(), Failed> {
    // Only what the newest segment holds may have been waiting for a flush.
    found.recovered.lost_at_end = 0;
    if found.next_seq > 0 {
        let run = scanner.epochs.last().copied().unwrap_or_default();
        found.lose(scanner.next_seq.saturating_sub(found.next_seq), run);
    }
    found.next_seq = found.next_seq.max(scanner.next_seq);
    while let Some(entry) = scanner.next()? {
        if entry.seq < found.next_seq {
            // Written a second time after a failed flush.
            continue;
        }
        found.lose(entry.seq - found.next_seq, entry.run);
        found.next_seq = entry.seq + 1;
        found.recovered.entries += 1;
        let id = frame::read_id(entry.version, entry.payload)?;
        match entry.kind {
            FrameKind::Intent => {
                found.open.insert(id, (entry.version, entry.payload.into()));
            }
            FrameKind::Exchange => {
                found.open.remove(&id);
            }
            FrameKind::Start | FrameKind::Resume => {}
        }
    }
    // A run that went on behind lost entries says by its resume frame how many there were.
    let run = scanner.epochs.last().copied().unwrap_or_default();
    found.lose(scanner.next_seq.saturating_sub(found.next_seq), run);
    found.next_seq = found.next_seq.max(scanner.next_seq);
    found.newest = Some((scanner.segment, len, scanner.at));
    found.newest_is_sound = scanner.damaged_bytes == 0;
    found.runs.append(&mut scanner.epochs);
    found.runs.dedup();
    Ok(())
}

/// Goes on in the newest segment if it is sound and at least a quarter of it is left, else in an unused one. When the
/// disk has no room for one, what is left of the newest must do.
fn begin(folder: &Folder, found: &Found, options: &Options) -> io::Result<(Files, Pending)> {
    let epoch = frame::new_epoch();
    let mut unused = match found.unused {
        Some((number, len)) => Some(Segment::new(number, folder.disk(number)?, len, 0)),
        None => None,
    };
    let sound = found.newest.filter(|(_, len, at)| found.newest_is_sound && at + CONTROL as u64 <= *len);
    let resume = |(number, len, at)| folder.disk(number).map(|disk| Segment::new(number, disk, len, at));
    let mut current = match (sound, unused.take()) {
        (Some(newest), spare) if newest.2 < newest.1 / 4 * 3 => {
            unused = spare;
            resume(newest)?
        }
        (_, Some(spare)) => spare,
        (newest, None) => match (folder.create(found.last_number + 1), newest) {
            (Ok(disk), _) => Segment::new(found.last_number + 1, disk, folder.segment_bytes(), 0),
            (Err(e), None) => return Err(e),
            (Err(_), Some(newest)) => resume(newest)?,
        },
    };
    let kind = if current.at == 0 { FrameKind::Start } else { FrameKind::Resume };
    current.begin(kind, found.next_seq, epoch)?;
    let mut pending = Pending::new(found.next_seq, 0, options.max_unsaved_bytes);
    let files = Files::new(current, unused, found.next_seq - 1, epoch);
    pending.room = files.room(&pending);
    Ok((files, pending))
}

/// Makes everything durable that the start has written, making segments as they are needed.
fn settle(folder: &Folder, files: &mut Files, pending: &mut Pending) -> io::Result<()> {
    files.take(pending);
    loop {
        match files.write() {
            Ok(_) => break,
            Err(WriteError::Io(e)) => return Err(e),
            Err(WriteError::NoSegment) => {
                let number = files.current.number + 1;
                files.spare = Some(Segment::new(number, folder.create(number)?, folder.segment_bytes(), 0));
            }
        }
    }
    for disk in files.filled.drain(..) {
        disk.sync()?;
    }
    files.current.disk.sync()?;
    let mut done = Vec::new();
    files.hand_over(&mut done);
    pending.unsaved = 0;
    pending.wanted = files.written_seq;
    pending.room = files.room(pending);
    Ok(())
}
