//! The bodies and signatures that receivers ask for, each as its vendor documents it.
//!
//! Names that come from outside (a budget's holder, a model) may hold anything. Nothing of them is taken as a mention, a link
//! or a style: each form escapes what its reader would take as such.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64ct::{Base64, Encoding as _};
use gatehouse_domain::alert::{Labels, Notice};
use gatehouse_domain::settings::lint::Language;
use gatehouse_domain::time::UnixMillis;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Message;
use super::text::{Item, Told};

/// A request to a hook.
pub(super) struct Request {
    /// What is appended to the address's query.
    pub(super) query: Option<String>,
    /// Headers of ours.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: JSON.
    pub(super) body: String,
}

impl Request {
    fn plain(body: &Value) -> Self {
        Self { query: None, headers: Vec::new(), body: body.to_string() }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // A text has no way to fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Alertmanager's webhook, version 4 (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>). With a secret,
/// `x-gatehouse-signature` is `v1=` and the HMAC-SHA256, in hexadecimal digits, of the seconds in `x-gatehouse-timestamp`, a dot
/// and the body.
pub(super) fn webhook(told: &Told, message: &Message<'_>, receiver: &str, secret: Option<&[u8]>) -> Request {
    let of = message.notification;
    let alerts: Vec<Value> = of
        .firing
        .iter()
        .chain(&of.resolved)
        .map(|notice| {
            let rule = message.rules.iter().find(|rule| rule.name == notice.rule);
            let (summary, action) = match rule {
                Some(rule) => rule.told(told.language, &notice.labels, notice.value),
                None => (told.title.clone(), String::new()),
            };
            json!({
                "status": if notice.resolved_at.is_some() { "resolved" } else { "firing" },
                "labels": notice.labels,
                "annotations": {"summary": summary, "action": action, "value": notice.value.to_string()},
                "startsAt": notice.fired_at.to_string(),
                "endsAt": notice.resolved_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string()),
                "generatorURL": message.home,
                "fingerprint": fingerprint(&notice.labels),
            })
        })
        .collect();
    let body = json!({
        "version": "4",
        "groupKey": of.group,
        "truncatedAlerts": of.more,
        "status": if of.firing.is_empty() { "resolved" } else { "firing" },
        "receiver": receiver,
        "groupLabels": of.group_labels,
        "commonLabels": common(of.firing.iter().chain(&of.resolved)),
        "commonAnnotations": {},
        "externalURL": message.home,
        "alerts": alerts,
    })
    .to_string();
    let mut headers = vec![("x-gatehouse-delivery", message.id.to_string())];
    if let Some(secret) = secret {
        let seconds = message.now.0.div_euclid(1000).to_string();
        let signed = hmac(secret, format!("{seconds}.{body}").as_bytes());
        headers.push(("x-gatehouse-timestamp", seconds));
        headers.push(("x-gatehouse-signature", format!("v1={}", hex(&signed))));
    }
    let header = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    };
    Request { query: None, headers: headers.into_iter().filter_map(header).collect(), body }
}

/// 16 hexadecimal digits that are the same for the same labels.
fn fingerprint(labels: &Labels) -> String {
    let mut hash = Sha256::new();
    for (name, value) in labels {
        hash.update(format!("{name}\0{value}\0").as_bytes());
    }
    hex(&hash.finalize()[..8])
}

/// What all alerts have in common.
fn common<'a>(mut notices: impl Iterator<Item = &'a Notice>) -> BTreeMap<String, String> {
    let mut labels = notices.next().map(|notice| notice.labels.clone()).unwrap_or_default();
    for notice in notices {
        labels.retain(|name, value| notice.labels.get(name) == Some(value));
    }
    labels
}

/// Slack's incoming webhook: a text for notifications, and blocks (<https://api.slack.com/messaging/webhooks>). `&`, `<` and `>`
/// are all that its markup begins with.
pub(super) fn slack(told: &Told) -> Request {
    let safe = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Within words these make styles, which mislead no more than they help.
        text.replace(['*', '_', '~'], "\u{2217}")
    };
    let mark = if told.is_over { ":white_check_mark:" } else { ":rotating_light:" };
    let title: String = format!("{mark} {}", told.title).chars().take(150).collect();
    let mut blocks =
        vec![json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": true}})];
    for item in &told.items {
        let text = format!(
            "*{}*: {}\n{}\n{}",
            item.state,
            safe(&item.summary),
            safe(&item.action),
            safe(&item.facts)
        );
        let text: String = text.chars().take(2900).collect();
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "plain_text", "text": told.last}]}));
    let first = told.items.first().map_or("", |item| item.summary.as_str());
    Request::plain(&json!({"text": format!("{} {}", safe(&told.title), safe(first)), "blocks": blocks}))
}

