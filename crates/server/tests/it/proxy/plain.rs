//! Plain requests that the proxy forwards itself.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;

use super::world::{Client, Destination, configured, name_server, world};
use crate::world::ask;

#[test]
fn one_request_goes_on_without_what_was_for_the_proxy_and_nothing_behind_it() {
    let (sender, seen) = mpsc::channel();
    let there = Destination::start(move |mut stream| {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while !all.ends_with(b"hello") {
            let count = stream.read(&mut piece).unwrap();
            all.extend_from_slice(&piece[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        drop(stream);
        sender.send(String::from_utf8(all).unwrap()).unwrap();
    });
    let w = world(&[there.port]);
    let to = format!("a.test:{}", there.port);
    let request = format!(
        "POST http://{to}/path?q=1 HTTP/1.1\r\nHost: other.test\r\n{}Content-Length: 5\r\nX-Kept: yes\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n\
         helloGET http://evil.test/ HTTP/1.1\r\n\r\n",
        w.basic()
    );
    let send = || {
        let mut client = Client::open(&w.proxy);
        client.send(request.as_bytes());
        client.all()
    };
    assert!(send().contains("X-Gatehouse-Rule: no-rule\r\n"));
    w.allow("only-tunnels", &["--host", "a.test"]);
    assert!(send().contains("X-Gatehouse-Rule: plain-http\r\n"));
    w.gatehouse.json(&["proxy", "rule", "remove", "only-tunnels"]);
    w.allow("plain", &["--host", "a.test", "--plain"]);
    let answer = send();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(
        seen.recv().unwrap(),
        format!(
            "POST /path?q=1 HTTP/1.1\r\nhost: {to}\r\ncontent-length: 5\r\nx-kept: yes\r\nvia: 1.1 gatehouse\r\n\
             connection: close\r\n\r\nhello"
        )
    );
    let tunnel = w.ended();
    assert_eq!(
        (&tunnel["form"], &tunnel["rule"], &tunnel["ended"]),
        (&"plain".into(), &"plain".into(), &"done".into())
    );
}

#[test]
fn a_model_request_goes_through_proxy_and_gateway_and_both_know_whose_it_is() {
    let names = name_server(|_, _| vec![[127, 0, 0, 1].into()]);
    let w = configured(&[443], "gateway_names = [\"gw.corp.test:80\"]\n", &names);
    let (_, key) = w.gatehouse.key("dev@example.com", &[]);
    let body = ask(true);
    let head = format!(
        "POST http://gw.corp.test/v1/messages HTTP/1.1\r\nHost: gw.corp.test\r\n{}Authorization: Bearer {key}\r\n\
         Content-Length: {}\r\nContent-Type: application/json\r\n\r\n",
        w.basic(),
        body.len()
    );
    let mut client = Client::open(&w.proxy);
    client.send(&[head.as_bytes(), &body].concat());
    let answer = client.all();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("message_stop"), "{answer}");
    let tunnel = w.ended();
    assert_eq!((&tunnel["rule"], &tunnel["user"]), (&"gateway".into(), &"dev@example.com".into()));
    let exchange = w.gatehouse.exchanges().pop().unwrap();
    assert_eq!((&exchange["user"], &exchange["ended"]), (&"dev@example.com".into(), &"completed".into()));
}
