//! Group chats that take messages by HTTP, and check what their vendors say that they check: signatures, times, forms, sizes.
//!
//! Written from the vendors' documents: Slack's incoming webhooks, Teams' workflows with adaptive cards, custom bots of
//! Feishu/Lark and DingTalk, group bots of WeCom; and a receiver of Alertmanager's webhook that checks our own signature.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding as _};
use ring::hmac;
use serde_json::{Value, json};

use crate::provider::{Act, FakeProvider, Seen};

/// Whose bot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Slack.
    Slack,
    /// Microsoft Teams.
    Teams,
    /// Feishu, or Lark.
    Feishu,
    /// DingTalk.
    DingTalk,
    /// WeCom.
    WeCom,
    /// Whoever takes Alertmanager's webhook with our signature.
    Webhook,
}

/// How a bot behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As documented.
    Fine,
    /// It says that there are too many messages, in the vendor's way.
    Busy,
    /// It answers 503.
    Down,
    /// It never answers.
    Hangs,
}

/// A bot.
pub struct FakeBot {
    vendor: Vendor,
    state: Arc<State>,
    server: FakeProvider,
}

struct State {
    secret: String,
    mood: Mutex<Mood>,
    taken: Mutex<Vec<Value>>,
    refused: Mutex<Vec<String>>,
    /// What a bot would show as a second message with the same content.
    deliveries: Mutex<Vec<String>>,
}

/// Why a message is refused, and the answer that says so.
struct Refusal {
    why: String,
    status: u16,
    body: String,
}

const TOKEN: &str = "T0KEN-73febdcb";

impl Vendor {
    /// The kind of receiver in the configuration.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Feishu => "feishu",
            Self::DingTalk => "dingtalk",
            Self::WeCom => "wecom",
            Self::Webhook => "webhook",
        }
    }

    /// Whether it checks a signature.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Feishu | Self::DingTalk | Self::Webhook)
    }

    fn target(self) -> String {
        match self {
            Self::Slack => format!("/services/T00/B00/{TOKEN}"),
            Self::Teams => {
                format!("/workflows/abc/triggers/manual/paths/invoke?api-version=2016-06-01&sig={TOKEN}")
            }
            Self::Feishu => format!("/open-apis/bot/v2/hook/{TOKEN}"),
            Self::DingTalk => format!("/robot/send?access_token={TOKEN}"),
            Self::WeCom => format!("/cgi-bin/webhook/send?key={TOKEN}"),
            Self::Webhook => "/hooks/gatehouse".to_owned(),
        }
    }
}

impl FakeBot {
    /// Starts one with this secret.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(vendor: Vendor, secret: &str) -> Self {
        let state = Arc::new(State {
            secret: secret.to_owned(),
            mood: Mutex::new(Mood::Fine),
            taken: Mutex::default(),
            refused: Mutex::default(),
            deliveries: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let server = FakeProvider::start(move |seen| shared.answer(vendor, seen));
        Self { vendor, state, server }
    }

    /// Its address, secret part included.
    pub fn address(&self) -> String {
        format!("{}{}", self.server.url, self.vendor.target())
    }

    /// Changes how it behaves.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn behave(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// The messages that it took.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn taken(&self) -> Vec<Value> {
        self.state.taken.lock().unwrap().clone()
    }

    /// Why it refused others.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn refused(&self) -> Vec<String> {
        self.state.refused.lock().unwrap().clone()
    }

    /// The identifiers of deliveries that it saw, taken or not.
    ///
    /// # Panics
    /// When a test thread has panicked with the lock.
    pub fn deliveries(&self) -> Vec<String> {
        self.state.deliveries.lock().unwrap().clone()
    }

    /// Waits for so many messages, and gives all of them.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        crate::wait::until(&format!("{count} messages at {:?} ({:?})", self.vendor, self.refused()), || {
            let taken = self.taken();
            (taken.len() >= count).then_some(taken)
        })
    }
}

