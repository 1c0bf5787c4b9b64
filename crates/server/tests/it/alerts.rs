//! Alerts end to end: the real program, bots that check what their vendors say they check, a real mail server.

mod mail;
mod nodes;

use gatehouse_testkit::bot::{FakeBot, Mood, Vendor};
use gatehouse_testkit::gatehouse::Gatehouse;
use gatehouse_testkit::leak::{Planted, search};
use gatehouse_testkit::{http, wait};
use serde_json::Value;

use crate::world::{World, ask, configured, echo};

const SECRET: &str = "SEC-4f1d09b2c7a85e63";

/// A rule that fires from the first turn on: nobody has failed to sign in.
const ALWAYS: &str = "[[alerts.rule]]\nname = \"always\"\nsignal = \"sign_in_failures\"\ncompare = \"below\"\nthreshold = 1\n\
                      severity = \"critical\"\nsummary = \"nobody <!channel> *fails* <@all> [x](http://evil)\"\n";
/// Turns of a second, and groups that wait for nothing.
const FAST: &str = "[alerts]\nevaluate_seconds = 1\ngroup_wait_seconds = 0\ngroup_interval_seconds = 1\n";

/// Lines of configuration for a bot.
fn receiver(name: &str, bot: &FakeBot, vendor: Vendor, secret: &str) -> String {
    let secret =
        if vendor.is_signed() { format!("secret = \"exec:echo {secret}\"\n") } else { String::new() };
    format!(
        "[[alerts.receiver]]\nname = \"{name}\"\nkind = \"{}\"\nurl = \"exec:echo '{}'\"\nlanguage = \"zh-CN\"\n{secret}",
        vendor.kind(),
        bot.address()
    )
}

/// A route by which these receivers hear of that rule only, whatever else a loaded machine gives cause for.
fn only_it(names: &[&str]) -> String {
    format!("[[alerts.route]]\nname = \"only\"\nmatchers = [\"alertname=always\"]\nreceivers = {names:?}\n")
}

/// Waits until so many messages are written down as sent.
fn wait_sent(gatehouse: &Gatehouse, count: usize) {
    wait::until("messages to be written down as sent", || {
        let sent = gatehouse.json(&["alerts", "deliveries", "--state", "sent"]);
        (sent.as_array().unwrap().len() >= count).then_some(())
    });
}

