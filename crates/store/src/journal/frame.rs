//! The form of a frame in a segment file.
//!
//! ```text
//! 0      4      8        16     17        18
//! | len  | crc  | seq    | kind | version | payload, `len` bytes |      (integers little-endian)
//! ```
//!
//! The checksum is CRC-32 over everything but itself, seeded with the segment's number and the epoch of the run that
//! wrote it. So a frame left over in a recycled file, or behind the end of a run that was killed, is never taken for
//! a frame of today. Zeros (a preallocated file) are no frame, since no kind is zero.

use std::borrow::Cow;
use std::time::SystemTime;

use gatehouse_domain::data_protection::{MAX_DETECTOR, MAX_FINDINGS};
use gatehouse_domain::exchange::{Exchange, Intent, Kind};
use gatehouse_domain::id::{ExchangeId, OrgId, UserId};
use serde::Serialize;

/// Bytes in front of a payload.
pub(super) const HEADER: usize = 18;
/// Longest payload. [`Payload::exchange`] shortens what would be longer.
pub(super) const MAX_PAYLOAD: usize = 8 * 1024;
/// Bytes of a control frame (start or resume).
pub(super) const CONTROL: usize = HEADER + 8;
/// Version of the payload's form: postcard of the domain's `Intent` and `Exchange`. Fields and enum variants are told apart
/// by position, so a change of those types needs a new number and a reader for the old. Form 1 had the key's identifier
/// where there is a credential now; see [`up_to_date`]. Form 2 had nothing of routing at an exchange's end, and form 3 nothing
/// of what was left out of the request, form 4 nothing of what data protection found; see [`LATER`].
const VERSION: u8 = 5;
/// What this form has behind an exchange of form 2, when there is nothing to say: no model asked for, no attempts, no switch,
/// nothing left out (which form 3 lacks as well), nothing found (which form 4 lacks too).
const LATER: [u8; 5] = [0, 0, 0, 0, 0];

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The first frame of a segment: the epoch of the run that began it.
    Start,
    /// A later run goes on in the same segment, under a new epoch.
    Resume,
    /// An intent.
    Intent,
    /// A finished exchange.
    Exchange,
}

impl FrameKind {
    const fn code(self) -> u8 {
        match self {
            Self::Start => 1,
            Self::Resume => 2,
            Self::Intent => 3,
            Self::Exchange => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Start),
            2 => Some(Self::Resume),
            3 => Some(Self::Intent),
            4 => Some(Self::Exchange),
            _ => None,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Start | Self::Resume)
    }
}

/// What checksums of one run's frames in one segment begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed {
    segment: u64,
    entries: u32,
    control: u32,
}

impl Seed {
    /// The seed of a segment of which only control frames can be read yet.
    pub(super) fn of_segment(segment: u64) -> Self {
        Self { segment, entries: seed_of(segment, 0), control: seed_of(segment, u64::MAX) }
    }

    /// The seed of entries that the run with this epoch wrote to the segment.
    pub(super) fn with_epoch(self, epoch: u64) -> Self {
        Self { entries: seed_of(self.segment, epoch), ..self }
    }

    const fn of(self, kind: FrameKind) -> u32 {
        if kind.is_control() { self.control } else { self.entries }
    }
}

fn seed_of(segment: u64, epoch: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&epoch.to_le_bytes());
    hasher.finalize()
}

/// A number no earlier run used: the clock's nanoseconds mixed with the process id.
pub(super) fn new_epoch() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    (nanos ^ u64::from(std::process::id()).rotate_left(48)).clamp(1, u64::MAX - 1)
}

/// A frame whose header makes sense; its checksum is verified by [`Head::matches`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) crc: u32,
    pub(super) seq: u64,
    pub(super) kind: FrameKind,
    pub(super) version: u8,
}

impl Head {
    /// Reads a header; `None` when the bytes cannot be one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let kind = FrameKind::from_code(bytes[16])?;
        let len = usize::try_from(u32::from_le_bytes(*bytes[0..4].first_chunk()?)).ok()?;
        if len > MAX_PAYLOAD {
            return None;
        }
        Some(Self {
            len,
            crc: u32::from_le_bytes(*bytes[4..8].first_chunk()?),
            seq: u64::from_le_bytes(*bytes[8..16].first_chunk()?),
            kind,
            version: bytes[17],
        })
    }

    /// Bytes of the whole frame.
    pub(super) const fn frame_len(&self) -> usize {
        HEADER + self.len
    }

    /// Whether the frame's bytes carry the checksum they should.
    pub(super) fn matches(&self, frame: &[u8], seed: Seed) -> bool {
        frame.len() == self.frame_len() && checksum(frame, seed.of(self.kind)) == self.crc
    }
}