impl State {
    fn answer(&self, vendor: Vendor, seen: &Seen) -> Vec<Act> {
        if let Some(id) = seen.header("x-gatehouse-delivery") {
            self.deliveries.lock().unwrap().push(id.to_owned());
        }
        let mood = *self.mood.lock().unwrap();
        let (status, body) = match mood {
            Mood::Hangs => {
                self.refused.lock().unwrap().push("hangs".to_owned());
                return vec![Act::Hang];
            }
            Mood::Down => {
                self.refused.lock().unwrap().push("down".to_owned());
                (503, "upstream connect error".to_owned())
            }
            Mood::Busy => {
                self.refused.lock().unwrap().push("busy".to_owned());
                busy(vendor)
            }
            Mood::Fine => match self.check(vendor, seen) {
                Ok(body) => {
                    self.taken.lock().unwrap().push(body);
                    good(vendor)
                }
                Err(refusal) => {
                    self.refused.lock().unwrap().push(refusal.why);
                    (refusal.status, refusal.body)
                }
            },
        };
        let head = format!(
            "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        vec![Act::Send([head.as_bytes(), body.as_bytes()].concat()), Act::Close]
    }

    fn check(&self, vendor: Vendor, seen: &Seen) -> Result<Value, Refusal> {
        let refuse = |why: &str| refusal(vendor, why);
        let (method, target) = seen.line.split_once(' ').unwrap_or(("", ""));
        let wanted = vendor.target();
        let is_here = match (target.split_once('?'), wanted.split_once('?')) {
            (Some((path, query)), Some((wanted, begin))) => path == wanted && query.starts_with(begin),
            _ => target == wanted,
        };
        if method != "POST" || !is_here {
            return Err(refuse("token"));
        }
        if !seen.header("content-type").is_some_and(|text| text.starts_with("application/json")) {
            return Err(refuse("content-type"));
        }
        let body: Value = serde_json::from_slice(&seen.body).map_err(|_| refuse("json"))?;
        let query: HashMap<String, String> = target
            .split_once('?')
            .map(|(_, query)| form_urlencoded::parse(query.as_bytes()).into_owned().collect())
            .unwrap_or_default();
        match vendor {
            Vendor::Slack => slack(&body),
            Vendor::Teams => teams(&body, seen.body.len()),
            Vendor::Feishu => self.feishu(&body, seen.body.len()),
            Vendor::DingTalk => self.dingtalk(&body, &query),
            Vendor::WeCom => wecom(&body),
            Vendor::Webhook => self.webhook(&body, seen),
        }
        .map_err(refuse)?;
        Ok(body)
    }

    /// Key: seconds, a line feed and the secret; message: nothing.
    fn feishu(&self, body: &Value, size: usize) -> Result<(), &'static str> {
        let stamp = body["timestamp"].as_str().ok_or("sign")?;
        let seconds: i64 = stamp.parse().map_err(|_| "sign")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, format!("{stamp}\n{}", self.secret).as_bytes());
        let expected = Base64::encode_string(hmac::sign(&key, b"").as_ref());
        if (now_millis() / 1000 - seconds).abs() > 3600 || body["sign"].as_str() != Some(&expected) {
            return Err("sign");
        }
        let posts = body["content"]["post"].as_object().filter(|_| body["msg_type"] == "post");
        let post = posts.and_then(|posts| posts.get("zh_cn").or_else(|| posts.get("en_us"))).ok_or("form")?;
        let lines = post["content"].as_array().ok_or("form")?;
        let all: Vec<&Value> = lines.iter().filter_map(Value::as_array).flatten().collect();
        let is_text = |tag: &&Value| tag["tag"] == "text" && tag["text"].is_string();
        if size > 20 * 1024
            || all.len() < lines.len()
            || !all.iter().all(is_text)
            || !post["title"].is_string()
        {
            return Err("form");
        }
        Ok(())
    }

    /// Key: the secret; message: milliseconds, a line feed and the secret; both in the query.
    fn dingtalk(&self, body: &Value, query: &HashMap<String, String>) -> Result<(), &'static str> {
        let stamp = query.get("timestamp").ok_or("sign")?;
        let millis: i64 = stamp.parse().map_err(|_| "sign")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = hmac::sign(&key, format!("{stamp}\n{}", self.secret).as_bytes());
        let expected = Base64::encode_string(signed.as_ref());
        if (now_millis() - millis).abs() > 3_600_000 || query.get("sign") != Some(&expected) {
            return Err("sign");
        }
        let markdown = &body["markdown"];
        let is_text = |key: &str| markdown[key].as_str().is_some_and(|text| !text.is_empty());
        let is_good = body["msgtype"] == "markdown" && is_text("title") && is_text("text");
        if is_good { Ok(()) } else { Err("form") }
    }

    fn webhook(&self, body: &Value, seen: &Seen) -> Result<(), &'static str> {
        let stamp = seen.header("x-gatehouse-timestamp").ok_or("sign")?;
        let seconds: i64 = stamp.parse().map_err(|_| "sign")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = hmac::sign(&key, &[stamp.as_bytes(), b".", &seen.body[..]].concat());
        let mut hex = String::new();
        for byte in signed.as_ref() {
            write!(hex, "{byte:02x}").unwrap();
        }
        let given = seen.header("x-gatehouse-signature");
        if (now_millis() / 1000 - seconds).abs() > 300 || given != Some(&format!("v1={hex}")) {
            return Err("sign");
        }
        let alerts = body["alerts"].as_array().ok_or("form")?;
        let is_good = |alert: &Value| {
            alert["labels"]["alertname"].is_string()
                && alert["startsAt"].is_string()
                && alert["endsAt"].is_string()
                && alert["annotations"].is_object()
                && matches!(alert["status"].as_str(), Some("firing" | "resolved"))
        };
        let whole = body["version"] == "4" && body["groupKey"].is_string() && body["receiver"].is_string();
        if whole && !alerts.is_empty() && alerts.iter().all(is_good) { Ok(()) } else { Err("form") }
    }
}

