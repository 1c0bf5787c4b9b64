use super::super::{Actor, Draft, Head, Linked, MAX_CHECKPOINT, Object, Signer, export_fault, export_line};
use super::*;
use crate::time::UnixMillis;
use proptest::prelude::*;

const ORG: OrgId = OrgId::from_bits(5);

fn signer() -> Signer {
    Signer::new(&[4; 32])
}

fn acts(n: u64) -> Vec<Linked> {
    let mut head = Head::empty(ORG);
    (0..n)
        .map(|n| {
            let at = UnixMillis(1_700_000_000_000 + i64::try_from(n).unwrap());
            let act = Draft::new(at, Actor::system("test"), "key.create", Object::new("key", n, "laptop"));
            head.append(ORG, &act.with("nth", n))
        })
        .collect()
}

fn checkpoint(signer: &Signer, seq: u64, hash: Hash, count: u64) -> String {
    let at = UnixMillis(1);
    let point = Checkpoint { at, count, hash, key: signer.public(), node: "nod_a".to_owned(), org: ORG, seq };
    point.line(&point.sign(signer))
}

/// The lines of an export of `n` entries with a checkpoint after every fourth.
fn lines(n: u64) -> Vec<String> {
    write_up(&acts(n), &signer())
}

fn write_up(chain: &[Linked], signer: &Signer) -> Vec<String> {
    let last = u64::try_from(chain.len()).unwrap();
    let mut out = vec![Export::new(ORG, 1, last, Hash::genesis(ORG), signer.public()).line()];
    let mut covered = 0;
    for entry in chain {
        let mut line = String::new();
        export_line(&mut line, &entry.canonical, &entry.prev_hash, &entry.hash);
        out.push(line);
        if entry.seq % 4 == 0 || entry.seq == last {
            out.push(checkpoint(signer, entry.seq, entry.hash, entry.seq - covered));
            covered = entry.seq;
        }
    }
    if chain.is_empty() {
        out.push(checkpoint(signer, 0, Hash::genesis(ORG), 0));
    }
    out
}

fn check(lines: &[String]) -> Report {
    verify(lines.join("\n").as_bytes(), &[]).unwrap()
}

fn fault(lines: &[String]) -> (Option<u64>, Wrong) {
    let fault = check(lines).fault.expect("a fault should be found");
    (fault.seq, fault.wrong)
}

#[test]
fn what_was_exported_is_sound() {
    for n in [0, 1, 3, 4, 10] {
        let report = check(&lines(n));
        assert_eq!(report.fault, None, "{n} entries");
        assert_eq!(report.entries, n);
        assert_eq!(report.keys, [signer().public()]);
    }
}

#[test]
fn an_altered_entry_is_named() {
    let mut lines = lines(10);
    lines[3] = lines[3].replace("laptop", "desktop");
    assert_eq!(fault(&lines), (Some(3), Wrong::Altered));
}

#[test]
fn an_entry_altered_and_hashed_again_is_named() {
    let mut lines = lines(10);
    let altered = acts(10)[2].canonical.replace("laptop", "desktop");
    let prev = acts(10)[1].hash;
    lines[3].clear();
    export_line(&mut lines[3], &altered, &prev, &Hash::link(&prev, &altered));
    assert_eq!(fault(&lines), (Some(3), Wrong::Altered));
}

