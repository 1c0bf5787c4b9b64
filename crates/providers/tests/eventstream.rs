//! Event-stream frames against the reference implementation, in any pieces, and against damage.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use gatehouse_providers::eventstream::{BadFrame, Decoder, MAX_FRAME, encode};
use proptest::prelude::*;

/// What the tests compare of a frame: its event type and its payload.
type Seen = (Option<String>, Vec<u8>);

fn decode(bytes: &[u8], pieces: &[usize]) -> (Vec<Seen>, Result<(), BadFrame>, bool) {
    let (mut decoder, mut seen, mut at) = (Decoder::default(), Vec::new(), 0);
    let mut sizes = pieces.iter().copied().filter(|n| *n > 0).cycle();
    while at < bytes.len() {
        let end = (at + sizes.next().unwrap_or(bytes.len())).min(bytes.len());
        let fed = decoder.feed(&bytes[at..end], |frame| {
            seen.push((frame.text(":event-type").map(str::to_owned), frame.payload.to_vec()));
        });
        if fed.is_err() {
            return (seen, fed, false);
        }
        at = end;
    }
    (seen, Ok(()), decoder.is_between_frames())
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Int16),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<i64>().prop_map(HeaderValue::Int64),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| HeaderValue::ByteArray(v.into())),
        ".{0,20}".prop_map(|v: String| HeaderValue::String(v.into())),
        (0..4_000_000_000_i64).prop_map(|s| HeaderValue::Timestamp(aws_smithy_types::DateTime::from_secs(s))),
        any::<u128>().prop_map(HeaderValue::Uuid),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let headers = prop::collection::vec(("[a-z:-]{1,20}", header_value()), 0..6);
    (headers, ".{0,10}", prop::collection::vec(any::<u8>(), 0..3000)).prop_map(|(headers, kind, payload)| {
        let mut message = Message::new(payload);
        for (name, value) in headers {
            if name != ":event-type" {
                message = message.add_header(Header::new(name, value));
            }
        }
        message.add_header(Header::new(":event-type", HeaderValue::String(kind.into())))
    })
}

proptest! {
    #[test]
    fn reads_what_the_reference_writes_in_any_pieces(
        messages in prop::collection::vec(message(), 0..6),
        pieces in prop::collection::vec(1..700_usize, 1..8),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for message in &messages {
            write_message_to(message, &mut bytes).unwrap();
            let kind = message.headers().iter().find(|h| h.name().as_str() == ":event-type").unwrap();
            let kind = kind.value().as_string().unwrap().as_str().to_owned();
            expected.push((Some(kind), message.payload().to_vec()));
        }
        prop_assert_eq!(decode(&bytes, &pieces), (expected.clone(), Ok(()), true));
        prop_assert_eq!(decode(&bytes, &[1]), (expected, Ok(()), true));
    }

    #[test]
    fn the_reference_reads_what_is_written(kind in ".{0,20}", payload in prop::collection::vec(any::<u8>(), 0..3000)) {
        let bytes = encode(&[(":event-type", &kind), (":message-type", "event")], &payload).unwrap();
        let message = read_message_from(&mut &bytes[..]).unwrap();
        prop_assert_eq!(message.payload().as_ref(), &payload[..]);
        prop_assert_eq!(message.headers()[0].value().as_string().unwrap().as_str(), kind.as_str());
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_what_came_before_is_kept(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        piece in 1..64_usize,
    ) {
        let good = encode(&[(":event-type", "chunk")], b"good").unwrap();
        let mut bad = encode(&[(":event-type", "chunk")], &payload).unwrap();
        let at = at.index(bad.len());
        bad[at] ^= 1 << bit;
        let (seen, fed, whole) = decode(&[good, bad].concat(), &[piece]);
        prop_assert_eq!(seen, vec![(Some("chunk".to_owned()), b"good".to_vec())]);
        prop_assert!(fed.is_err() && !whole, "{fed:?}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..64_usize) {
        let (seen, fed, whole) = decode(&bytes, &[piece]);
        prop_assert!(fed.is_ok() || !whole, "{seen:?}");
    }
}

/// A prelude with a right checksum, whatever it says.
fn prelude(total: usize, headers: usize) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    out.extend_from_slice(&u32::try_from(headers).unwrap().to_be_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_kept() {
    for (total, headers) in [
        (0, 0),
        (15, 0),
        (16, 1),
        (40, 25),
        (MAX_FRAME + 1, 0),
        (u32::MAX as usize, 0),
        (u32::MAX as usize, u32::MAX as usize),
        (200 * 1024, 129 * 1024),
    ] {
        assert_eq!(decode(&prelude(total, headers), &[5]).1, Err(BadFrame::Length), "{total}, {headers}");
    }
    assert_eq!(decode(&prelude(MAX_FRAME, 0), &[5]), (Vec::new(), Ok(()), false));
}

#[test]
fn a_frame_that_is_cut_off_is_no_frame() {
    let whole = encode(&[(":event-type", "chunk")], b"{}").unwrap();
    for end in 1..whole.len() {
        assert_eq!(decode(&whole[..end], &[7]), (Vec::new(), Ok(()), false), "{end} bytes");
    }
}

#[test]
fn headers_that_cannot_be_read_are_damage() {
    for headers in [&b"\x00\x07\x00\x00"[..], b"\x01a\x0a", b"\x01a\x07\x00\x05abc", b"\x05ab", b"\x01a"] {
        let mut bytes = prelude(16 + headers.len(), headers.len());
        bytes.extend_from_slice(headers);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        assert_eq!(decode(&bytes, &[100]).1, Err(BadFrame::Headers), "{headers:?}");
    }
    assert_eq!(encode(&[("", "x")], b""), Err(BadFrame::Headers));
    assert_eq!(encode(&[("x", &"y".repeat(65536))], b""), Err(BadFrame::Headers));
    assert_eq!(encode(&[], &vec![0; MAX_FRAME]), Err(BadFrame::Length));
}