fn checksum(frame: &[u8], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

/// Appends a frame with an empty checksum, which [`stamp`] fills in once the segment is known.
pub(super) fn push(into: &mut Vec<u8>, seq: u64, kind: FrameKind, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("payloads are at most MAX_PAYLOAD");
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&seq.to_le_bytes());
    into.extend_from_slice(&[kind.code(), VERSION]);
    into.extend_from_slice(payload);
}

/// A control frame: `next_seq` is the number of the entry that follows.
pub(super) fn control(kind: FrameKind, seed: Seed, next_seq: u64, epoch: u64) -> Vec<u8> {
    let mut frame = Vec::with_capacity(CONTROL);
    push(&mut frame, next_seq, kind, &epoch.to_le_bytes());
    let crc = checksum(&frame, seed.of(kind));
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// Fills in the checksums of as many whole frames as fit into `room`. Returns their bytes and the last one's number.
pub(super) fn stamp(frames: &mut [u8], room: u64, seed: Seed) -> (usize, Option<u64>) {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let (mut at, mut last) = (0, None);
    while let Some(head) = Head::read(&frames[at..]) {
        let end = at + head.frame_len();
        if end > room {
            break;
        }
        let crc = checksum(&frames[at..end], seed.of(head.kind));
        frames[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        (at, last) = (end, Some(head.seq));
    }
    (at, last)
}

/// Bytes of an encoded value: on the stack as long as it is of ordinary size.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the ordinary one, and it is to stay on the stack"
)]
pub(super) enum Payload {
    /// The first `.1` bytes of the array.
    Stack([u8; Payload::STACK], usize),
    /// A value with long names or many advisors.
    Heap(Vec<u8>),
}

impl Payload {
    const STACK: usize = 1024;

    /// Encodes an intent.
    pub(super) fn intent(intent: &Intent) -> Self {
        if intent.provider.len() <= NAME && intent.model.len() <= NAME {
            return Self::encode(intent);
        }
        let mut short = intent.clone();
        shorten(&mut short.provider);
        shorten(&mut short.model);
        Self::encode(&short)
    }

    /// Encodes an exchange. Texts are cut to 200 bytes and advisors beyond the 16th added to the 16th, so that a frame's
    /// size is bounded whatever an upstream says of itself.
    pub(super) fn exchange(exchange: &Exchange) -> Self {
        if texts_fit(exchange) { Self::encode(exchange) } else { Self::encode(&fitted(exchange)) }
    }

    fn encode<T: Serialize>(value: &T) -> Self {
        let mut array = [0; Self::STACK];
        match postcard::to_slice(value, &mut array).map(|used| used.len()) {
            Ok(used) => Self::Stack(array, used),
            Err(_) => Self::Heap(postcard::to_stdvec(value).expect("plain structs can always be encoded")),
        }
    }

    /// The encoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Stack(array, used) => &array[..*used],
            Self::Heap(bytes) => bytes,
        }
    }
}

/// Longest text kept, in bytes.
const NAME: usize = 200;
/// Most advisors kept apart.
const ADVISORS: usize = 16;
/// Most names of what was left out of a request that are kept, and the longest of them, in bytes.
const LEFT_OUT: usize = 8;
const LEFT_OUT_NAME: usize = 48;

fn texts_fit(e: &Exchange) -> bool {
    let fits = |text: &Option<String>| text.as_ref().is_none_or(|t| t.len() <= NAME);
    e.request_id.len() <= NAME
        && [&e.provider, &e.model, &e.served_model, &e.reason, &e.session, &e.client, &e.asked]
            .into_iter()
            .all(fits)
        && e.usage.advisors.len() <= ADVISORS
        && e.usage.advisors.iter().all(|a| a.model.len() <= NAME)
        && e.left_out.len() <= LEFT_OUT
        && e.left_out.iter().all(|name| name.len() <= LEFT_OUT_NAME)
        && e.data.as_ref().is_none_or(|data| {
            data.findings.len() <= MAX_FINDINGS
                && data.findings.iter().all(|one| one.detector.len() <= MAX_DETECTOR)
        })
}

