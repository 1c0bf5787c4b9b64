use proptest::prelude::*;

use super::*;

const START: UnixMillis = UnixMillis(1_795_000_000_000);
const END: UnixMillis = UnixMillis(1_795_000_000_000 + 30 * 86_400_000);

fn key() -> RefreshKeys {
    RefreshKey::new([3; 32]).into()
}

fn begin(n: u8) -> (Family, RefreshToken) {
    Family::begin(FamilyId::from_bytes([n; 16]), Seed::from_bytes([n; 32]), END, &key())
}

fn after(seconds: i64) -> UnixMillis {
    START.plus_millis(seconds * 1000)
}

/// Uses a token; the family becomes what comes out.
fn use_token(
    family: &mut Family,
    token: &RefreshToken,
    now: UnixMillis,
) -> (&'static str, Option<RefreshToken>) {
    match decide(Some(family), token, &key(), now) {
        Decision::Rotate { family: next, token } => {
            *family = next;
            ("rotate", Some(token))
        }
        Decision::GraceReplay { token } => ("grace", Some(token)),
        Decision::Theft => ("theft", None),
        Decision::Unknown => ("unknown", None),
    }
}

#[test]
fn four_processes_with_one_token_end_with_the_same_successor() {
    let (mut family, first) = begin(1);
    let (what, winner) = use_token(&mut family, &first, after(0));
    assert_eq!(what, "rotate");
    let winner = winner.unwrap().reveal();
    for (what, token) in [1, 2, 30].map(|s| use_token(&mut family, &first, after(s))) {
        assert_eq!(what, "grace");
        assert_eq!(*token.unwrap().reveal(), *winner);
    }
    assert_eq!(family.generation, 1, "one refresh");
}

/// When the key that proves tokens is replaced, nobody is signed out, and a stolen token is noticed as before.
#[test]
fn tokens_of_an_older_key_are_used_up_like_others() {
    let (mut family, first) = begin(1);
    let next = RefreshKey::new([4; 32]);
    let both = RefreshKeys::new(next.clone(), vec![next.clone(), RefreshKey::new([3; 32])]);
    let Decision::Rotate { family: used, token } = decide(Some(&family), &first, &both, after(0)) else {
        panic!("the old key is known")
    };
    family = used;
    let alone = RefreshKeys::from(next);
    assert!(matches!(decide(Some(&family), &token, &alone, after(1)), Decision::Rotate { .. }));
    assert!(matches!(decide(Some(&family), &token, &key(), after(1)), Decision::Unknown));
    assert!(matches!(decide(Some(&family), &first, &both, after(1)), Decision::GraceReplay { .. }));
    assert!(matches!(decide(Some(&family), &first, &both, after(100)), Decision::Theft));
    assert!(matches!(decide(Some(&family), &first, &alone, after(100)), Decision::Unknown));
}

#[test]
fn late_reuse_is_theft_even_after_many_rotations() {
    let (mut family, first) = begin(1);
    let mut token = first.clone();
    for hour in 0..100 {
        let (what, next) = use_token(&mut family, &token, after(hour * 3600));
        assert_eq!(what, "rotate");
        token = next.unwrap();
        assert!(family.used_at.len() <= REMEMBERED);
    }
    assert_eq!(use_token(&mut family, &first, after(100 * 3600)).0, "theft");
    let (mut family, first) = begin(1);
    use_token(&mut family, &first, after(0));
    assert_eq!(use_token(&mut family, &first, after(60)).0, "grace");
    assert_eq!(use_token(&mut family, &first, after(61)).0, "theft");
}

#[test]
fn a_token_two_rotations_behind_is_still_forgiven_within_the_grace() {
    let (mut family, first) = begin(1);
    let (_, second) = use_token(&mut family, &first, after(0));
    let (_, third) = use_token(&mut family, &second.unwrap(), after(5));
    let (what, token) = use_token(&mut family, &first, after(10));
    assert_eq!((what, token.unwrap().reveal()), ("grace", third.unwrap().reveal()));
}

