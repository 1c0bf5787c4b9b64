use proptest::prelude::*;

use super::*;

fn whole(first: &str, more: &str) -> Vec<u8> {
    format!("{first}\r\n{more}\r\n").into_bytes()
}

#[test]
fn both_forms_are_read() {
    let bytes =
        whole("CONNECT API.Anthropic.com.:443 HTTP/1.1", "Host: x\r\nProxy-Authorization:  Basic eA== \r\n");
    let (head, len) = parse(&bytes).unwrap().unwrap();
    assert_eq!((head.form, head.destination.to_string().as_str()), (Form::Connect, "api.anthropic.com:443"));
    assert_eq!(len, bytes.len());
    assert_eq!(head.one("proxy-authorization"), Ok(Some(&b"Basic eA=="[..])));
    assert!(!format!("{head:?}").contains("eA=="), "no credential is shown");

    let bytes = whole("POST http://gw.corp:8080/v1/messages?beta=true HTTP/1.1", "");
    let (head, _) = parse(&bytes).unwrap().unwrap();
    assert_eq!((head.form, head.target.as_str()), (Form::Plain, "/v1/messages?beta=true"));
    assert_eq!(head.destination.to_string(), "gw.corp:8080");
    let (head, _) = parse(&whole("GET HTTP://h?q HTTP/1.0", "")).unwrap().unwrap();
    assert_eq!((head.target.as_str(), head.destination.port), ("/?q", 80));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for bad in [
        "CONNECT a:443  HTTP/1.1\r\n\r\n",
        "CONNECT  a:443 HTTP/1.1\r\n\r\n",
        "CONNECT a:443 HTTP/1.1 \r\n\r\n",
        " CONNECT a:443 HTTP/1.1\r\n\r\n",
        "CONNECT\ta:443 HTTP/1.1\r\n\r\n",
        "CONNECT a:443 HTTP/2\r\n\r\n",
        "CONNECT a:443 http/1.1\r\n\r\n",
        "CONNECT a HTTP/1.1\r\n\r\n",
        "CONNECT a:0443 HTTP/1.1\r\n\r\n",
        "CONNECT a:+443 HTTP/1.1\r\n\r\n",
        "CONNECT a:65536 HTTP/1.1\r\n\r\n",
        "CONNECT :443 HTTP/1.1\r\n\r\n",
        "CONNECT u@a:443 HTTP/1.1\r\n\r\n",
        "CONNECT http://a:443 HTTP/1.1\r\n\r\n",
        "CONNECT a:443/x HTTP/1.1\r\n\r\n",
        "CONNECT a%2eb:443 HTTP/1.1\r\n\r\n",
        "CONNECT b\u{fc}cher.example:443 HTTP/1.1\r\n\r\n",
        "CONNECT 0x7f.1:443 HTTP/1.1\r\n\r\n",
        "CONNECT 2130706433:443 HTTP/1.1\r\n\r\n",
        "CONNECT 127.1:443 HTTP/1.1\r\n\r\n",
        "CONNECT 0177.0.0.1:443 HTTP/1.1\r\n\r\n",
        "CONNECT ::1:443 HTTP/1.1\r\n\r\n",
        "CONNECT [::1%25lo]:443 HTTP/1.1\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nX : y\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nX: y\r\n folded\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nX: a\rb\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nX: a\nY: b\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nno colon\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a/ HTTP/1.1\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\n\r\n",
        "GET http://u:p@a/ HTTP/1.1\r\n\r\n",
        "GET http://a/#b HTTP/1.1\r\n\r\n",
        "GET http:///x HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00 \r\n\r\n",
    ] {
        assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_head_is_waited_for_up_to_its_bound() {
    assert_eq!(parse(b""), Ok(None));
    assert_eq!(parse(b"CONNECT a:443 HTTP/1.1\r\nX: y\r\n"), Ok(None));
    assert_eq!(parse(b"\x05\x01\x00").unwrap_err(), BadHead::Malformed("it does not begin with a method"));
    let mut long = b"CONNECT a:443 HTTP/1.1\r\nX: ".to_vec();
    long.resize(MAX_HEAD, b'x');
    assert_eq!(parse(&long), Err(BadHead::TooLarge));
    let many = format!("CONNECT a:443 HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_LINES + 1));
    assert_eq!(parse(many.as_bytes()), Err(BadHead::TooLarge));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let whole = parse(&bytes);
        if let Ok(Some((_, len))) = &whole {
            for cut in 0..*len {
                prop_assert_eq!(parse(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn what_is_read_is_what_was_written(host in "[a-z]{1,10}(\\.[a-z][a-z0-9]{0,4}[a-z])?", port in 1_u16.., tail in ".{0,20}") {
        let text = format!("CONNECT {host}:{port} HTTP/1.1\r\nA: b\r\n\r\n{tail}");
        let (head, len) = parse(text.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(head.destination.to_string(), format!("{host}:{port}"));
        prop_assert_eq!(&text[len..], tail);
    }
}
