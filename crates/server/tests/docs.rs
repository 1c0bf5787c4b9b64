//! The documents tell the truth about what lies where.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Documents whose paths and links are checked.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "bench/README.md",
    "clienttests/README.md",
    "docs/ARCHITECTURE.md",
    "docs/decisions/README.md",
];

/// What a path in this repository begins with.
const ROOTS: [&str; 6] = ["crates/", "bench/", "clienttests/", "docs/", "scripts/", ".ci/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The texts between single backticks, outside of code blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The targets of links within the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#')).collect()
}

/// Whether a code span names a path: it begins with one of our folders and has no placeholder in it.
fn is_path(span: &str) -> bool {
    ROOTS.iter().any(|root| span.starts_with(root)) && !span.contains([' ', '*', '<', '{', '…'])
}

/// The names in a folder of the repository.
fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let folder = Path::new(document).parent().unwrap();
        for path in code_spans(&text).into_iter().filter(|span| is_path(span)) {
            if !root().join(path).exists() {
                missing.push(format!("{document} names `{path}`"));
            }
        }
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or(link);
            if !root().join(folder).join(path).exists() {
                missing.push(format!("{document} links to {link}"));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn the_architecture_names_every_crate() {
    let text = read("docs/ARCHITECTURE.md");
    let spans = code_spans(&text);
    for name in names_in("crates") {
        let path = format!("crates/{name}");
        assert!(spans.iter().any(|span| *span == path), "docs/ARCHITECTURE.md does not name `{path}`");
    }
}

#[test]
fn the_list_of_decisions_is_complete() {
    let text = read("docs/decisions/README.md");
    let listed: BTreeSet<String> = links(&text).into_iter().map(str::to_owned).collect();
    let mut there = names_in("docs/decisions");
    there.remove("README.md");
    assert_eq!(listed, there);
}

#[test]
fn paths_are_told_from_other_code() {
    let text = "`crates/x` and `GET /v1/models`\n```\n`crates/no`\n```\nsee [this](a.md#b), [that](https://x.example)";
    let paths: Vec<&str> = code_spans(text).into_iter().filter(|span| is_path(span)).collect();
    assert_eq!(paths, ["crates/x"]);
    assert_eq!(links(text), ["a.md#b"]);
}
