//! What is looked at, what is known, and what is refused.

use gatehouse_domain::key::{KeyKind, VirtualKey};

use super::*;

fn secret() -> String {
    let key = VirtualKey::generate(KeyKind::Virtual, &[0x5b; 38]);
    key.reveal().to_string()
}

fn protection(action: Action, observe: &[&str]) -> Protection {
    Protection::new(Rules {
        action,
        selection: Selection::new(["all"], []).unwrap(),
        observe: Selection::new(observe.iter().copied(), []).unwrap(),
    })
}

fn body(texts: &[&str]) -> Vec<Bytes> {
    let messages: Vec<_> =
        texts.iter().map(|text| serde_json::json!({"role": "user", "content": text})).collect();
    let body = serde_json::json!({"model": "m", "messages": messages}).to_string();
    body.as_bytes().chunks(700).map(Bytes::copy_from_slice).collect()
}

#[test]
fn a_history_that_comes_again_is_not_looked_at_again_and_counts_once() {
    let protection = protection(Action::Block, &[]);
    let long = "some code\n".repeat(200);
    let with = format!("{long}{}", secret());
    let first = protection.look(&body(&[&long, &with]));
    assert_eq!((first.counts.len(), first.fresh.clone()), (1, first.counts.clone()));
    assert_eq!(first.refused_for.unwrap().1.to_string(), "message 2");
    assert_eq!(first.known, 0);
    let second = protection.look(&body(&[&long, &with, "and more"]));
    assert_eq!(second.counts, first.counts, "it is in the request all the same");
    assert!(second.fresh.is_empty() && second.refused_for.is_some());
    assert_eq!((second.known, second.scanned), (first.scanned, 8));
}

#[test]
fn what_is_found_in_a_small_text_is_told_of_once() {
    let protection = protection(Action::Observe, &[]);
    let small = format!("it is {}", secret());
    let first = protection.look(&body(&[&small]));
    assert_eq!((first.fresh.len(), first.refused_for), (1, None));
    let second = protection.look(&body(&[&small]));
    assert_eq!((second.counts, second.fresh.len()), (first.counts, 0));
}

#[test]
fn what_is_only_observed_refuses_nothing() {
    let text = format!("{} and more", secret());
    let of =
        |observe: &[&str]| protection(Action::Block, observe).look(&body(&[&text])).refused_for.is_some();
    assert!(of(&[]) && of(&["jwt"]) && !of(&["gatehouse-key"]) && !of(&["secrets"]));
}

#[test]
fn the_same_text_spelled_otherwise_is_found_as_well() {
    let protection = protection(Action::Block, &[]);
    let secret = secret();
    let spelled: String =
        secret.chars().fold(String::new(), |text, c| text + &format!("\\u{:04x}", u32::from(c)));
    let body = format!("{{\"messages\":[{{\"content\":[{{\"type\":\"text\",\"text\":\"{spelled}\"}}]}}]}}");
    assert_eq!(protection.look(&[Bytes::from(body)]).counts.len(), 1);
    let hidden = format!(
        "{{\"messages\":[{{\"content\":[{{\"type\":\"thinking\",\"thinking\":\"{secret}\",\"signature\":\"{secret}\"}}]}}]}}"
    );
    assert_eq!(protection.look(&[Bytes::from(hidden)]), Looked::default());
}
