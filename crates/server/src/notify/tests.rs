//! What receivers are sent and what they answer, at the ends of what is allowed.

use std::time::Duration;

use bytes::Bytes;
use gatehouse_domain::alert::{Labels, NAME, Notice, Notification, SEVERITY, builtin_rules};
use gatehouse_domain::id::DeliveryId;
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;
use serde_json::Value;

use super::text::Told;
use super::{Message, answer, form};
use crate::config::HookKind;
use crate::fetch::Posted;

const NOW: UnixMillis = UnixMillis(1_800_000_000_123);

/// As many alerts as a message can tell of, with names that are as long and as odd as they may be.
fn crowded(name: char) -> Notification {
    let notice = |n: usize| Notice {
        rule: "budget-near".to_owned(),
        labels: Labels::from([
            (NAME.to_owned(), "budget-near".to_owned()),
            (SEVERITY.to_owned(), "critical".to_owned()),
            ("holder".to_owned(), name.to_string().repeat(400)),
            ("budget".to_owned(), format!("bud_{n}")),
        ]),
        fired_at: NOW,
        resolved_at: (n > 40).then_some(NOW),
        value: 0.9,
    };
    Notification {
        group: "g".to_owned(),
        group_labels: Labels::new(),
        firing: (0..40).map(notice).collect(),
        resolved: (41..51).map(notice).collect(),
        more: 7,
        is_test: false,
    }
}

#[test]
fn the_largest_message_is_within_what_each_vendor_takes() {
    let rules = builtin_rules();
    for name in ['a', '&', '<', '*', '"', '\\', '\n', '預', '🚨'] {
        let notification = crowded(name);
        let id = DeliveryId::new(NOW, 1);
        let message = Message {
            id,
            notification: &notification,
            rules: &rules,
            home: "https://gw.example.com",
            now: NOW,
        };
        for language in [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese] {
            let told = Told::new(&message, language);
            assert!(
                !told.items.is_empty() && told.last.contains(&(57 - told.items.len()).to_string()),
                "{}",
                told.last
            );
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let wecom = read(&form::wecom(&told).body);
            assert!(wecom["markdown"]["content"].as_str().unwrap().len() <= 4096, "{name:?}");
            let slack = read(&form::slack(&told).body);
            for block in slack["blocks"].as_array().unwrap() {
                let text = block["text"]["text"].as_str().unwrap_or_default();
                assert!(
                    text.chars().count() <= if block["type"] == "header" { 150 } else { 3000 },
                    "{name:?}"
                );
            }
            assert!(
                form::teams(&told).body.len() <= 28 * 1024,
                "{name:?}: {}",
                form::teams(&told).body.len()
            );
            let feishu = form::feishu(&told, NOW, Some(b"secret")).body;
            assert!(feishu.len() <= 20 * 1024, "{name:?}: {}", feishu.len());
            let ding = form::dingtalk(&told, NOW, Some(b"secret"));
            assert!(
                ding.body.len() <= 40_000 && ding.query.unwrap().starts_with("timestamp=1800000000123&sign=")
            );
        }
    }
}

/// Computed by the vendors' own sample programs.
#[test]
fn signatures_are_the_vendors() {
    let notification = crowded('a');
    let id = DeliveryId::new(NOW, 1);
    let message = Message { id, notification: &notification, rules: &[], home: "", now: NOW };
    let told = Told::new(&message, Language::English);
    let body: Value = serde_json::from_str(&form::feishu(&told, NOW, Some(b"this is secret")).body).unwrap();
    assert_eq!((body["timestamp"].as_str(), body["sign"].as_str()), (Some("1800000000"), Some(FEISHU)));
    let query = form::dingtalk(&told, NOW, Some(b"this is secret")).query.unwrap();
    assert_eq!(query, format!("timestamp=1800000000123&sign={DINGTALK}"));
}

const FEISHU: &str = "JQ+MZduJ9sA5BJ4lhiCym/llEy37neNXOIbe1mat0Z4=";
const DINGTALK: &str = "9Y5JKSVjrYK5klxDp6f4dI6fY7wuqbkiJlmo8ozUvkY%3D";

#[test]
fn answers_are_judged_by_their_bodies() {
    use HookKind::{DingTalk, Feishu, Slack, Teams, WeCom, Webhook};
    let judge = |kind, status, body: &'static str| {
        let retry_after = (status == 429).then(|| Duration::from_secs(7));
        answer::judge(kind, &Posted { status, retry_after, body: Bytes::from(body) })
    };
    for (kind, status, body) in [
        (Webhook, 204, ""),
        (Slack, 200, "ok"),
        (Teams, 202, ""),
        (Teams, 200, "1"),
        (Feishu, 200, r#"{"code":0,"msg":"success"}"#),
        (Feishu, 200, r#"{"StatusCode":0,"StatusMessage":"success"}"#),
        (DingTalk, 200, r#"{"errcode":0,"errmsg":"ok"}"#),
        (WeCom, 200, r#"{"errcode":0,"errmsg":"ok"}"#),
    ] {
        assert_eq!(judge(kind, status, body), Ok(()), "{kind:?} {body}");
    }
    for (kind, status, body, again, after) in [
        (Webhook, 500, "", true, None),
        (Webhook, 302, "", false, None),
        (Webhook, 401, "", false, None),
        (Slack, 429, "rate_limited", true, Some(7)),
        (Slack, 404, "no_service", false, None),
        (Slack, 200, "invalid_token", false, None),
        (
            Teams,
            200,
            "Webhook message delivery failed with error: endpoint returned HTTP error 429",
            true,
            None,
        ),
        (Feishu, 200, r#"{"code":19021,"msg":"sign match fail"}"#, true, None),
        (Feishu, 200, r#"{"code":11232,"msg":"frequency limited"}"#, true, Some(60)),
        (Feishu, 200, r#"{"code":9499,"msg":"Bad Request"}"#, false, None),
        (DingTalk, 200, r#"{"errcode":130101,"errmsg":"send too fast"}"#, true, Some(600)),
        (DingTalk, 200, r#"{"errcode":300001,"errmsg":"token is not exist"}"#, false, None),
        (WeCom, 200, r#"{"errcode":45009,"errmsg":"freq out of limit"}"#, true, Some(60)),
        (WeCom, 200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, false, None),
        (WeCom, 200, "<html>a portal</html>", true, None),
    ] {
        let not = judge(kind, status, body).unwrap_err();
        assert_eq!((not.again, not.after), (again, after.map(Duration::from_secs)), "{kind:?} {body}");
    }
}
