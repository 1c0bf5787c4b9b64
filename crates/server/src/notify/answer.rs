//! What receivers answer. Feishu, DingTalk and WeCom answer 200 whatever happened, and tell it in the body.

use std::time::Duration;

use gatehouse_control::alert::NotTaken;
use serde_json::Value;

use super::{after, brief, lasting, passing};
use crate::config::HookKind;
use crate::fetch::Posted;

/// Whether a message was taken.
pub(super) fn judge(kind: HookKind, answer: &Posted) -> Result<(), NotTaken> {
    let status = answer.status;
    if !(200..300).contains(&status) {
        let text = brief(&String::from_utf8_lossy(&answer.body));
        let error = if text.is_empty() {
            format!("it answers {status}")
        } else {
            format!("it answers {status}: {text}")
        };
        let again = matches!(status, 408 | 425 | 429) || status >= 500;
        return Err(NotTaken { error, again, after: answer.retry_after });
    }
    match kind {
        HookKind::Webhook => Ok(()),
        HookKind::Teams => teams(answer),
        HookKind::Slack if answer.body.trim_ascii() == b"ok" => Ok(()),
        HookKind::Slack => Err(lasting(told(answer))),
        HookKind::Feishu => coded(answer, &["code", "StatusCode"], &["msg", "StatusMessage"], feishu),
        HookKind::DingTalk => coded(answer, &["errcode"], &["errmsg"], dingtalk),
        HookKind::WeCom => coded(answer, &["errcode"], &["errmsg"], wecom),
    }
}

fn told(answer: &Posted) -> String {
    format!("it answers {}: {}", answer.status, brief(&String::from_utf8_lossy(&answer.body)))
}

/// A workflow accepts with 202; the connectors before it said of failures behind them in an answer of 200.
fn teams(answer: &Posted) -> Result<(), NotTaken> {
    let text = String::from_utf8_lossy(&answer.body);
    if text.contains("HTTP error 429") || text.contains("HTTP error 5") {
        return Err(passing(told(answer)));
    }
    if text.contains("delivery failed") {
        return Err(lasting(told(answer)));
    }
    Ok(())
}

/// How an error's code is to be taken: whether to try again, and after how long at least.
type Meaning = fn(i64) -> (bool, Option<Duration>);

fn coded(answer: &Posted, codes: &[&str], texts: &[&str], meaning: Meaning) -> Result<(), NotTaken> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let code = codes.iter().find_map(|key| body.get(key)).and_then(Value::as_i64);
    let text = texts.iter().find_map(|key| body.get(key)).and_then(Value::as_str).unwrap_or_default();
    match code {
        Some(0) => Ok(()),
        Some(code) => {
            let (again, after) = meaning(code);
            Err(NotTaken { error: format!("it answers {code}: {}", brief(text)), again, after })
        }
        // Something between us and the vendor answered.
        None => Err(passing(told(answer))),
    }
}

fn feishu(code: i64) -> (bool, Option<Duration>) {
    match code {
        // Too many messages.
        11_232 | 99_991_400 => (true, Some(after(60))),
        // A signature may be refused because a clock was wrong.
        19_021 => (true, None),
        _ => (false, None),
    }
}

fn dingtalk(code: i64) -> (bool, Option<Duration>) {
    match code {
        // The system is busy; or a signature, a keyword or an address is refused, of which the first may be a clock's fault.
        -1 | 310_000 => (true, None),
        // More than 20 in a minute: nothing is taken for ten minutes.
        130_101 | 90_018 => (true, Some(after(600))),
        _ => (false, None),
    }
}

fn wecom(code: i64) -> (bool, Option<Duration>) {
    match code {
        -1 | 310_000 => (true, None),
        // More than 20 in a minute.
        45_009 | 45_033 => (true, Some(after(60))),
        _ => (false, None),
    }
}