fn fitted(exchange: &Exchange) -> Exchange {
    let mut e = exchange.clone();
    shorten(&mut e.request_id);
    let texts = [
        &mut e.provider,
        &mut e.model,
        &mut e.served_model,
        &mut e.reason,
        &mut e.session,
        &mut e.client,
        &mut e.asked,
    ];
    texts.into_iter().flatten().for_each(shorten);
    e.left_out.truncate(LEFT_OUT);
    e.left_out.iter_mut().for_each(|name| name.truncate(name.floor_char_boundary(LEFT_OUT_NAME)));
    if let Some(data) = &mut e.data {
        data.findings.truncate(MAX_FINDINGS);
        for one in &mut data.findings {
            one.detector.truncate(one.detector.floor_char_boundary(MAX_DETECTOR));
        }
    }
    let rest = e.usage.advisors.split_off(ADVISORS.min(e.usage.advisors.len()));
    if let Some(last) = e.usage.advisors.last_mut() {
        for more in rest {
            last.tokens.input = last.tokens.input.saturating_add(more.tokens.input);
            last.tokens.cache_write_5m =
                last.tokens.cache_write_5m.saturating_add(more.tokens.cache_write_5m);
            last.tokens.cache_write_1h =
                last.tokens.cache_write_1h.saturating_add(more.tokens.cache_write_1h);
            last.tokens.cache_read = last.tokens.cache_read.saturating_add(more.tokens.cache_read);
            last.tokens.output = last.tokens.output.saturating_add(more.tokens.output);
        }
    }
    e.usage.advisors.iter_mut().for_each(|a| shorten(&mut a.model));
    e
}

fn shorten(text: &mut String) {
    let end = text.floor_char_boundary(NAME);
    text.truncate(end);
}

/// A payload that cannot be read although its checksum is right: another release wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot read an entry of form {version} (this release reads form {VERSION})")]
pub(super) struct ForeignForm {
    version: u8,
}

/// Reads an exchange's payload.
pub(super) fn read_exchange(version: u8, payload: &[u8]) -> Result<Exchange, ForeignForm> {
    read(
        version,
        payload,
        |old| {
            let (before, rest) = postcard::take_from_bytes::<ExchangeBefore>(old)?;
            Ok(before.3.map(|_| rest))
        },
        &LATER,
    )
}

/// Reads an intent's payload.
pub(super) fn read_intent(version: u8, payload: &[u8]) -> Result<Intent, ForeignForm> {
    read(version, payload, |old| Ok(Some(postcard::take_from_bytes::<IntentBefore>(old)?.1)), &[])
}

/// Reads only the identifier, which both kinds of entry begin with, in every form.
pub(super) fn read_id(version: u8, payload: &[u8]) -> Result<ExchangeId, ForeignForm> {
    if !matches!(version, 1..=VERSION) {
        return Err(ForeignForm { version });
    }
    postcard::take_from_bytes(payload).map(|(id, _)| id).map_err(|_| ForeignForm { version })
}

/// What stands before an exchange's credential: identifier, request id, kind, tenant and user.
type ExchangeBefore = (ExchangeId, String, Kind, Option<(OrgId, UserId)>);
/// What stands before an intent's credential.
type IntentBefore = (ExchangeId, Kind, (OrgId, UserId));

/// Finds what begins with the credential, if there is one.
type FromCredential = fn(&[u8]) -> postcard::Result<Option<&[u8]>>;

fn read<T: serde::de::DeserializeOwned>(
    version: u8,
    payload: &[u8],
    from_credential: FromCredential,
    later: &[u8],
) -> Result<T, ForeignForm> {
    let foreign = |_| ForeignForm { version };
    let payload = match version {
        1 => Cow::Owned([&up_to_date(payload, from_credential(payload).map_err(foreign)?), later].concat()),
        2 => Cow::Owned([payload, later].concat()),
        3 | 4 => Cow::Owned([payload, &later[later.len().min(version.into())..]].concat()),
        VERSION => Cow::Borrowed(payload),
        _ => return Err(ForeignForm { version }),
    };
    postcard::from_bytes(&payload).map_err(foreign)
}

/// A payload of form 1 in form 2: the credential, which was always a key, is told to be one.
fn up_to_date<'a>(payload: &'a [u8], from_credential: Option<&[u8]>) -> Cow<'a, [u8]> {
    /// How postcard writes the first variant of an enum.
    const A_KEY: u8 = 0;
    let Some(rest) = from_credential else { return Cow::Borrowed(payload) };
    let (before, rest) = payload.split_at(payload.len() - rest.len());
    Cow::Owned([before, &[A_KEY], rest].concat())
}

/// Reads the epoch out of a control frame's payload.
pub(super) fn read_epoch(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_le_bytes)
}
