//! The journal in a process of its own: killed in the middle of everything, and on a disk that is really full.
//!
//! Each test runs this very binary once more as the process to be killed or confined, told by a variable.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is the message, and the process under test tells its parent on standard output"
)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use gatehouse_domain::exchange::{Cost, Credential, Ended, Exchange, Intent, Kind, Principal};
use gatehouse_domain::id::{ExchangeId, KeyId, OrgId, UserId};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::journal::{Journal, Options, Recovered, Refusing, Ticket};

const FOLDER: &str = "GATEHOUSE_TEST_JOURNAL_FOLDER";

fn intent(n: u128) -> Intent {
    let at = UnixMillis(1_000);
    Intent {
        id: ExchangeId::new(at, n),
        kind: Kind::Messages,
        principal: Principal {
            org: OrgId::new(at, 1),
            user: UserId::new(at, 1),
            credential: Credential::Key(KeyId::new(at, 1)),
            team: None,
            project: None,
        },
        provider: "main".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        stream: true,
        started_at: at,
        bytes_in: 400,
        estimated_input: 100,
        peer: None,
    }
}

fn exchange(n: u128) -> Exchange {
    let mut exchange = intent(n).interrupted(Cost::default());
    exchange.ended = Ended::Completed;
    exchange
}

fn start(folder: &Path) -> (Journal, Recovered) {
    let mut options = Options::new(folder.join("journal"));
    options.segment_bytes = 64 * 1024;
    Journal::start(&options, &|_| Cost::default()).unwrap()
}

fn all(journal: &Journal) -> Vec<Exchange> {
    let mut found = Vec::new();
    journal.tail(None).unwrap().read(usize::MAX, &mut found).unwrap();
    found
}

#[expect(clippy::disallowed_methods, reason = "a flush of another thread is waited for")]
fn wait(done: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    panic!("it never came to be");
}

/// The folder this process is to work in, if it is the one under test.
#[expect(clippy::disallowed_methods, reason = "this is how the parent tells the process under test")]
fn folder_of_child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// This binary, running one test only, as the process under test.
fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command
}

#[test]
fn killing_the_process_loses_nothing_it_had_promised() {
    const THREADS: u128 = 4;
    if let Some(folder) = folder_of_child() {
        return work_until_killed(&folder, THREADS);
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut opened, mut durable) = (HashSet::new(), HashSet::new());
    for run in 0..20_u32 {
        let mut child = child("killing_the_process_loses_nothing_it_had_promised", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed at another moment each time; what was said before that is read all the same.
        for (count, line) in lines.map_while(Result::ok).enumerate() {
            match line.split_once(' ').map(|(what, id)| (what, id.parse::<u128>())) {
                Some(("opened", Ok(id))) => _ = opened.insert(id),
                Some(("durable", Ok(id))) => _ = durable.insert(id),
                _ => {}
            }
            if count == 30 + usize::try_from(run).unwrap() * 37 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    assert!(durable.len() > 1_000, "{} were durable", durable.len());
    let (journal, recovered) = start(folder.path());
    assert_eq!(recovered.lost, 0);
    let mut times: HashMap<ExchangeId, (u32, Ended)> = HashMap::new();
    for found in all(&journal) {
        times.entry(found.id).or_insert((0, found.ended)).0 += 1;
    }
    for id in durable {
        assert_eq!(times.get(&intent(id).id), Some(&(1, Ended::Completed)), "durable {id}");
    }
    for id in opened {
        assert_eq!(times.get(&intent(id).id).map(|t| t.0), Some(1), "opened {id}");
    }
    assert!(times.values().all(|(count, _)| *count == 1));
}

/// Opens and ends exchanges on some threads and says what has been promised, until the end.
fn work_until_killed(folder: &Path, threads: u128) {
    let (journal, recovered) = start(folder);
    assert_eq!(recovered.lost, 0);
    let journal = Arc::new(journal);
    let run = u128::from(journal.durable().0) << 32;
    let say = |what: &str, id: u128| {
        let _ = writeln!(std::io::stdout().lock(), "{what} {id}");
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let journal = Arc::clone(&journal);
            scope.spawn(move || {
                for n in 0..100_000 {
                    // Twelve bytes of the identifier are random, so this is different in each run.
                    let id = (run + thread * 1_000_000 + n) & ((1 << 80) - 1);
                    wait(|| journal.ready().is_ok());
                    if journal.open(&intent(id)).is_err() {
                        continue;
                    }
                    say("opened", id);
                    let ticket = journal.close(&exchange(id));
                    wait(|| journal.durable() >= ticket);
                    say("durable", id);
                }
            });
        }
    });
}

/// In a file system of its own, 420 KB in size: streams that run when it is full can end, nothing new begins, and when
/// there is room again everything goes on.
#[test]
fn a_disk_that_is_really_full_stops_only_what_is_new() {
    const TEST: &str = "a_disk_that_is_really_full_stops_only_what_is_new";
    if let Some(folder) = folder_of_child() {
        return work_on_a_full_disk(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let confined = Command::new("unshare")
        .args([
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            r#"mount -t tmpfs -o size=420k tmpfs "$0" && exec "$@""#,
        ])
        .arg(folder.path())
        .arg(child(TEST, folder.path()).get_program())
        .args(child(TEST, folder.path()).get_args())
        .env(FOLDER, folder.path())
        .output();
    match confined {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("the disk was full"), "{said}");
        }
        Ok(output) if output.stderr.starts_with(b"unshare:") || output.stderr.starts_with(b"mount:") => {
            let told = b"NOT RUN ON A FULL DISK: no file system can be mounted here\n";
            std::io::stderr().write_all(told).unwrap();
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => eprintln!("NOT RUN ON A FULL DISK: {e}"),
    }
}

fn work_on_a_full_disk(folder: &Path) {
    let (journal, _) = start(folder);
    for n in 1..=5 {
        journal.open(&intent(n)).unwrap();
    }
    let full = folder.join("something else");
    let mut n = 1_000;
    let mut last = Ticket(0);
    let mut filling = std::fs::File::create(&full).unwrap();
    while filling.write_all(&[1; 4096]).is_ok() {}
    while journal.open(&intent(n)).is_ok() {
        last = last.max(journal.close(&exchange(n)));
        wait(|| journal.durable() >= last);
        n += 1;
    }
    assert_eq!(journal.ready(), Err(Refusing::NoRoom));
    println!("the disk was full after {n}");
    for n in 1..=5 {
        last = last.max(journal.close(&exchange(n)));
    }
    wait(|| journal.durable() >= last);
    // A restart on the full disk.
    let written = all(&journal).len();
    drop(journal);
    let (journal, recovered) = start(folder);
    assert_eq!((recovered.lost, recovered.interrupted, all(&journal).len()), (0, 0, written));
    std::fs::remove_file(&full).unwrap();
    wait(|| journal.ready().is_ok());
    journal.open(&intent(n)).unwrap();
    let last = journal.close(&exchange(n));
    wait(|| journal.durable() >= last);
    assert_eq!(all(&journal).len(), written + 1);
}
