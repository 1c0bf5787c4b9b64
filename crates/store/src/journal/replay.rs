//! The start: reading what earlier runs left, ending what they left open, and going on behind it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Mutex, OnceLock, RwLock};
use std::time::SystemTime;

use gatehouse_domain::exchange::{Cost, Intent};
use gatehouse_domain::id::ExchangeId;

use super::append::{Files, Pending};
use super::frame::{CONTROL, FrameKind, Payload, new_epoch, read_id, read_intent};
use super::scan::{Beginning, Scanner};
use super::segment::{Folder, Segment};
use super::{Inner, Options, Position, StartError};

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Entries that earlier runs left.
    pub entries: u64,
    /// Exchanges that were open when the last run ended; each has a record now.
    pub interrupted: usize,
    /// Bytes that could not be read, with readable entries behind them. More than zero means a damaged disk.
    pub damaged_bytes: u64,
    /// Segments that could not be read at all.
    pub unreadable_segments: usize,
}

/// What reading all segments gave.
#[derive(Default)]
struct Found {
    recovered: Recovered,
    open: HashMap<ExchangeId, Intent>,
    newest: u64,
    /// The segment to go on in: number, length, and where its last good frame ends.
    last: Option<(u64, u64, u64)>,
    /// A segment behind it that was made and never used.
    spare: Option<(u64, u64)>,
}

pub(super) fn start(options: &Options, price: &dyn Fn(&Intent) -> Cost) -> Result<(Inner, Recovered), StartError> {
    let io = |source: io::Error| StartError::Io { folder: options.folder.clone(), source };
    let folder = Folder::open(&options.folder, options.segment_bytes.max(64 * 1024)).map_err(io)?;
    let mut found = read_all(&folder, options)?;
    let (inner, position) = begin(folder, options, &mut found, price).map_err(io)?;
    *super::lock(&inner.durable_at) = position;
    let recovered = found.recovered;
    if recovered.interrupted > 0 {
        tracing::warn!(
            exchanges = recovered.interrupted,
            "the last run ended while exchanges were open; they are recorded as interrupted, with estimated usage"
        );
    }
    if recovered.damaged_bytes > 0 || recovered.unreadable_segments > 0 {
        tracing::error!(
            bytes = recovered.damaged_bytes,
            segments = recovered.unreadable_segments,
            "parts of the journal cannot be read: check the disk"
        );
    }
    Ok((inner, recovered))
}

fn read_all(folder: &Folder, options: &Options) -> Result<Found, StartError> {
    let io = |source: io::Error| StartError::Io { folder: options.folder.clone(), source };
    let mut found = Found::default();
    for (number, len) in folder.list().map_err(io)? {
        let file = folder.read(number).map_err(io)?;
        match Scanner::open(file, number, len).map_err(io)? {
            (mut scanner, Beginning::Begun) => {
                read_segment(&mut scanner, &mut found, options)?;
                found.newest = found.newest.max(scanner.next_seq.saturating_sub(1));
                found.recovered.damaged_bytes += scanner.damaged_bytes;
                found.last = Some((number, len, scanner.at));
                found.spare = None;
            }
            (_, Beginning::Empty) => found.spare = Some((number, len)),
            (_, Beginning::Unreadable) => found.recovered.unreadable_segments += 1,
        }
    }
    Ok(found)
}

fn read_segment(scanner: &mut Scanner, found: &mut Found, options: &Options) -> Result<(), StartError> {
    let segment = scanner.segment;
    let foreign = |e: &dyn std::fmt::Display| StartError::Foreign {
        folder: options.folder.clone(),
        what: format!("segment {segment}: {e}"),
    };
    loop {
        let next = scanner.next();
        let next = next.map_err(|source| StartError::Io { folder: options.folder.clone(), source })?;
        let Some(entry) = next else { return Ok(()) };
        found.recovered.entries += 1;
        if entry.kind == FrameKind::Intent {
            let intent = read_intent(entry.version, entry.payload).map_err(|e| foreign(&e))?;
            found.open.insert(intent.id, intent);
        } else {
            let id = read_id(entry.version, entry.payload).map_err(|e| foreign(&e))?;
            found.open.remove(&id);
        }
    }
}

