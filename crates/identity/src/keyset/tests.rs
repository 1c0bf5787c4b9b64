use super::*;
use crate::master::MasterKey;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn ring() -> Keyring {
    Keyring::new(MasterKey::from_bytes([1; 32]), vec![])
}

fn first() -> Keyset {
    Keyset::first(&Roots::of(&MasterKey::from_bytes([1; 32])))
}

fn later(ms: i64) -> UnixMillis {
    NOW.plus_millis(ms)
}

/// What an installation has before any key is rotated must be what it had when keys could not be rotated.
#[test]
fn the_first_keys_are_those_of_the_roots() {
    let roots = Roots::of(&MasterKey::from_bytes([1; 32]));
    let sealed = roots.seal(&ring(), [1; NONCE_LEN]);
    let set = Keyset::open(&ring(), &sealed).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(set.active(Kind::Audit, NOW).public(), Some(Signer::new(roots.audit_seed()).public()));
    assert_eq!(set.bundle_signer(NOW).public(), Signer::new(&roots.bundle_seed()).public());
    let key = gatehouse_domain::key::VirtualKey::generate(
        gatehouse_domain::key::KeyKind::Virtual,
        &[9; gatehouse_domain::key::RANDOM_LEN],
    );
    assert_eq!(key.hash(&set.pepper(NOW)), key.hash(&roots.pepper()));
    for (kind, expected) in [
        (Kind::AccessTokens, roots.access_seed()),
        (Kind::RefreshTokens, roots.refresh_seed()),
        (Kind::SignInForms, roots.form_seed()),
    ] {
        assert_eq!(*secret_of(set.active(kind, NOW)), *expected, "{kind}");
    }
}

#[test]
fn a_new_key_is_known_before_it_is_used_and_the_old_one_after() {
    for kind in Kind::ALL {
        let mut set = first();
        let two = set.rotate(kind, [7; 32], NOW, later(10), later(100)).unwrap();
        assert_eq!(two, Generation(2));
        assert_eq!(set.active(kind, NOW).generation, Generation(1), "{kind}");
        assert_eq!(set.active(kind, later(10)).generation, two, "{kind}");
        let refused = set.rotate(kind, [8; 32], later(9), later(20), later(100));
        assert_eq!(refused, Err(BadChange::Announced(later(10))), "{kind}");
        let (old, new) = (set.of(kind).next().unwrap(), set.of(kind).last().unwrap());
        assert_eq!((set.state(old, NOW), set.state(new, NOW)), (State::Active, State::Announced));
        assert_eq!((set.state(old, later(10)), set.state(new, later(10))), (State::Old, State::Active));
        assert_eq!((old.retire_at, new.retire_at), (Some(later(100)), None));
        assert_eq!((set.superseded_at(old), set.superseded_at(new)), (Some(later(10)), None));
        assert_eq!(set.secrets(kind).count(), 2);
    }
}

#[test]
fn only_an_old_key_is_retired_and_a_signer_leaves_its_public_half() {
    for kind in Kind::ALL {
        let mut set = first();
        let one = Generation::FIRST;
        assert_eq!(set.retire(kind, one, NOW), Err(BadChange::InUse(one)));
        set.rotate(kind, [7; 32], NOW, later(10), later(100)).unwrap();
        assert_eq!(set.retire(kind, one, later(9)), Err(BadChange::InUse(one)), "it is still the one in use");
        assert_eq!(set.retire(kind, Generation(2), later(9)), Err(BadChange::InUse(Generation(2))));
        let public = set.of(kind).next().unwrap().public();
        assert_eq!(set.retire(kind, one, later(10)), Ok(()), "{kind}");
        assert_eq!(set.retire(kind, one, later(10)), Err(BadChange::Unknown(one)));
        assert_eq!(set.secrets(kind).count(), 1);
        assert_eq!(set.of(kind).find(|m| m.generation == one).and_then(Member::public), public);
        assert_eq!(public.is_some(), kind.signs());
        // A clock that was set back finds a key all the same.
        assert_eq!(set.active(kind, UnixMillis(5)).generation, Generation(2));
    }
}

#[test]
fn a_sealed_set_comes_back_whole_or_not_at_all() {
    let mut set = first();
    for kind in Kind::ALL {
        set.rotate(kind, [7; 32], NOW, NOW, later(100)).unwrap();
    }
    set.retire(Kind::Audit, Generation::FIRST, NOW).unwrap();
    set.retire(Kind::Hashes, Generation::FIRST, NOW).unwrap();
    let back = Keyset::open(&ring(), &set.seal(&ring(), [2; NONCE_LEN])).unwrap_or_else(|e| panic!("{e}"));
    let told = |set: &Keyset| {
        let one = |m: &Member| (m.kind, m.generation, m.made_at, m.active_at, m.retire_at, m.public());
        set.members().map(one).collect::<Vec<_>>()
    };
    assert_eq!(told(&back), told(&set));
    assert_eq!(*secret_of(back.active(Kind::Hashes, NOW)), [7; 32]);

    let mut bytes = MAGIC.to_vec();
    set.0.iter().for_each(|member| write(member, &mut bytes));
    let broken = |bytes: &[u8]| {
        let sealed = ring().seal(PLACE, &Secret::new(bytes.to_vec()), [1; NONCE_LEN]).unwrap();
        Keyset::open(&ring(), &sealed).err() == Some(SealError::Broken)
    };
    assert!(!broken(&bytes));
    assert!(broken(&bytes[..bytes.len() - 1]) && broken(MAGIC) && broken(b"") && broken(&[0; 63]));
    let strange = [&bytes[..MAGIC.len()], &[99], &bytes[MAGIC.len() + 1..]].concat();
    assert!(broken(&strange));
}

#[test]
fn there_is_an_end_to_old_keys() {
    let mut set = first();
    for n in 1..MOST {
        set.rotate(Kind::Hashes, [u8::try_from(n).unwrap(); 32], NOW, NOW, NOW).unwrap();
    }
    assert_eq!(set.rotate(Kind::Hashes, [0; 32], NOW, NOW, NOW), Err(BadChange::TooMany));
    set.retire(Kind::Hashes, Generation::FIRST, NOW).unwrap();
    assert_eq!(set.rotate(Kind::Hashes, [0; 32], NOW, NOW, NOW), Ok(Generation(17)));
    assert!(set.seal(&ring(), [1; NONCE_LEN]).to_string().len() < crate::seal::MAX_SECRET);
}

#[test]
fn names_read_back() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::named("master"), None);
}