/// Changes the configuration of a running program.
fn reconfigure(gatehouse: &Gatehouse, change: impl Fn(&str) -> String) {
    let path = gatehouse.dir().join("gatehouse.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(&text)).unwrap();
    gatehouse.json(&["config", "reload"]);
}

/// Ends the alert that always fires.
fn end_it(gatehouse: &Gatehouse) {
    reconfigure(gatehouse, |text| text.replace("compare = \"below\"", "compare = \"above\""));
}

const VENDORS: [Vendor; 6] =
    [Vendor::Slack, Vendor::Teams, Vendor::Feishu, Vendor::DingTalk, Vendor::WeCom, Vendor::Webhook];

#[test]
fn every_bot_takes_a_test_an_alert_and_its_end_and_no_secret_gets_out() {
    let bots = VENDORS.map(|vendor| (vendor, FakeBot::start(vendor, SECRET)));
    let receivers: String =
        bots.iter().map(|(vendor, bot)| receiver(vendor.kind(), bot, *vendor, SECRET)).collect();
    let route = only_it(&VENDORS.map(Vendor::kind));
    let w = configured(&format!("{FAST}{ALWAYS}{receivers}{route}"), "sqlite", echo(1, 1));
    for (vendor, bot) in &bots {
        let tested = w.gatehouse.json(&["alerts", "test", vendor.kind()]);
        assert_eq!(tested["taken"], true, "{vendor:?}: {tested} {:?}", bot.refused());
        bot.wait_for(2);
    }
    end_it(&w.gatehouse);
    for (vendor, bot) in &bots {
        let messages = bot.wait_for(3);
        let all: Vec<String> = messages.iter().map(ToString::to_string).collect();
        if *vendor != Vendor::Webhook {
            for word in ["测试", "告警", "已恢复"] {
                assert!(all.iter().any(|text| text.contains(word)), "{vendor:?} says no {word}: {all:?}");
            }
        }
        assert_eq!(bot.refused(), Vec::<String>::new(), "{vendor:?}");
        // Names from outside mention nobody and link nowhere.
        let raw = match vendor {
            Vendor::Slack => Some("<!channel>"),
            Vendor::WeCom => Some("<@all>"),
            Vendor::Teams | Vendor::DingTalk => Some("[x](http"),
            Vendor::Feishu | Vendor::Webhook => None,
        };
        let found = raw.and_then(|raw| all.iter().find(|text| text.contains(raw)));
        assert_eq!(found, None, "{vendor:?}");
    }
    wait_sent(&w.gatehouse, 18);
    assert_eq!(w.gatehouse.json(&["alerts", "deliveries"]).as_array().unwrap().len(), 18);
    let planted = [Planted::new("signing secret", SECRET), Planted::new("address", "T0KEN-73febdcb")];
    for told in [
        w.gatehouse.log(),
        w.gatehouse.json(&["alerts", "receivers"]).to_string(),
        w.gatehouse.json(&["alerts", "deliveries"]).to_string(),
        w.gatehouse.json(&["audit", "list", "--limit", "1000"]).to_string(),
    ] {
        // The configuration names a command here, which is no secret; nothing else knows it.
        assert_eq!(search(&planted, told.as_bytes()), Vec::<(&str, &str)>::new());
    }
}

#[test]
fn a_wrong_signature_is_told_although_the_status_is_200() {
    for vendor in VENDORS.into_iter().filter(|vendor| vendor.is_signed()) {
        let bot = FakeBot::start(vendor, SECRET);
        let w = configured(&receiver("group", &bot, vendor, "another-secret-0123"), "sqlite", echo(1, 1));
        let output = w.gatehouse.cli(&["alerts", "test", "group"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{vendor:?}: {text}");
        assert!(text.contains("group did not take the test: it answers"), "{vendor:?}: {text}");
        assert_eq!((bot.refused(), bot.taken().len()), (vec!["sign".to_owned()], 0));
        // And the checklist says so.
        let doctor: Value = serde_json::from_slice(&w.gatehouse.cli(&["--json", "doctor"]).stdout).unwrap();
        let items = doctor["items"].as_array().unwrap();
        let alerts = items.iter().find(|item| item["item"] == "alerts").unwrap();
        assert_eq!(alerts["state"], "fail", "{alerts}");
    }
}

/// The fakes themselves: a signature that was right two hours ago is refused.
#[test]
fn the_bots_refuse_signatures_that_are_too_old() {
    use base64ct::{Base64, Encoding as _};
    use ring::hmac;
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(2);
    let millis = old.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let sign = |key: &str, message: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        Base64::encode_string(hmac::sign(&key, message.as_bytes()).as_ref())
    };
    let post = |bot: &FakeBot, query: &str, body: &str| {
        let address = bot.address();
        let (host, path) = address.trim_start_matches("http://").split_once('/').unwrap();
        let headers = [("content-type", "application/json")];
        http::once(host, "POST", &format!("/{path}{query}"), &headers, body.as_bytes()).json()
    };
    let ding = FakeBot::start(Vendor::DingTalk, SECRET);
    let escaped = sign(SECRET, &format!("{millis}\n{SECRET}")).replace('+', "%2B").replace('=', "%3D");
    let body = r#"{"msgtype":"markdown","markdown":{"title":"a","text":"b"}}"#;
    let answer = post(&ding, &format!("&timestamp={millis}&sign={escaped}"), body);
    assert_eq!(answer["errcode"], 310_000);
    let feishu = FakeBot::start(Vendor::Feishu, SECRET);
    let seconds = millis / 1000;
    let body = serde_json::json!({
        "timestamp": seconds.to_string(), "sign": sign(&format!("{seconds}\n{SECRET}"), ""),
        "msg_type": "post", "content": {"post": {"zh_cn": {"title": "a", "content": [[{"tag": "text", "text": "b"}]]}}},
    });
    assert_eq!(post(&feishu, "", &body.to_string())["code"], 19021);
}

#[test]
fn a_receiver_that_hangs_holds_nobody_up_and_a_busy_one_is_asked_again_later() {
    let (hangs, busy, fine) = (
        FakeBot::start(Vendor::Slack, SECRET),
        FakeBot::start(Vendor::WeCom, SECRET),
        FakeBot::start(Vendor::Webhook, SECRET),
    );
    hangs.behave(Mood::Hangs);
    busy.behave(Mood::Busy);
    let receivers = [
        receiver("hangs", &hangs, Vendor::Slack, SECRET),
        receiver("busy", &busy, Vendor::WeCom, SECRET),
        receiver("fine", &fine, Vendor::Webhook, SECRET),
    ]
    .concat();
    let route = only_it(&["hangs", "busy", "fine"]);
    let w: World = configured(&format!("{FAST}{ALWAYS}{receivers}{route}"), "sqlite", echo(1, 1));
    fine.wait_for(1);
    wait::until("the one that hangs to be asked", || (!hangs.refused().is_empty()).then_some(()));
    assert_eq!(w.gatehouse.post(&w.key, &ask(false)).status, 200);
    end_it(&w.gatehouse);
    fine.wait_for(2);
    // A limit that is told in the body is waited for.
    let waiting = wait::until("the busy one to be waited for", || {
        let all = w.gatehouse.json(&["alerts", "deliveries", "--receiver", "busy"]);
        all.as_array().unwrap().iter().find(|one| one["error"].is_string()).cloned()
    });
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&Value::from("waiting"), &Value::from(1)));
    assert!(waiting["error"].as_str().unwrap().contains("45009"), "{waiting}");
    assert!(hangs.taken().is_empty() && busy.taken().is_empty());
}

