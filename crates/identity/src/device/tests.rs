use proptest::prelude::*;

use super::*;

const START: UnixMillis = UnixMillis(1_795_000_000_000);

fn after(seconds: i64) -> UnixMillis {
    START.plus_millis(seconds * 1000)
}

fn grant() -> Grant<&'static str> {
    let device = DeviceCode::generate(&[7; DEVICE_CODE_RANDOM]).hash();
    Grant::new(device, UserCode::generate(&[9; USER_CODE_RANDOM]), START)
}

#[test]
fn an_approval_is_delivered_exactly_once() {
    let mut grant = grant();
    assert_eq!(grant.poll(after(2)), Poll::Pending);
    grant.approve("session", after(3)).unwrap();
    assert_eq!(grant.approve("another", after(3)), Err(NotPending));
    assert_eq!(grant.deny(after(3)), Err(NotPending));
    assert_eq!(grant.poll(after(4)), Poll::Deliver("session"));
    assert_eq!(grant.poll(after(6)), Poll::Expired);
    assert_eq!(grant.approve("again", after(7)), Err(NotPending));
}

#[test]
fn a_denial_ends_it() {
    let mut grant = grant();
    grant.deny(after(1)).unwrap();
    assert_eq!(grant.poll(after(2)), Poll::Denied);
    assert_eq!(grant.poll(after(4)), Poll::Denied);
    assert_eq!(grant.approve("late", after(5)), Err(NotPending));
}

#[test]
fn it_runs_out_whether_approved_or_not() {
    let mut pending = grant();
    assert_eq!(pending.poll(after(599)), Poll::Pending);
    assert_eq!(pending.approve("late", after(600)), Err(NotPending));
    assert_eq!(pending.poll(after(600)), Poll::Expired);

    let mut approved = grant();
    approved.approve("session", after(599)).unwrap();
    assert_eq!(approved.poll(after(600)), Poll::Expired);
}

#[test]
fn a_hasty_client_is_slowed_down() {
    let mut grant = grant();
    assert_eq!(grant.poll(after(0)), Poll::Pending);
    assert_eq!(grant.poll(START.plus_millis(1_000)), Poll::Pending, "within the tolerance");
    assert_eq!(grant.poll(START.plus_millis(1_500)), Poll::SlowDown);
    assert_eq!(grant.interval, 7);
    assert_eq!(grant.poll(START.plus_millis(7_000)), Poll::SlowDown, "5.5 s after the last");
    assert_eq!(grant.poll(after(19)), Poll::Pending);
    for _ in 0..50 {
        grant.poll(after(19));
    }
    assert_eq!(grant.interval, 60, "bounded");
    grant.approve("session", after(19)).unwrap();
    assert_eq!(grant.poll(after(19)), Poll::Deliver("session"), "an approval does not wait");
}

#[test]
fn a_clock_set_back_slows_nobody_down() {
    let mut grant = grant();
    assert_eq!(grant.poll(after(100)), Poll::Pending);
    assert_eq!(grant.poll(after(10)), Poll::Pending);
}

#[test]
fn answers_have_the_names_of_the_rfc() {
    let names =
        [Poll::Pending, Poll::SlowDown, Poll::Denied, Poll::Expired, Poll::Deliver(())].map(|p| p.error());
    assert_eq!(
        names,
        [
            Some("authorization_pending"),
            Some("slow_down"),
            Some("access_denied"),
            Some("expired_token"),
            None
        ]
    );
}

#[test]
fn device_codes_read_back_and_only_their_hash_is_kept() {
    let code = DeviceCode::generate(&[0xa5; DEVICE_CODE_RANDOM]);
    let text = code.reveal();
    assert_eq!(text.len(), 43);
    assert_eq!(DeviceCode::parse(&text).unwrap().hash(), code.hash());
    let kept = serde_json::to_string(&grant()).unwrap();
    assert!(!kept.contains(&*DeviceCode::generate(&[7; DEVICE_CODE_RANDOM]).reveal()), "{kept}");
    assert_eq!(serde_json::from_str::<Grant<String>>(&kept).unwrap().user_code, grant().user_code);
    for hostile in ["", "a", "' OR 1=1 --", &text[..42], &format!("{}A", *text), &"A".repeat(100_000), "é"] {
        assert!(DeviceCode::parse(hostile).is_none());
    }
}

#[test]
fn user_codes_are_read_however_they_are_typed() {
    let code = UserCode::parse("WDJB-MJHT").unwrap();
    assert_eq!(code.to_string(), "WDJB-MJHT");
    for typed in [
        "wdjbmjht",
        " WDJB MJHT ",
        "w d j b - m j h t",
        "WDJB\u{2014}MJHT",
        "--wdjb--mjht--",
        "WDJB\u{a0}MJHT\n",
    ] {
        assert_eq!(UserCode::parse(typed), Ok(code), "{typed:?}");
    }
    for hostile in [
        "",
        "WDJB-MJH",
        "WDJB-MJHTB",
        "AEIO-UYBC",
        "WDJB-MJH1",
        "WDJB-MJH\0",
        "ＷDJB-MJHT",
        &"-".repeat(65),
        "WDJB-MJHT'",
    ] {
        assert!(UserCode::parse(hostile).is_err(), "{hostile:?}");
    }
}

proptest! {
    #[test]
    fn made_codes_read_back(random: [u8; USER_CODE_RANDOM]) {
        let code = UserCode::generate(&random);
        let text = code.to_string();
        prop_assert_eq!(text.len(), 9);
        prop_assert_eq!(UserCode::parse(&text), Ok(code));
        prop_assert_eq!(UserCode::parse(&text.to_lowercase().replace('-', " ")), Ok(code));
    }

    #[test]
    fn any_text_is_a_code_or_refused(text in any::<String>()) {
        if let Ok(code) = UserCode::parse(&text) {
            let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
            prop_assert_eq!(code.to_string().replace('-', ""), letters.to_uppercase());
        }
    }

    #[test]
    fn whatever_happens_at_most_one_is_delivered(steps in prop::collection::vec((0_u8..3, 0_i64..100), 0..40)) {
        let mut grant = grant();
        let mut now = START;
        let (mut approved, mut delivered) = (0, 0);
        for (step, seconds) in steps {
            now = now.plus_millis(seconds * 1000);
            match step {
                0 => approved += i32::from(grant.approve("session", now).is_ok()),
                1 => { let _ = grant.deny(now); }
                _ => delivered += i32::from(grant.poll(now) == Poll::Deliver("session")),
            }
        }
        prop_assert!(delivered <= approved && approved <= 1);
    }
}
