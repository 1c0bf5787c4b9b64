//! E-mail: a letter (RFC 5322) of plain text in UTF-8, whatever the server's age.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use gatehouse_control::alert::NotTaken;
use gatehouse_domain::proxy::{Destination, Host};
use gatehouse_domain::time::{DAY_MS, UnixMillis};

use super::smtp::{self, Envelope, Login};
use super::text::Told;
use super::{Message, lasting, passing, secret, trusted};
use crate::config::Mail;
use crate::environment::Environment;
use crate::fetch::WayOut;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a letter.
pub(super) async fn send(
    mail: &Mail,
    told: &Told,
    message: &Message<'_>,
    out: &WayOut,
    environment: &Environment,
) -> Result<(), NotTaken> {
    let host = Host::parse(&mail.host).map_err(|error| lasting(format!("the mail server: {error}")))?;
    let tls = trusted(out.clone(), host.clone(), mail.ca_file.clone()).await?;
    let to = Destination { host, port: mail.port };
    let login = match &mail.user {
        None => None,
        Some((user, password)) => {
            let password = secret(password.clone(), environment).await?;
            Some(Login { user: user.clone(), password })
        }
    };
    let envelope = Envelope { from: &mail.from, to: &mail.to, letter: &letter(mail, told, message) };
    let sent =
        tokio::time::timeout(PATIENCE, smtp::send(mail, (out, &to), &tls, login.as_ref(), &envelope)).await;
    match sent {
        Ok(done) => done,
        Err(_) => Err(passing("the mail server does not answer in time")),
    }
}

fn letter(mail: &Mail, told: &Told, message: &Message<'_>) -> String {
    let domain = domain(&mail.from);
    let headers = [
        ("Date", date(message.now)),
        ("From", format!("<{}>", mail.from)),
        ("To", mail.to.iter().map(|to| format!("<{to}>")).collect::<Vec<_>>().join(",\r\n ")),
        ("Subject", encoded(&told.title)),
        // The same for every try, so that a letter that arrives twice can be told from two letters.
        ("Message-ID", format!("<{}@{domain}>", message.id)),
        // No machine is to answer it (RFC 3834).
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ];
    let mut out = String::new();
    for (name, value) in headers {
        out.extend([name, ": ", &value, "\r\n"]);
    }
    out.push_str("\r\n");
    // Lines of base64 neither are too long nor begin with a dot.
    for line in Base64::encode_string(told.plain().replace('\n', "\r\n").as_bytes()).as_bytes().chunks(76) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push_str("\r\n");
    }
    out
}

/// What is behind the `@` of an address.
pub(super) fn domain(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or("localhost")
}

/// A text as encoded words (RFC 2047), each of whole characters.
fn encoded(text: &str) -> String {
    let (mut words, mut piece) = (Vec::new(), String::new());
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 42 {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let word = |piece: &String| format!("=?utf-8?B?{}?=", Base64::encode_string(piece.as_bytes()));
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
}

/// A time as letters have it: `Sat, 28 Nov 2026 11:30:00 +0000`.
fn date(at: UnixMillis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // 1970-01-01 was a Thursday.
    let weekday = usize::try_from(at.0.div_euclid(DAY_MS).rem_euclid(7)).unwrap_or(0);
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("00");
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!(
        "{}, {} {} {} {} +0000",
        DAYS[weekday],
        part(8, 10),
        month.unwrap_or(&"Jan"),
        part(0, 4),
        part(11, 19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_subjects_are_as_letters_have_them() {
        assert_eq!(date(UnixMillis(1_795_865_400_000)), "Sat, 28 Nov 2026 11:30:00 +0000");
        assert_eq!(date(UnixMillis(0)), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(encoded("a"), "=?utf-8?B?YQ==?=");
        let long = encoded(&"告警".repeat(20));
        assert!(long.split("\r\n ").all(|word| word.len() <= 75 && word.ends_with("?=")), "{long}");
    }
}