#[test]
fn a_family_that_is_over_knows_no_tokens() {
    let (family, token) = begin(1);
    let revoked = Family { revoked_at: Some(START), ..family.clone() };
    assert!(matches!(decide(Some(&revoked), &token, &key(), after(1)), Decision::Unknown));
    assert!(matches!(decide(Some(&family), &token, &key(), END), Decision::Unknown));
    assert!(matches!(decide(None, &token, &key(), after(1)), Decision::Unknown));
}

#[test]
fn invented_tokens_never_end_a_family() {
    let (mut family, first) = begin(1);
    use_token(&mut family, &first, after(0));
    let good = first.reveal();
    let mut forged = first.clone();
    forged.proof[31] ^= 1;
    let mut ahead = first.clone();
    ahead.generation = 7;
    let (_, other_family) = begin(2);
    let mut moved = other_family;
    moved.family = family.id;
    for token in [forged, ahead, moved] {
        assert_eq!(use_token(&mut family, &token, after(3600)).0, "unknown");
    }
    let future =
        RefreshToken { generation: 2, proof: Zeroizing::new(family.proof(2, &key().proves)), ..first };
    assert_eq!(use_token(&mut family, &future, after(3600)).0, "unknown", "never given out");
    assert!(matches!(
        decide(
            Some(&family),
            &RefreshToken::parse(&good).unwrap(),
            &RefreshKey::new([4; 32]).into(),
            after(1)
        ),
        Decision::Unknown
    ));
}

#[test]
fn hostile_texts_are_no_tokens() {
    let good = begin(1).1.reveal();
    assert_eq!(good.len(), 74);
    for text in [
        "",
        "ghr_",
        "ghr_' OR 1=1 --",
        &good[4..],
        &good[..73],
        &format!("{}A", *good),
        &"ghr_A".repeat(10_000),
    ] {
        assert!(RefreshToken::parse(text).is_none());
    }
    assert!(!format!("{:?}", begin(1).0).contains("[1, 1"), "the seed is not shown");
}

proptest! {
    #[test]
    fn tokens_read_back(n: u8, generation: u32) {
        let (mut family, _) = begin(n);
        family.generation = generation;
        let token = family.unused(&key());
        let back = RefreshToken::parse(&token.reveal()).unwrap();
        prop_assert_eq!((back.family, back.generation, *back.proof), (token.family, generation, *token.proof));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(ghr_)?.{0,100}") {
        if let Some(token) = RefreshToken::parse(&text) {
            prop_assert_eq!(&*token.reveal(), &text);
        }
    }

    /// A model of the rule: whichever tokens come back in whatever order, only the unused one rotates, one used within
    /// the grace gives the unused one, and an older one is theft.
    #[test]
    fn decisions_follow_the_rule(uses in prop::collection::vec((any::<prop::sample::Index>(), 0_i64..200), 1..40)) {
        let (mut family, first) = begin(1);
        let mut given = vec![(first, None::<UnixMillis>)];
        let mut now = START;
        for (which, seconds) in uses {
            now = now.plus_millis(seconds * 1000);
            let at = which.index(given.len());
            let last = given.len() - 1;
            let behind = last - at;
            let (token, used) = given[at].clone();
            let (what, next) = use_token(&mut family, &token, now);
            match used {
                None => {
                    prop_assert_eq!(what, "rotate");
                    given[at].1 = Some(now);
                    given.push((next.unwrap(), None));
                }
                Some(used) if now.0 - used.0 <= GRACE && behind <= REMEMBERED => {
                    prop_assert_eq!(what, "grace");
                    prop_assert_eq!(next.unwrap().reveal(), given[last].0.reveal());
                }
                Some(_) => {
                    prop_assert_eq!(what, "theft");
                    prop_assert!(next.is_none());
                }
            }
        }
    }
}