/// A workflow of Microsoft Teams ("when a webhook request is received"): an adaptive card as attachment. Text blocks take some
/// Markdown, which is escaped.
pub(super) fn teams(told: &Told) -> Request {
    let block = |text: &str, more: Value| {
        let mut block = json!({"type": "TextBlock", "text": markdown(text), "wrap": true});
        if let (Some(block), Value::Object(more)) = (block.as_object_mut(), more) {
            block.extend(more);
        }
        block
    };
    let color = if told.is_over {
        "Good"
    } else if told.is_critical {
        "Attention"
    } else {
        "Warning"
    };
    let title = json!({"size": "Medium", "weight": "Bolder", "color": color});
    let mut body = vec![block(&told.title, title)];
    for item in &told.items {
        let color = if item.is_over { "Good" } else { "Default" };
        let state = json!({"weight": "Bolder", "color": color, "separator": true});
        body.push(block(&format!("{}: {}", item.state, item.summary), state));
        body.push(block(&item.action, json!({"spacing": "None"})));
        body.push(block(&item.facts, json!({"spacing": "None", "isSubtle": true})));
    }
    body.push(block(&told.last, json!({"isSubtle": true, "separator": true})));
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    });
    let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    Request::plain(&json!({"type": "message", "attachments": [attachment]}))
}

/// A custom bot of Feishu or Lark: a post, whose texts are taken as they are. The signature is the HMAC-SHA256 of nothing, with
/// the key of seconds, a line feed and the secret (<https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>).
pub(super) fn feishu(told: &Told, now: UnixMillis, secret: Option<&[u8]>) -> Request {
    let line = |text: &str| json!([{"tag": "text", "text": text}]);
    let mut content = Vec::new();
    for item in &told.items {
        content.push(line(&format!("{}: {}", item.state, item.summary)));
        content.push(line(&item.action));
        content.push(line(&item.facts));
        content.push(line(""));
    }
    content.push(line(&told.last));
    let language = if told.language == Language::English { "en_us" } else { "zh_cn" };
    let post = json!({language: {"title": told.title, "content": content}});
    let mut body = json!({"msg_type": "post", "content": {"post": post}});
    if let Some(secret) = secret {
        let seconds = now.0.div_euclid(1000).to_string();
        let key = [seconds.as_bytes(), b"\n", secret].concat();
        body["sign"] = json!(Base64::encode_string(&hmac(&key, b"")));
        body["timestamp"] = json!(seconds);
    }
    Request::plain(&body)
}

/// A custom bot of DingTalk: Markdown. The signature is the HMAC-SHA256 of milliseconds, a line feed and the secret, with the
/// secret as its key, in the query (<https://open.dingtalk.com/document/robots/customize-robot-security-settings>).
pub(super) fn dingtalk(told: &Told, now: UnixMillis, secret: Option<&[u8]>) -> Request {
    let text = lines(told, markdown, 15_000);
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"title": told.title, "text": text},
        "at": {"isAtAll": false},
    });
    let query = secret.map(|secret| {
        let millis = now.0.to_string();
        let signed = hmac(secret, &[millis.as_bytes(), b"\n", secret].concat());
        let sign: String =
            url::form_urlencoded::byte_serialize(Base64::encode_string(&signed).as_bytes()).collect();
        format!("timestamp={millis}&sign={sign}")
    });
    Request { query, headers: Vec::new(), body: body.to_string() }
}

/// A group bot of WeCom: Markdown of at most 4096 bytes (<https://developer.work.weixin.qq.com/document/path/91770>). `<` would
/// begin a mention.
pub(super) fn wecom(told: &Told) -> Request {
    let safe = |text: &str| markdown(text).replace('<', "\u{ff1c}").replace('>', "\u{ff1e}");
    Request::plain(&json!({"msgtype": "markdown", "markdown": {"content": lines(told, safe, 4000)}}))
}

/// The message in Markdown, as many alerts as there is room for.
fn lines(told: &Told, safe: impl Fn(&str) -> String, room: usize) -> String {
    let mut out = format!("### {}\n", safe(&told.title));
    let end = format!("\n{}\n", safe(&told.last).replace('\n', "\n\n"));
    for item in &told.items {
        let Item { state, summary, action, facts, .. } = item;
        let next =
            format!("\n**{}**: {}\n\n{}\n\n{}\n", safe(state), safe(summary), safe(action), safe(facts));
        if out.len() + next.len() + end.len() > room {
            out.push_str("\n…\n");
            break;
        }
        out.push_str(&next);
    }
    out + &end
}

/// A text that Markdown takes as it is.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_[]()#!|".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
