//! Servers that say too much, too early, or what is no SMTP.

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::*;

fn hello() -> ClientId {
    ClientId::Domain("corp.example".to_owned())
}

/// A server that says each of these when it has been told something, and the first at once; then it hangs up.
fn server(says: &'static [&'static [u8]]) -> DuplexStream {
    let (client, mut server) = duplex(1 << 10);
    tokio::spawn(async move {
        let mut heard = [0; 1 << 10];
        for (turn, said) in says.iter().enumerate() {
            if turn > 0 && server.read(&mut heard).await.is_ok_and(|read| read == 0) {
                return;
            }
            if server.write_all(said).await.is_err() {
                return;
            }
        }
    });
    client
}

#[tokio::test]
async fn what_is_said_before_tls_does_not_count_within() {
    let good: &[&[u8]] =
        &[b"220-a\r\n220 b\r\n", b"250-mail.test\r\n250-SIZE 9\r\n250 startTLS\r\n", b"220 go\r\n"];
    begin_tls(&mut server(good), &hello()).await.unwrap();
    let bad: [(&[&[u8]], &str, bool); 12] = [
        (
            &[b"220 a\r\n", b"250-m\r\n250 STARTTLS\r\n", b"220 go\r\n250 AUTH PLAIN\r\n"],
            "goes on talking without TLS",
            false,
        ),
        (&[b"220 a\r\n", b"250-m\r\n250 AUTH PLAIN\r\n"], "offers no STARTTLS", true),
        (&[b"220 a\r\n", b"250-m\r\n250 XSTARTTLS\r\n"], "offers no STARTTLS", true),
        (&[b"220 a\r\n", b"250-m\r\n250 STARTTLS\r\n", b"454 not\r\n454 now\r\n"], "454: not", true),
        (&[b"220 a\r\n", b"502-no\r\n502 EHLO\r\n"], "502: no EHLO", false),
        (&[b"554 go away\r\n"], "554: go away", false),
        (&[b"220 a\r\n", b"354 m\r\n"], "no SMTP", true),
        (&[b"220-a\r\n250 b\r\n"], "no SMTP", true),
        (&[b"HTTP/1.1 400 Bad Request\r\n"], "no SMTP", true),
        (&[b"220-a\r\n"], "no SMTP", true),
        (&[b""], "no SMTP", true),
        (&[b"\xff\xfe\r\n"], "the mail server:", true),
    ];
    for (says, expected, again) in bad {
        let not = begin_tls(&mut server(says), &hello()).await.unwrap_err();
        assert!(not.error.contains(expected) && not.again == again, "{expected}: {}", not.error);
    }
}

#[tokio::test]
async fn a_server_that_does_not_stop_is_read_up_to_a_bound() {
    for part in [&b"220 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..], b"220-a\r\n"] {
        for way in 0..2 {
            let (mut client, mut server) = duplex(1 << 10);
            let talking = tokio::spawn(async move {
                let mut said = 0;
                while server.write_all(part).await.is_ok() {
                    said += part.len();
                }
                said
            });
            if way == 0 {
                begin_tls(&mut client, &hello()).await.unwrap_err();
                drop(client);
            } else {
                let line = Box::new(Line::over(client));
                let met = AsyncSmtpConnection::connect_with_transport(line, &hello()).await;
                assert!(met.is_err());
            }
            let said = talking.await.unwrap();
            assert!(said <= 2 * MOST, "{said}");
        }
    }
}

#[tokio::test]
async fn one_that_has_greeted_is_not_waited_for() {
    let says: &[&[u8]] = &[b"", b"250-mail.test\r\n250 AUTH LOGIN\r\n"];
    let line = Box::new(Line { unread: GREETED, ..Line::over(server(says)) });
    let talk = AsyncSmtpConnection::connect_with_transport(line, &hello()).await.unwrap();
    assert!(talk.server_info().get_auth_mechanism(DEFAULT_MECHANISMS).is_some());
    assert!(!talk.has_broken());
}
