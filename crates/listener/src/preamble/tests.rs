//! What is a preamble, what is none, and that nothing behind it is read.

use proptest::prelude::*;

use super::*;

/// All of what a connection sends; what was made of it, and what is left.
fn taken(mut sent: &[u8]) -> (Option<Preamble>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = runtime.block_on(read(&mut sent));
    (read.ok(), sent.len())
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

fn client(text: &str) -> Preamble {
    Preamble::For(text.parse().unwrap())
}

#[test]
fn a_preamble_says_for_whom_and_nothing_behind_it_is_read() {
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 7;
    v6[32..34].copy_from_slice(&[0x12, 0x67]);
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 9]);
    let with_additions = [&V4[..], &[0x20, 0, 3, 1, 2, 3], &[4; 700]].concat();
    for (sent, said) in [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n".to_vec(), Some(client("203.0.113.9:4711"))),
        (b"PROXY TCP6 2001:db8::7 fd00::1 4711 443\r\n".to_vec(), Some(client("[2001:db8::7]:4711"))),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 443\r\n".to_vec(), Some(client("203.0.113.9:4711"))),
        (b"PROXY UNKNOWN\r\n".to_vec(), Some(Preamble::Unsaid)),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), Some(Preamble::Unsaid)),
        (v2(0x21, 0x11, &V4), Some(client("203.0.113.9:4711"))),
        (v2(0x21, 0x11, &with_additions), Some(client("203.0.113.9:4711"))),
        (v2(0x21, 0x21, &v6), Some(client("[2001:db8::7]:4711"))),
        (v2(0x21, 0x21, &mapped), Some(client("203.0.113.9:0"))),
        (v2(0x20, 0x00, &[]), Some(Preamble::Unsaid)),
        (v2(0x20, 0x11, &V4), Some(Preamble::Unsaid)),
        (v2(0x21, 0x00, &[]), Some(Preamble::Unsaid)),
        (v2(0x21, 0x31, &[0; 216]), Some(Preamble::Unsaid)),
    ] {
        let behind = b"PROXY \r\n\r\nGET / HTTP/1.1\r\n";
        let all = [&sent[..], behind].concat();
        assert_eq!(taken(&all), (said, behind.len()), "{}", String::from_utf8_lossy(&sent));
        for cut in 0..sent.len() {
            assert_eq!(taken(&sent[..cut]).0, None, "cut at {cut}: {}", String::from_utf8_lossy(&sent));
        }
    }
}

#[test]
fn what_is_none_is_refused_after_few_bytes() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    for sent in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\0\r\nQUIP\n\x21\x11\0\x0c",
        b"proxy TCP4 203.0.113.9 10.0.0.1 4711 443\r\n",
        b" PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY  TCP4 203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4  203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443 \r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443 1\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\n\r\n",
        b"PROXY TCP4 203.0.113.9\t10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 0203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 0xcb.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 203.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 2001:db8::7 10.0.0.1 4711 443\r\n",
        b"PROXY TCP6 203.0.113.9 ::1 4711 443\r\n",
        b"PROXY TCP6 [2001:db8::7] ::1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 somewhere 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 -1 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 +1 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.1 04711 443\r\n",
        b"PROXY TCP5 203.0.113.9 10.0.0.1 4711 443\r\n",
        b"PROXY \xff\xff\r\n",
        b"PROXY \r\n",
        long.as_bytes(),
        &v2(0x11, 0x11, &V4),
        &v2(0x31, 0x11, &V4),
        &v2(0x22, 0x11, &V4),
        &v2(0x21, 0x11, &V4[..11]),
        &v2(0x21, 0x21, &V4),
        &v2(0x21, 0x12, &V4),
        &v2(0x21, 0x41, &V4),
        &v2(0x21, 0x13, &V4),
        &v2(0x21, 0x11, &vec![0; 60_000]),
        &v2(0x20, 0x11, &vec![0; 60_000]),
    ] {
        let all = [sent, &vec![b'x'; 100_000]].concat();
        let (said, left) = taken(&all);
        assert_eq!(said, None, "{}", String::from_utf8_lossy(sent));
        assert!(all.len() - left <= MAX, "{} bytes were read", all.len() - left);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_read_on(bytes in proptest::collection::vec(any::<u8>(), 0..300), signed in 0..3_u8) {
        let bytes = match signed {
            0 => bytes,
            1 => [&SIGNATURE[..], &bytes].concat(),
            _ => [WORD, &bytes[..]].concat(),
        };
        let (_, left) = taken(&bytes);
        prop_assert!(bytes.len() - left <= MAX);
    }

    #[test]
    fn what_we_announce_reads_back(from: [u8; 16], to: [u8; 16], kind in 0..4_u8, ports: (u16, u16)) {
        let address = |bytes: [u8; 16], is_v4: bool| -> IpAddr {
            if is_v4 { [bytes[0], bytes[1], bytes[2], bytes[3]].into() } else { bytes.into() }
        };
        let from = SocketAddr::new(address(from, kind & 1 == 0).to_canonical(), ports.0);
        let to = SocketAddr::new(address(to, kind & 2 == 0), ports.1);
        prop_assert_eq!(taken(&announce(from, to)), (Some(Preamble::For(from)), 0));
    }
}
