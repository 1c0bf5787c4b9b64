//! What crashes and bad disks leave behind.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::*;

fn file_of(folder: &TempDir, segment: u64) -> PathBuf {
    folder.path().join(format!("journal/{segment:08}.seg"))
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

/// Ends so many exchanges, each flushed, and gives where each ends.
fn write(journal: &Journal, count: u128) -> Vec<Position> {
    let one = |n| {
        wait_durable(journal, journal.close(&exchange(n)));
        journal.stats().durable
    };
    (0..count).map(one).collect()
}

#[test]
fn a_flipped_byte_costs_one_entry_and_is_told() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let ends = write(&journal, 20);
    drop(journal);
    let file = file_of(&folder, ends[9].segment);
    let bytes = fs::read(&file).unwrap();
    let at = usize::try_from(ends[9].offset - 3).unwrap();
    overwrite(&file, ends[9].offset - 3, &[bytes[at] ^ 0x10]);
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.lost, recovered.lost_at_end, recovered.entries), (1, 1, 19));
    let mut found = Vec::new();
    let mut tail = journal.tail(None).unwrap();
    tail.read(usize::MAX, &mut found).unwrap();
    let expected: Vec<_> = (0..20).filter(|n| *n != 9).map(|n| exchange(n).id).collect();
    assert_eq!((found.iter().map(|e| e.id).collect::<Vec<_>>(), tail.lost()), (expected, 1));
    wait_durable(&journal, journal.close(&exchange(100)));
    assert_eq!(all(&journal, None).len(), 20, "it goes on behind the damage");
    drop(journal);
    let (_, recovered) = start(&folder);
    assert_eq!((recovered.lost, recovered.lost_at_end), (1, 0), "no power cut takes what an earlier run had");
}

#[test]
fn a_segment_without_its_beginning_is_told_and_the_rest_is_read() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let ends = write(&journal, 1_000);
    drop(journal);
    let (first, last) = (ends[0].segment, ends[999].segment);
    assert!(last >= first + 2, "{last}");
    let lost = ends.iter().filter(|end| end.segment == first + 1).count();
    overwrite(&file_of(&folder, first + 1), 3, b"not a frame");
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.unreadable_segments, recovered.lost), (1, lost as u64));
    assert_eq!(all(&journal, None).len(), 1_000 - lost);
}

#[test]
fn damage_in_a_segment_that_was_gone_on_from_is_not_at_the_end() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let ends = write(&journal, 600);
    drop(journal);
    assert!(ends[599].segment > ends[9].segment);
    overwrite(&file_of(&folder, ends[9].segment), ends[9].offset - 3, b"XYZ");
    let (_, recovered) = start(&folder);
    assert_eq!((recovered.lost, recovered.lost_at_end), (1, 0));
}

#[test]
fn a_segment_that_begins_with_zeros_is_neither_removed_nor_written_over() {
    for from_the_end in [0, 1] {
        let folder = TempDir::new().unwrap();
        let (journal, _) = start(&folder);
        let ends = write(&journal, 1_000);
        drop(journal);
        let segment = ends[999].segment - from_the_end;
        let in_it = ends.iter().filter(|end| end.segment == segment).count();
        assert!(in_it > 10, "{in_it}");
        let file = file_of(&folder, segment);
        // A page that the disk has forgotten.
        overwrite(&file, 0, &[0; 4096]);
        let before = fs::read(&file).unwrap();
        let (journal, recovered) = start(&folder);
        assert_eq!(recovered.unreadable_segments, 1);
        write(&journal, 5);
        assert_eq!(fs::read(&file).unwrap(), before);
        assert_eq!(all(&journal, None).len(), 1_000 - in_it + 5);
    }
}

#[test]
fn a_newest_segment_without_its_beginning_is_not_written_over() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let ends = write(&journal, 5);
    drop(journal);
    let file = file_of(&folder, ends[0].segment);
    overwrite(&file, 3, b"not a frame");
    let before = fs::read(&file).unwrap();
    let (journal, recovered) = start(&folder);
    assert_eq!(recovered.unreadable_segments, 1);
    write(&journal, 5);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(all(&journal, None).len(), 5);
}