/// Goes on behind what was found: writes the records of interrupted exchanges and makes them durable.
fn begin(
    folder: Folder,
    options: &Options,
    found: &mut Found,
    price: &dyn Fn(&Intent) -> Cost,
) -> io::Result<(Inner, Position)> {
    if found.newest == 0 {
        found.newest = clock_micros();
    }
    let epoch = new_epoch();
    let current = current_segment(&folder, found, epoch)?;
    let spare = found.spare.take().filter(|(_, len)| *len == folder.segment_bytes());
    let spare = match spare {
        Some((number, len)) => Some(Segment::new(number, folder.disk(number)?, len, 0)),
        None => None,
    };
    let mut files = Files::new(current, spare, found.newest, epoch);
    let mut pending = Pending::new(found.newest + 1, 0, options.max_unsaved_bytes);
    let mut interrupted: Vec<Intent> = found.open.drain().map(|(_, intent)| intent).collect();
    interrupted.sort_by_key(|intent| intent.id);
    found.recovered.interrupted = interrupted.len();
    for intent in interrupted {
        let cost = price(&intent);
        pending.push(FrameKind::Exchange, Payload::exchange(&intent.interrupted(cost)).bytes());
        if files.spare.is_none() && files.current.room() < 4 * super::append::RESERVE.unsigned_abs() {
            let number = files.current.number + 1;
            files.spare = Some(Segment::new(number, folder.create(number)?, folder.segment_bytes(), 0));
        }
        files.take(&mut pending);
        files.write().map_err(io::Error::other)?;
    }
    for filled in std::mem::take(&mut files.filled) {
        filled.sync()?;
    }
    files.current.disk.sync()?;
    files.hand_over(&mut Vec::new());
    pending.unsaved = 0;
    pending.room = files.room(&pending);
    let position = files.position();
    let gate = AtomicU8::new(super::gate_from(pending.refusing()));
    let inner = Inner {
        folder,
        options: options.clone(),
        files: Mutex::new(files),
        pending: Mutex::new(pending),
        gate,
        durable: AtomicU64::new(position.seq),
        durable_at: Mutex::new(position),
        found_seq: position.seq,
        passed: AtomicU64::new(0),
        commits: AtomicU64::new(0),
        wakes: RwLock::default(),
        threads: OnceLock::new(),
        making: Mutex::default(),
        copied: AtomicU64::new(0),
    };
    Ok((inner, position))
}

/// The segment to go on in: the last one used, if it has room for a control frame and more, else a fresh one.
fn current_segment(folder: &Folder, found: &mut Found, epoch: u64) -> io::Result<Segment> {
    let next_seq = found.newest + 1;
    if let Some((number, len, at)) = found.last
        && at + (4 * CONTROL) as u64 <= len
    {
        let mut segment = Segment::new(number, folder.disk(number)?, len, at);
        segment.begin(FrameKind::Resume, next_seq, epoch)?;
        return Ok(segment);
    }
    let mut segment = match found.spare.take().filter(|(_, len)| *len == folder.segment_bytes()) {
        Some((number, len)) => Segment::new(number, folder.disk(number)?, len, 0),
        None => {
            let newest = folder.list()?.last().map_or(0, |(number, _)| *number);
            Segment::new(newest + 1, folder.create(newest + 1)?, folder.segment_bytes(), 0)
        }
    };
    segment.begin(FrameKind::Start, next_seq, epoch)?;
    Ok(segment)
}

/// Where the numbers of an empty journal begin, so that they never repeat those of one that was deleted.
fn clock_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(1).max(1)
}