#[test]
fn a_chain_made_anew_fails_at_the_next_checkpoint() {
    let mut head = Head::empty(ORG);
    let good = lines(10);
    let act = Draft::new(UnixMillis(1), Actor::system("x"), "key.create", Object::new("key", 1, "forged"));
    let forged: Vec<_> = (0..10).map(|_| head.append(ORG, &act)).collect();
    let mut lines = write_up(&forged, &signer());
    for (line, signed) in lines.iter_mut().zip(good).filter(|(line, _)| line.starts_with(r#"{"check"#)) {
        *line = signed;
    }
    assert_eq!(fault(&lines), (Some(1), Wrong::Rewritten { until: 4 }));
}

#[test]
fn missing_entries_are_named() {
    let mut one = lines(10);
    one.remove(2);
    assert_eq!(fault(&one), (Some(2), Wrong::Missing { until: 2 }));
    let mut two = lines(10);
    two.drain(6..8);
    assert_eq!(fault(&two), (Some(5), Wrong::Missing { until: 6 }));
    let mut before_checkpoint = lines(10);
    before_checkpoint.remove(4);
    assert_eq!(fault(&before_checkpoint), (Some(4), Wrong::Missing { until: 4 }));
}

#[test]
fn swapped_entries_are_named() {
    let mut lines = lines(10);
    lines.swap(2, 3);
    assert_eq!(fault(&lines), (Some(2), Wrong::Reordered { line: 4 }));
}

#[test]
fn inserted_entries_are_named() {
    let mut twice = lines(10);
    twice.insert(3, twice[2].clone());
    assert_eq!(fault(&twice), (Some(2), Wrong::Inserted));
    let mut foreign = lines(10);
    let mut head = Head { seq: 2, hash: acts(2)[1].hash };
    let other = OrgId::from_bits(6);
    let act = Draft::new(UnixMillis(1), Actor::system("x"), "x", Object::new("x", 1, "x"));
    let forged = head.append(other, &act);
    foreign[3].clear();
    export_line(&mut foreign[3], &forged.canonical, &forged.prev_hash, &forged.hash);
    assert_eq!(fault(&foreign), (Some(3), Wrong::Foreign(other)));
}

#[test]
fn a_cut_is_noticed_wherever_it_is() {
    let lines = lines(10);
    for keep in 1..lines.len() {
        let (seq, wrong) = fault(&lines[..keep]);
        assert!(
            matches!(wrong, Wrong::CutOff { until: 10 } | Wrong::NoClosingCheckpoint),
            "{keep} {seq:?} {wrong:?}"
        );
    }
}

#[test]
fn removed_checkpoints_are_noticed() {
    let mut lines = lines(10);
    assert!(lines.remove(5).starts_with(r#"{"checkpoint"#));
    assert_eq!(fault(&lines), (Some(8), Wrong::MissingCheckpoint));
}

#[test]
fn another_key_is_not_trusted() {
    let mine = lines(6).join("\n");
    let forged = write_up(&acts(6), &Signer::new(&[9; 32])).join("\n");
    let key = signer().public();
    assert!(verify(mine.as_bytes(), &[key]).unwrap().is_sound());
    let report = verify(forged.as_bytes(), &[key]).unwrap();
    assert_eq!(report.fault.unwrap().wrong, Wrong::UntrustedKey(Signer::new(&[9; 32]).public()));
    assert!(!verify(forged.as_bytes(), &[]).unwrap().trusted);
}

#[test]
fn garbage_is_reported_by_line() {
    for (garbage, what) in [
        ("", "neither"),
        ("null", "neither"),
        ("{\"entry\":{}}", "form"),
        ("[[[[", "neither"),
        ("{\"checkpoint\":{}}", "missing field"),
    ] {
        let mut lines = lines(10);
        lines.insert(3, garbage.to_owned());
        let fault = check(&lines).fault.unwrap();
        assert_eq!((fault.line, fault.seq), (4, Some(3)), "{garbage}");
        assert!(matches!(&fault.wrong, Wrong::Unreadable(why) if why.contains(what)), "{garbage}: {fault}");
    }
    let long = format!("{}\n{}\n", lines(1)[0], "x".repeat(MAX_LINE + 1));
    assert_eq!(verify(long.as_bytes(), &[]).unwrap().fault.unwrap().line, 2);
    for first in [&b""[..], b"\xff\xfe", b"{}", b"PK\x03\x04", b"\n"] {
        let fault = verify(first, &[]).unwrap().fault.unwrap();
        assert!(matches!(fault.wrong, Wrong::NotAnExport(_)), "{first:?}: {fault}");
    }
}

#[test]
fn what_the_exporter_found_altered_is_named() {
    let mut lines = lines(10);
    lines[7].clear();
    export_fault(&mut lines[7], 6);
    assert_eq!(fault(&lines), (Some(6), Wrong::Altered));
}

#[test]
fn a_part_of_a_chain_is_sound_too() {
    let (chain, signer) = (acts(10), signer());
    let mut part = vec![Export::new(ORG, 4, 10, chain[2].hash, signer.public()).line()];
    part.extend(lines(10).drain(4..));
    let report = check(&part);
    assert_eq!((report.fault, report.first, report.last), (None, Some(4), Some(10)));
    part[0] = Export::new(ORG, 4, 10, chain[1].hash, signer.public()).line();
    assert!(matches!(fault(&part), (None, Wrong::Header(_))));
}

proptest! {
    #[test]
    fn one_changed_byte_anywhere_is_found(at in 0.0..1.0_f64, flip in 1..=255_u8) {
        let mut bytes = lines(6).join("\n").into_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                 reason = "a fraction of a small length is a valid index")]
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= flip;
        prop_assert!(!verify(bytes.as_slice(), &[]).unwrap().is_sound());
    }

    #[test]
    fn any_bytes_give_a_report(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(!verify(bytes.as_slice(), &[]).unwrap().is_sound());
    }
}

fn kept(signer: &Signer, chain: &[Linked], seq: usize) -> Checkpoint {
    let line = checkpoint(signer, chain[seq - 1].seq, chain[seq - 1].hash, 1);
    Checkpoint::read_line(&line).unwrap().0
}

#[test]
fn a_log_that_was_signed_anew_does_not_pass_for_the_one_before() {
    let (chain, signer) = (acts(10), signer());
    let file = write_up(&chain, &signer).join("\n");
    let with = |points: &[Checkpoint]| verify_against(file.as_bytes(), &[], points).unwrap();
    let good = [kept(&signer, &chain, 3), kept(&signer, &chain, 3), kept(&signer, &chain, 10)];
    let report = with(&good);
    assert_eq!((report.fault, report.compared), (None, 3));

    let longer = acts(12);
    let fault = with(&[kept(&signer, &longer, 12)]).fault.unwrap();
    assert_eq!((fault.seq, fault.wrong), (Some(10), Wrong::EndsBeforeKept { covered: 12 }));
    let other = Checkpoint { hash: Hash::from_bytes([1; 32]), ..kept(&signer, &chain, 5) };
    let fault = with(&[other]).fault.unwrap();
    assert_eq!((fault.seq, fault.wrong), (Some(5), Wrong::NotAsKept));
    let foreign = Checkpoint { org: OrgId::from_bits(6), ..kept(&signer, &chain, 5) };
    assert!(matches!(with(&[foreign]).fault.unwrap().wrong, Wrong::Header(_)));
}

#[test]
fn only_a_whole_checkpoint_is_read() {
    let line = checkpoint(&signer(), 1, Hash::from_bytes([2; 32]), 1);
    assert!(Checkpoint::read_line(&line).is_ok());
    for (bad, why) in [
        (String::new(), "another form"),
        ("null".to_owned(), "another form"),
        ("[".repeat(4000), "another form"),
        (line.replace("\"seq\":1", "\"seq\":-1"), "another form"),
        (line.replace(':', ": "), "rewritten"),
        (line.replace("\"seq\":1", "\"seq\":2"), "signature"),
        (" ".repeat(MAX_CHECKPOINT + 1), "longer"),
    ] {
        let told = Checkpoint::read_line(&bad).unwrap_err().to_string();
        assert!(told.contains(why), "{bad}: {told}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reading_of_a_checkpoint(text in ".{0,200}") {
        prop_assert!(Checkpoint::read_line(&text).is_err());
    }
}