#[test]
fn frames_of_a_killed_run_behind_the_end_do_not_come_back() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = start(&folder);
    let ends = write(&journal, 3);
    drop(journal);
    let file = file_of(&folder, ends[0].segment);
    // The first run's second frame is torn, its third is whole, as when a disk writes out of order.
    let third = fs::read(&file).unwrap()
        [usize::try_from(ends[1].offset).unwrap()..usize::try_from(ends[2].offset).unwrap()]
        .to_vec();
    overwrite(&file, ends[0].offset, &vec![0; 60_000]);
    let (journal, _) = start(&folder);
    let ends = write(&journal, 2);
    drop(journal);
    overwrite(&file, ends[1].offset, &third);
    let (journal, recovered) = start(&folder);
    assert_eq!((recovered.entries, recovered.lost), (3, 0));
    assert_eq!(all(&journal, None).len(), 3);
}

#[test]
fn a_foreign_folder_is_refused_or_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("journal")).unwrap();
    for name in ["README", "x.seg", "00000007.new", "99999999999999999999999.seg"] {
        fs::write(folder.path().join("journal").join(name), b"something").unwrap();
    }
    let (journal, recovered) = start(&folder);
    assert_eq!(recovered, Recovered::default());
    write(&journal, 2);
    drop(journal);
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let told = Journal::start(&Options::new(&file), &|_| Cost::default()).unwrap_err().to_string();
    assert!(told.contains("cannot start the journal in") && told.contains("file"), "{told}");
}

/// What a test does next.
#[derive(Debug, Clone)]
enum Act {
    Open(u8),
    Close(u8),
    Wait,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any::<u8>().prop_map(Act::Open),
        8 => any::<u8>().prop_map(Act::Close),
        2 => Just(Act::Wait),
        1 => Just(Act::Restart),
    ]
}

/// Copies the folder file by file, as it is at that moment, while the journal goes on.
fn copy(from: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    fs::create_dir(to.path().join("journal")).unwrap();
    for entry in fs::read_dir(from.path().join("journal")).unwrap() {
        let entry = entry.unwrap();
        // A file may get another name in between; what it held had been passed then.
        let _ = fs::copy(entry.path(), to.path().join("journal").join(entry.file_name()));
    }
    to
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happened before a crash: what was durable is there exactly once, and nothing that never was.
    #[test]
    fn what_was_durable_is_there_once_after_a_crash(
        acts in proptest::collection::vec(act(), 1..250),
        torn in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let folder = TempDir::new().unwrap();
        let mut journal = start(&folder).0;
        let mut closed: Vec<(u128, Ticket)> = Vec::new();
        let mut opened = Vec::new();
        for (step, act) in (0_u128..).zip(acts) {
            match act {
                Act::Open(n) => {
                    let id = step * 1_000 + u128::from(n);
                    journal.open(&intent(id)).unwrap();
                    opened.push(id);
                }
                Act::Close(n) => {
                    let id = match opened.len() {
                        0 => step * 1_000 + u128::from(n),
                        open => opened.swap_remove(usize::from(n) % open),
                    };
                    closed.push((id, journal.close(&exchange(id))));
                }
                Act::Wait => closed.last().map_or((), |(_, last)| wait_durable(&journal, *last)),
                Act::Restart => {
                    drop(journal);
                    let (again, recovered) = start(&folder);
                    prop_assert_eq!((recovered.interrupted, recovered.lost), (opened.len() as u64, 0));
                    closed.extend(opened.drain(..).map(|id| (id, again.durable())));
                    journal = again;
                }
            }
        }
        // The crash: a copy as of now, with something torn behind its end.
        let durable = journal.durable();
        let crashed = copy(&folder);
        drop(journal);
        let end = {
            let (journal, _) = start(&copy(&crashed));
            journal.stats().durable
        };
        let file = file_of(&crashed, end.segment);
        if end.offset + 300 < SEGMENT && !torn.is_empty() {
            let scan = fs::read(&file).unwrap();
            let rest = &scan[usize::try_from(end.offset).unwrap()..];
            prop_assert!(rest.len() > 300);
            overwrite(&file, end.offset + 26, &torn);
        }
        let (journal, recovered) = start(&crashed);
        prop_assert_eq!(recovered.lost, 0);
        let found = all(&journal, None);
        for (id, ticket) in &closed {
            let times = found.iter().filter(|e| e.id == exchange(*id).id).count();
            if *ticket <= durable {
                prop_assert_eq!(times, 1, "exchange {} is durable", id);
            }
            prop_assert!(times <= 1);
        }
        // Intents survive without a flush, and each has an end now: its own or the interruption.
        for id in &opened {
            prop_assert_eq!(found.iter().filter(|e| e.id == exchange(*id).id).count(), 1);
        }
        prop_assert_eq!(found.len() - found.iter().filter(|e| e.ended == Ended::Interrupted).count(),
            found.iter().filter(|e| e.ended == Ended::Completed).count());
    }
}
