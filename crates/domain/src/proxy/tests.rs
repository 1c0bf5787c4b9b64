use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::id::{TeamId, UserId};
use crate::time::{DAY_MS, UnixMillis};

const TABLE: &str = include_str!("../../testdata/proxy_decisions.txt");

fn user(number: u128) -> UserId {
    UserId::new(UnixMillis(1), number)
}

fn team(number: u128) -> TeamId {
    TeamId::new(UnixMillis(1), number)
}

fn rule(name: &str, action: Action, hosts: &[&str]) -> Rule {
    Rule {
        name: name.into(),
        holder: Holder::Organization,
        action,
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        ports: vec![],
        plain: false,
        internal: vec![],
        window: None,
    }
}

fn networks(texts: &[&str]) -> Vec<crate::network::Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn policy() -> Policy {
    use Action::{Allow, Deny, Report};
    let inside = ["10.0.0.0/8", "127.0.0.1", "100.64.0.0/10", "fd12::/16", "169.254.0.0/16", "64:ff9b::/32"];
    let presets = ["preset:core", "preset:sign-in", "preset:artifacts"];
    Policy {
        rules: vec![
            Rule { holder: Holder::User(user(1)), ..rule("mine", Allow, &["mine.example"]) },
            Rule { holder: Holder::Team(team(1)), ..rule("team", Allow, &["team.example"]) },
            rule("deny-bad", Deny, &["bad.below.example"]),
            rule("below", Allow, &["*.below.example"]),
            rule("everyone", Allow, &["api.example"]),
            Rule { ports: vec![8443], ..rule("alt", Allow, &["alt.example"]) },
            rule("watched", Report, &["watched.example"]),
            rule("preset", Allow, &presets),
            Rule {
                window: Some("mon-fri 07:00-19:00".parse().unwrap()),
                ..rule("hours", Allow, &["hours.example"])
            },
            Rule {
                window: Some("sat 22:00-05:00".parse().unwrap()),
                ..rule("night", Allow, &["night.example"])
            },
            Rule { plain: true, ..rule("plain", Allow, &["plain.example"]) },
            Rule { internal: networks(&inside), ..rule("inside", Allow, &["inside.example"]) },
            Rule { internal: networks(&["10.1.0.0/16"]), ..rule("literal", Allow, &["10.1.0.0/16"]) },
        ],
    }
}

fn gate() -> Gate {
    let own = ["gw.corp.example:443", "gw.corp.example:8080"];
    Gate {
        connect_ports: vec![443, 8443],
        plain_ports: vec![80],
        own: own.iter().map(|text| Destination::parse(text, None).unwrap()).collect(),
    }
}

/// A time in the week of Monday, 5 January 1970.
fn time(text: &str) -> UnixMillis {
    let (day, clock) = text.split_once(' ').unwrap();
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().position(|name| *name == day).unwrap();
    let (hour, minute) = clock.split_once(':').unwrap();
    let minutes = hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap();
    UnixMillis((4 + i64::try_from(day).unwrap()) * DAY_MS + minutes * 60_000)
}

fn said(decision: &Decision) -> String {
    match decision {
        Decision::Resolve => "resolve".to_owned(),
        Decision::Gateway => "gateway".to_owned(),
        Decision::Dial(dial) if dial.report => format!("report {}", dial.rule),
        Decision::Dial(dial) => format!("allow {}", dial.rule),
        Decision::Refuse(refusal) => refusal.rule.clone(),
    }
}

fn decided(row: &str) -> String {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let [who, form, destination, answers, at, _] = cells[..] else { panic!("not six cells: {row}") };
    let Ok(destination) = Destination::parse(destination, None) else { return "bad".to_owned() };
    let dev = Who { user: user(1), teams: vec![team(1)] };
    let other = Who { user: user(2), teams: vec![team(2)] };
    let who = match who {
        "dev" => Some(&dev),
        "other" => Some(&other),
        _ => None,
    };
    let question =
        Question { who, form: Form::named(form).unwrap(), destination: &destination, now: time(at) };
    let answer = |text: &str| Answer {
        address: text.trim_start_matches('!').parse().unwrap(),
        own: text.starts_with('!'),
    };
    let decide = |answers| said(&decide(&gate(), &policy(), &question, answers));
    match answers {
        "?" | "-" => decide(Answers::NotAsked),
        "failed" => decide(Answers::Failed),
        "parent" => decide(Answers::Delegated),
        "none" => decide(Answers::Found(&[])),
        list => {
            assert_eq!(decide(Answers::NotAsked), "resolve", "{row}");
            decide(Answers::Found(&list.split(',').map(answer).collect::<Vec<_>>()))
        }
    }
}

