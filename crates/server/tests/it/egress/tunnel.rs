//! What people open through the forward proxy goes by the parent too.

use gatehouse_testkit::squid::PASSWORD;

use super::{http, https, parent, squid};
use crate::proxy::world::{Destination, hello, mirror, name_server, through};

#[test]
fn tunnels_go_by_the_parent_and_are_looked_up_there() {
    let Some(squid) = squid(31) else { return };
    let there = Destination::start(mirror);
    let trusted = format!("ca_file = \"{}\"", super::CA);
    for (url, more) in [(http(&squid), ""), (https(&squid), trusted.as_str())] {
        // Nobody here knows the name.
        let names = name_server(|_, _| Vec::new());
        let w = through(&[there.port], &parent("first", &url, more), &names, PASSWORD);
        w.allow("all", &["--host", "*.test"]);
        let to = format!("destination.test:{}", there.port);
        let mut client = w.tunnel(&to);
        let greeting = hello("destination.test");
        client.send(&greeting);
        assert_eq!(client.read(greeting.len()), greeting);
        client.half_close();
        assert_eq!(client.all(), "");
        let tunnel = w.ended();
        assert!(tunnel["pinned"].is_null(), "the parent chose the address: {tunnel}");
        assert_eq!(tunnel["verdict"], "allow", "{tunnel}");
        let explained = w.gatehouse.json(&["proxy", "explain", "dev@example.com", &to]);
        assert_eq!(explained["verdict"], "allow", "{explained}");
        // What is an address is judged here nevertheless.
        let refused = w.refused(&format!("169.254.169.254:{}", there.port));
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    }
}

#[test]
fn what_is_known_of_a_name_here_counts_although_a_parent_looks_it_up() {
    let Some(squid) = squid(32) else { return };
    let there = Destination::start(mirror);
    let names = name_server(|_, _| vec![[127, 0, 0, 1].into()]);
    let w = through(&[there.port], &parent("first", &http(&squid), ""), &names, PASSWORD);
    w.gatehouse.json(&["proxy", "rule", "add", "all", "allow", "--host", "*.test"]);
    let refused = w.refused(&format!("destination.test:{}", there.port));
    assert!(refused.starts_with("HTTP/1.1 403 ") && there.seen() == 0, "{refused}");
}