#[test]
fn a_restart_in_the_middle_loses_nothing_and_repeats_nothing() {
    let bot = FakeBot::start(Vendor::Webhook, SECRET);
    let slow = FAST.replace("group_wait_seconds = 0", "group_wait_seconds = 3");
    let config =
        format!("{slow}{ALWAYS}{}{}", receiver("ops", &bot, Vendor::Webhook, SECRET), only_it(&["ops"]));
    let mut w = configured(&config, "sqlite", echo(1, 1));
    wait::until("the alert to fire", || {
        let alerts = w.gatehouse.json(&["alerts", "list"]);
        alerts.as_array().unwrap().iter().any(|alert| alert["state"] == "firing").then_some(())
    });
    w.gatehouse.kill();
    w.gatehouse.restart();
    let first = bot.wait_for(1);
    assert_eq!(first[0]["status"], "firing", "{first:?}");
    wait_sent(&w.gatehouse, 1);
    w.gatehouse.kill();
    w.gatehouse.restart();
    end_it(&w.gatehouse);
    let both = bot.wait_for(2);
    assert_eq!((both.len(), &both[1]["status"]), (2, &Value::from("resolved")), "{both:?}");
    let history = w.gatehouse.json(&["alerts", "history", "--rule", "always"]);
    let kinds: Vec<&str> =
        history.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["resolved", "fired"]);
}

#[test]
fn rules_are_listed_changed_turned_off_and_exported() {
    let config = "[alerts]\noff = [\"first-byte\"]\n[[alerts.rule]]\nname = \"error-rate\"\nthreshold = 0.25\n\
                  [[alerts.rule]]\nname = \"crowd\"\nsignal = \"gatehouse_requests_in_flight\"\ncompare = \"above\"\n\
                  threshold = 500\nfor_seconds = 60\nonly = [\"node!=node_1*\"]\n";
    let w = configured(config, "sqlite", echo(1, 1));
    let rules = w.gatehouse.json(&["alerts", "rules"]);
    let rule = |name: &str| rules.as_array().unwrap().iter().find(|rule| rule["name"] == name);
    assert!(rule("first-byte").is_none());
    assert_eq!(rule("error-rate").unwrap()["threshold"], 0.25);
    assert_eq!(rule("error-rate").unwrap()["for_seconds"], 300);
    assert_eq!(rule("crowd").unwrap()["severity"], "warning");
    let output = w.gatehouse.cli(&["alerts", "export", "--format", "prometheus", "--lang", "zh-TW"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(r#"expr: "gatehouse_requests_in_flight{node!~\"node_1.*\"} > 500""#), "{text}");
    assert!(text.contains("的請求失敗"), "{text}");
    let table = w.gatehouse.cli(&["alerts", "rules", "--lang", "zh-CN"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("的请求失败"));
    // A silence by the command line.
    let made = w.gatehouse.json(&[
        "alerts",
        "silence",
        "add",
        "alertname=crowd",
        "--for",
        "2h",
        "--reason",
        "a fair",
    ]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(w.gatehouse.json(&["alerts", "silence", "list"])[0]["id"], id);
    assert!(w.gatehouse.cli(&["alerts", "silence", "end", id]).status.success());
    assert_eq!(w.gatehouse.json(&["alerts", "silence", "list"]), serde_json::json!([]));
}

#[test]
fn what_is_wrong_in_the_configuration_is_told_and_nothing_secret_repeated() {
    let w = configured("", "sqlite", echo(1, 1));
    let path = w.gatehouse.dir().join("gatehouse.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let bad = "[alerts]\noff = [\"error-rat\"]\n[[alerts.rule]]\nname = \"x\"\nsignal = \"error_rati\"\ncompare = \"over\"\n\
               only = [\"nothing\"]\n[[alerts.receiver]]\nname = \"a\"\nkind = \"slack\"\n\
               url = \"https://hooks.slack.example/CANARY\"\nsecret = \"env:X\"\n[[alerts.receiver]]\nname = \"b\"\n\
               kind = \"dingtalk\"\nurl = \"env:X\"\nper_minute = 21\n[[alerts.receiver]]\nname = \"m\"\nkind = \"email\"\n\
               host = \"smtp.corp.example\"\nencryption = \"plain_on_loopback\"\nfrom = \"a@b.example\"\nto = []\n\
               user = \"x\"\n[[alerts.route]]\nname = \"r\"\nreceivers = [\"nobody\"]\n";
    std::fs::write(&path, format!("{good}\n{bad}")).unwrap();
    let output = w.gatehouse.cli(&["config", "reload"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in [
        "there is no rule `error-rat` (did you mean `error-rate`?)",
        "alerts.rule[x].signal: `error_rati` is neither a signal nor a gauge of /metrics (did you mean `error_ratio`?)",
        "alerts.rule[x].compare: expected \"above\" or \"below\"",
        "alerts.rule[x].only: `nothing` is no condition",
        "alerts.receiver[a].url: the address of a bot is a secret",
        "alerts.receiver[a].secret: unknown setting",
        "alerts.receiver[b].per_minute: it takes at most 20 in a minute",
        "alerts.receiver[m].encryption: without encryption only",
        "alerts.receiver[m].to: expected 1 to 50 addresses",
        "alerts.receiver[m].password: `user` and `password` go together",
        "the route `r` names the receiver `nobody`, which there is not",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(!told.contains("CANARY"), "{told}");
}