#[test]
fn the_table_is_decided_as_it_says() {
    let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() > 200, "{}", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let (decided, expected) = (decided(row), row.rsplit('|').next().unwrap().trim());
            (decided != expected).then(|| format!("{row}: {decided}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parts_of_rules_are_read_and_written_alike() {
    for text in ["api.example", "*.corp.example", "*", "10.0.0.0/8", "fd00::/8", "preset:core"] {
        assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
    }
    for text in
        ["", "a..b", "*.", "*.*", "a.*", "**", "preset:none", "10.0.0.1/8", "127.1", "a:443", "http://a"]
    {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
    for (text, shown) in [
        ("mon-fri 07:00-19:00", "mon,tue,wed,thu,fri 07:00-19:00"),
        ("sat,sun 00:00-24:00", "sat,sun 00:00-24:00"),
        ("fri-mon 22:00-05:00", "mon,fri,sat,sun 22:00-05:00"),
    ] {
        let window: Window = text.parse().unwrap();
        assert_eq!(window.to_string(), shown);
        assert_eq!(shown.parse::<Window>().unwrap(), window);
    }
    for text in [
        "",
        "mon",
        "mon 7:00-19:00",
        "mon 07:00",
        "mon 07:00-07:00",
        "mon 24:00-05:00",
        "mon 07:60-08:00",
        "day 07:00-08:00",
        "mon 07:00-25:00",
    ] {
        assert!(text.parse::<Window>().is_err(), "{text}");
    }
    assert!(
        is_rule_name("claude-core_1.x")
            && !is_rule_name("no-rule")
            && !is_rule_name("a b")
            && !is_rule_name("")
    );
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        (any::<[u8; 4]>(), 0..6_usize).prop_map(|(v4, form)| {
            let mut v6 = [0; 16];
            let at = match form {
                0 => {
                    v6[10] = 0xff;
                    v6[11] = 0xff;
                    12
                }
                1 => {
                    v6[..4].copy_from_slice(&[0, 0x64, 0xff, 0x9b]);
                    12
                }
                2 => {
                    v6[..2].copy_from_slice(&[0x20, 0x02]);
                    2
                }
                3 => {
                    v6[..2].copy_from_slice(&[0x20, 0x01]);
                    12
                }
                _ => 12,
            };
            v6[at..at + 4].copy_from_slice(&v4);
            IpAddr::from(v6)
        }),
    ]
}

proptest! {
    #[test]
    fn nothing_is_dialed_but_public_addresses_and_what_a_rule_opened(found in proptest::collection::vec((address(), any::<bool>()), 0..4), port in any::<u16>(), inside: bool) {
        let (gate, policy) = (gate(), policy());
        let destination = Destination { host: Host::Name(if inside { "inside" } else { "api" }.to_owned() + ".example"), port };
        let who = Who { user: user(2), teams: vec![] };
        let question = Question { who: Some(&who), form: Form::Connect, destination: &destination, now: UnixMillis(0) };
        let answers: Vec<Answer> = found.iter().map(|(address, own)| Answer { address: *address, own: *own }).collect();
        if let Decision::Dial(dial) = decide(&gate, &policy, &question, Answers::Found(&answers)) {
            prop_assert!(gate.connect_ports.contains(&port));
            prop_assert_eq!(dial.addresses.len(), answers.len());
            for answer in &answers {
                let class = classify(answer.address);
                prop_assert!(!answer.own && (class == Class::Public || inside && class.may_be_internal()));
            }
        }
    }

    #[test]
    fn a_destination_is_read_as_it_is_shown(text in "[a-zA-Z0-9.:\\[\\]@x-]{0,30}") {
        if let Ok(destination) = Destination::parse(&text, None) {
            prop_assert_eq!(Destination::parse(&destination.to_string(), None), Ok(destination));
        }
    }

    #[test]
    fn whatever_a_standard_library_reads_as_an_address_is_no_name(v4 in any::<u32>()) {
        for text in [format!("{v4}"), format!("0x{v4:x}"), format!("0{v4:o}"), format!("{}.{}", v4 >> 24, v4 & 0xff_ffff)] {
            prop_assert!(!matches!(Host::parse(&text), Ok(Host::Name(_))), "{}", text);
        }
    }
}
