//! Forwarding a plain request: one to a connection, which ends with its reply.
//!
//! The head is written anew without what is meant for the proxy or for this connection only. Of the body exactly what belongs
//! to it goes on, so that nothing else the client sends reaches the destination.

use std::net::IpAddr;

use gatehouse_domain::proxy::{Close, Destination};
use gatehouse_egress::Link;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::body::Body;
use crate::carry::{Client, copy, gone};
use crate::head::Head;
use crate::splice::Broken;
use crate::traffic::{Traffic, Way};

/// Headers that are for one connection only (RFC 9110 7.6.1), for the proxy, or written anew.
const DROPPED: [&str; 11] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "upgrade",
    "via",
    "http2-settings",
];

/// Whom our own gateway is told that the request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// Nobody: it goes elsewhere.
    Not,
    /// Of this client.
    For(IpAddr),
}

/// The head as the destination gets it.
pub(crate) fn rewritten(head: &Head, forwarded: Forwarded) -> Vec<u8> {
    let named = head.lines.iter().filter(|(name, _)| name == "connection");
    let named: Vec<String> = named
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|token| String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase())
        .collect();
    let Destination { host, port } = &head.destination;
    let mut out = format!("{} {} HTTP/1.1\r\nhost: {host}", head.method, head.target).into_bytes();
    if *port != 80 {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in &head.lines {
        let is_ours = matches!(forwarded, Forwarded::For(_)) && is_said(name);
        if DROPPED.contains(&name.as_str()) || is_ours || named.contains(name) && !is_framing(name) {
            continue;
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if let Forwarded::For(client) = forwarded {
        let node = if client.is_ipv6() { format!("\"[{client}]\"") } else { client.to_string() };
        out.extend_from_slice(format!("x-forwarded-for: {client}\r\nforwarded: for={node}\r\n").as_bytes());
    }
    out.extend_from_slice(b"via: 1.1 gatehouse\r\nconnection: close\r\n\r\n");
    out
}

/// What says whom a request is for: of what the client writes there itself, our gateway gets nothing.
fn is_said(name: &str) -> bool {
    matches!(name, "x-forwarded-for" | "forwarded")
}

/// What says where the body ends is never dropped, whoever asks for it.
fn is_framing(name: &str) -> bool {
    matches!(name, "content-length" | "transfer-encoding")
}

/// Sends the request and carries its reply.
pub(crate) async fn forward(
    client: Client,
    server: Link,
    head: &[u8],
    mut body: Body,
    mut unread: Vec<u8>,
    traffic: &Traffic,
) -> Close {
    let (mut from_client, mut to_client) = tokio::io::split(client.into_duplex());
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        to_server.write_all(head).await.map_err(|_| gone(Broken::To, Way::Up))?;
        traffic.add(Way::Up, head.len());
        let mut buffer = vec![0; 16 * 1024];
        while !body.is_done() {
            if unread.is_empty() {
                let count = from_client.read(&mut buffer).await.map_err(|_| gone(Broken::From, Way::Up))?;
                if count == 0 {
                    return Err(Close::ClientGone);
                }
                unread.extend_from_slice(&buffer[..count]);
            }
            // What is no body ends the request: it cannot be known where it ends.
            let taken = body.feed(&unread).ok_or(Close::ClientGone)?;
            to_server.write_all(&unread[..taken]).await.map_err(|_| gone(Broken::To, Way::Up))?;
            traffic.add(Way::Up, taken);
            unread.clear();
        }
        // The client says nothing more that matters, but if it leaves, so does the request.
        loop {
            match from_client.read(&mut buffer).await {
                Ok(0) => {
                    return {
                        let _: () = std::future::pending::<()>().await;
                        Ok(())
                    };
                }
                Ok(_) => {}
                Err(_) => return Err(Close::ClientGone),
            }
        }
    };
    let down = copy(&mut from_server, &mut to_client, Way::Down, traffic);
    tokio::select! {
        ended = down => ended.map_or_else(|why| why, |()| Close::Done),
        ended = up => ended.map_or_else(|why| why, |()| Close::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::parse;

    #[test]
    fn what_is_for_the_proxy_goes_no_further() {
        let text = "POST http://gw.corp:8080/v1?x=1 HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: Basic eA==\r\n\
                    Proxy-Connection: keep-alive\r\nConnection: close, X-Hop, Content-Length\r\nX-Hop: 1\r\n\
                    Authorization: Bearer t\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nContent-Length: 2\r\n\r\n";
        let (head, _) = parse(text.as_bytes()).unwrap().unwrap();
        let plain = String::from_utf8(rewritten(&head, Forwarded::Not)).unwrap();
        assert_eq!(
            plain,
            "POST /v1?x=1 HTTP/1.1\r\nhost: gw.corp:8080\r\nauthorization: Bearer t\r\nx-forwarded-for: 6.6.6.6\r\n\
             forwarded: for=6.6.6.6\r\ncontent-length: 2\r\nvia: 1.1 gatehouse\r\nconnection: close\r\n\r\n"
        );
        let own = String::from_utf8(rewritten(&head, Forwarded::For([10, 0, 0, 7].into()))).unwrap();
        let said = "x-forwarded-for: 10.0.0.7\r\nforwarded: for=10.0.0.7\r\n";
        assert!(own.contains(said) && !own.contains("6.6.6.6"), "{own}");
        let own =
            String::from_utf8(rewritten(&head, Forwarded::For("2001:db8::7".parse().unwrap()))).unwrap();
        assert!(own.contains("\r\nforwarded: for=\"[2001:db8::7]\"\r\n"), "{own}");
    }
}
