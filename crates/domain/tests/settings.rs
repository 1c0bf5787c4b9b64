//! Settings documents that must be accepted and such that must be refused. Adding a case is adding a file.

#![expect(clippy::unwrap_used, reason = "in a test the failed unwrap is the message")]

use std::fs;
use std::path::{Path, PathBuf};

use gatehouse_domain::settings::lint::{Channel, Finding, ModelState, Severity};
use gatehouse_domain::settings::{Catalogue, Checksum, Document, Lint, diff, lint};
use serde_json::Value;

/// The files of a folder, by name.
fn samples(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/settings").join(folder);
    let mut samples: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    samples.sort();
    assert!(!samples.is_empty());
    samples
}

/// The errors that forbid publishing, as `code path`.
fn errors(document: &Document) -> Vec<String> {
    let catalogue = Catalogue::builtin();
    let by = Lint {
        catalogue: &catalogue,
        channel: Channel::Gateway,
        models: &|_| ModelState::Served,
        oldest_client: None,
    };
    let shown = |finding: &Finding| {
        format!("{} {}", serde_json::to_value(finding.code).unwrap().as_str().unwrap(), finding.path)
    };
    lint(document, &by).iter().filter(|finding| finding.severity == Severity::Error).map(shown).collect()
}

#[test]
fn accepted_samples_have_no_errors() {
    for (name, text) in samples("accepted") {
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(errors(&document), [""; 0], "{name}");
    }
}

#[test]
fn refused_samples_have_exactly_the_errors_they_name() {
    for (name, text) in samples("refused") {
        let sample: Value = serde_json::from_str(&text).unwrap();
        let mut expected: Vec<String> = serde_json::from_value(sample["because"].clone()).unwrap();
        let mut found = errors(&Document::from_value(sample["settings"].clone()).unwrap());
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn samples_differ_from_one_another_and_not_from_themselves() {
    let documents: Vec<Document> =
        samples("accepted").iter().map(|(_, text)| Document::parse(text.as_bytes()).unwrap()).collect();
    for (at, one) in documents.iter().enumerate() {
        for (beside, other) in documents.iter().enumerate() {
            assert_eq!(diff(one, other).is_empty(), at == beside);
            assert_eq!(Checksum::of(one) == Checksum::of(other), at == beside);
        }
    }
}

/// The public samples of the schema of the client's settings (`SchemaStore` has them): a folder with `positive` and `negative`.
/// `None` when there is none, which is said aloud.
#[expect(clippy::disallowed_methods, reason = "the samples' place comes from the environment")]
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn public_samples() -> Option<PathBuf> {
    let folder = std::env::var("GATEHOUSE_TEST_SETTINGS_SAMPLES").ok().map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT TESTED on public samples: GATEHOUSE_TEST_SETTINGS_SAMPLES is not set");
    }
    folder
}

#[test]
fn public_samples_come_out_right() {
    let Some(folder) = public_samples() else { return };
    let mut counts = [0, 0];
    for (kind, count) in ["positive", "negative"].into_iter().zip(&mut counts) {
        for entry in fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let refused = match Document::parse(&fs::read(&path).unwrap()) {
                Ok(document) => !errors(&document).is_empty(),
                Err(_) => true,
            };
            assert_eq!(refused, kind == "negative", "{}", path.display());
            *count += 1;
        }
    }
    let [accepted, refused] = counts;
    assert!(accepted >= 21 && refused >= 17, "{accepted} accepted, {refused} refused");
}
