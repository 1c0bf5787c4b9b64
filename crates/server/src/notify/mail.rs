//! E-mail: a letter of plain text, put together by lettre.

use std::time::{Duration, SystemTime};

use gatehouse_control::alert::NotTaken;
use gatehouse_domain::proxy::{Destination, Host};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, To};
use lettre::message::{Mailboxes, SinglePart};
use lettre::transport::smtp::authentication::Credentials;

use super::smtp;
use super::text::Told;
use super::{Message, lasting, passing, secret, trusted};
use crate::config::Mail;
use crate::environment::Environment;
use crate::fetch::WayOut;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to say goodbye.
const LEAVING: Duration = Duration::from_secs(2);

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
            let text = password.expose_text().ok_or_else(|| lasting("its password is not text"))?;
            Some(Credentials::new(user.clone(), text.to_owned()))
        }
    };
    let letter = letter(mail, told, message)?;
    let sent =
        tokio::time::timeout(PATIENCE, smtp::send(mail, (out, &to), &tls, login.as_ref(), &letter)).await;
    let mut talk = sent.map_err(|_| passing("the mail server does not answer in time"))??;
    // It has the letter, whatever it says of our leaving.
    let _left = tokio::time::timeout(LEAVING, talk.quit()).await;
    Ok(())
}

fn letter(mail: &Mail, told: &Told, message: &Message<'_>) -> Result<lettre::Message, NotTaken> {
    let to: Mailboxes = mail.to.iter().map(|to| to.clone().into()).collect();
    // No machine is to answer it (RFC 3834).
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    // Lines of base64 neither are too long nor hold what a server could take for an end.
    let text = SinglePart::builder().header(ContentType::TEXT_PLAIN).header(ContentTransferEncoding::Base64);
    lettre::Message::builder()
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(message.now.non_negative()))
        .from(mail.from.clone().into())
        .mailbox(To::from(to))
        .subject(&told.title)
        // The same for every try, so that a letter that arrives twice can be told from two letters.
        .message_id(Some(format!("<{}@{}>", message.id, mail.from.domain())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .singlepart(text.body(told.plain()))
        .map_err(|error| lasting(format!("a letter cannot be put together: {error}")))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::alert::{Labels, NAME, Notification};
    use gatehouse_domain::id::DeliveryId;
    use gatehouse_domain::settings::lint::Language;
    use gatehouse_domain::time::UnixMillis;

    use super::*;
    use crate::config::Encryption;

    fn written(name: &str, language: Language) -> String {
        let now = UnixMillis(1_795_865_400_000);
        let notification = Notification {
            group: "g".to_owned(),
            group_labels: Labels::from([(NAME.to_owned(), name.to_owned())]),
            firing: Vec::new(),
            resolved: Vec::new(),
            more: 0,
            is_test: false,
        };
        let message = Message {
            id: DeliveryId::new(now, 1),
            notification: &notification,
            rules: &[],
            home: "https://gw.example.com",
            now,
        };
        let mail = Mail {
            host: "mail.example.com".to_owned(),
            port: 587,
            encryption: Encryption::StartTls,
            user: None,
            from: "gate@corp.example".parse().unwrap(),
            to: vec!["ops@corp.example".parse().unwrap(), "b@corp.example".parse().unwrap()],
            ca_file: None,
        };
        let letter = letter(&mail, &Told::new(&message, language), &message).unwrap();
        assert_eq!(letter.envelope().to(), mail.to);
        String::from_utf8(letter.formatted()).unwrap()
    }

    #[test]
    fn a_letter_has_what_letters_have() {
        let text = written("budget-near", Language::English);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "Date: Sat, 28 Nov 2026 11:30:00 +0000",
            "From: gate@corp.example",
            "To: ops@corp.example, b@corp.example",
            "Subject: [Resolved:0] Gatehouse budget-near",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: base64",
        ] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
        assert!(head.contains("\r\nMessage-ID: <dlv_") && head.contains("@corp.example>"), "{head}");
        assert!(body.lines().all(|line| line.len() <= 76 && !line.starts_with('.')), "{body}");
    }

    #[test]
    fn nothing_in_a_title_becomes_a_header_or_a_line_that_is_too_long() {
        for name in ["x\r\nBcc: evil@example.com\r\n\r\nhello", "\n.\r\n", "\0", &"告警🚨".repeat(90)] {
            let text = written(name, Language::TraditionalChinese);
            let (head, _) = text.split_once("\r\n\r\n").unwrap();
            assert!(text.is_ascii() && !text.contains("Bcc"), "{text}");
            let names: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with(' ')).collect();
            assert!(names.len() == 9 && names.iter().all(|line| line.contains(": ")), "{head}");
            assert!(
                head.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])),
                "{head}"
            );
        }
    }
}