fn slack(body: &Value) -> Result<(), &'static str> {
    let blocks = body["blocks"].as_array().ok_or("form")?;
    let text = |block: &Value| block["text"]["text"].as_str().map_or(0, |text| text.chars().count());
    let is_good = |block: &Value| match block["type"].as_str() {
        Some("header") => block["text"]["type"] == "plain_text" && (1..=150).contains(&text(block)),
        Some("section") => block["text"]["type"] == "mrkdwn" && (1..=3000).contains(&text(block)),
        Some("context") => block["elements"].as_array().is_some_and(|all| !all.is_empty() && all.len() <= 10),
        _ => false,
    };
    let is_told = body["text"].as_str().is_some_and(|text| !text.is_empty());
    if is_told && blocks.len() <= 50 && blocks.iter().all(is_good) { Ok(()) } else { Err("form") }
}

fn teams(body: &Value, size: usize) -> Result<(), &'static str> {
    let attachment = &body["attachments"][0];
    let card = &attachment["content"];
    let is_good = body["type"] == "message"
        && attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        && card["type"] == "AdaptiveCard"
        && card["version"].is_string()
        && card["body"].as_array().is_some_and(|body| {
            !body.is_empty()
                && body.iter().all(|block| block["type"] == "TextBlock" && block["text"].is_string())
        });
    if is_good && size <= 28 * 1024 { Ok(()) } else { Err("form") }
}

fn wecom(body: &Value) -> Result<(), &'static str> {
    let content = body["markdown"]["content"].as_str().filter(|_| body["msgtype"] == "markdown");
    let is_good = content.is_some_and(|text| !text.is_empty() && text.len() <= 4096);
    if is_good { Ok(()) } else { Err("form") }
}

fn good(vendor: Vendor) -> (u16, String) {
    match vendor {
        Vendor::Slack => (200, "ok".to_owned()),
        Vendor::Teams => (202, String::new()),
        Vendor::Feishu => {
            (200, json!({"code": 0, "msg": "success", "data": {}, "StatusCode": 0}).to_string())
        }
        Vendor::DingTalk | Vendor::WeCom => (200, json!({"errcode": 0, "errmsg": "ok"}).to_string()),
        Vendor::Webhook => (200, String::new()),
    }
}

fn busy(vendor: Vendor) -> (u16, String) {
    match vendor {
        Vendor::Slack | Vendor::Teams | Vendor::Webhook => (429, "rate_limited".to_owned()),
        Vendor::Feishu => (200, json!({"code": 11232, "msg": "frequency limited"}).to_string()),
        Vendor::DingTalk => (200, json!({"errcode": 130_101, "errmsg": "send too fast"}).to_string()),
        Vendor::WeCom => (200, json!({"errcode": 45009, "errmsg": "api freq out of limit"}).to_string()),
    }
}

fn refusal(vendor: Vendor, why: &str) -> Refusal {
    let (status, body) = match (vendor, why) {
        (Vendor::Slack, "token") => (404, "no_service".to_owned()),
        (Vendor::Slack, "json") => (400, "invalid_payload".to_owned()),
        (Vendor::Slack, _) => (400, "invalid_blocks".to_owned()),
        (Vendor::Teams, "token") => {
            (401, json!({"error": {"code": "DirectApiAuthorizationRequired"}}).to_string())
        }
        (Vendor::Teams, _) => (400, json!({"error": {"code": "TriggerInputSchemaMismatch"}}).to_string()),
        (Vendor::Webhook, "sign") => (401, String::new()),
        (Vendor::Webhook, _) => (400, String::new()),
        (Vendor::Feishu, "sign") => {
            let msg = "sign match fail or timestamp is not within one hour from current time";
            (200, json!({"code": 19021, "data": {}, "msg": msg}).to_string())
        }
        (Vendor::Feishu, "token") => (200, json!({"code": 19001, "msg": "access token invalid"}).to_string()),
        (Vendor::Feishu, _) => (200, json!({"code": 9499, "msg": "Bad Request", "data": {}}).to_string()),
        (Vendor::DingTalk, "sign") => {
            (200, json!({"errcode": 310_000, "errmsg": "sign not match"}).to_string())
        }
        (Vendor::DingTalk, "token") => {
            (200, json!({"errcode": 300_001, "errmsg": "token is not exist"}).to_string())
        }
        (Vendor::DingTalk, _) => (200, json!({"errcode": 40035, "errmsg": "param error"}).to_string()),
        (Vendor::WeCom, "token") => {
            (200, json!({"errcode": 93000, "errmsg": "invalid webhook url"}).to_string())
        }
        (Vendor::WeCom, _) => {
            (200, json!({"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"}).to_string())
        }
    };
    Refusal { why: why.to_owned(), status, body }
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
