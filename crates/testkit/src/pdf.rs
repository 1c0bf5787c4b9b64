//! PDF documents as programs of others read them: poppler's `pdftotext`, and `qpdf`.

use std::io::ErrorKind;
use std::process::{Command, Output};

/// What is on the pages, a line for each line, the columns of a table apart; a form feed ends each page. `None` where there
/// is no poppler, which is said aloud.
///
/// # Panics
/// When it cannot read the document, or complains.
pub fn text(document: &[u8]) -> Option<String> {
    let output =
        run("pdftotext", &["-layout", "-enc", "UTF-8"], document, &["-"], "poppler-utils and poppler-data")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "pdftotext: {complaint}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What the document says of itself: title, author, dates, whether it is tagged. `None` where there is no poppler, which
/// is said aloud.
///
/// # Panics
/// When it cannot read the document.
pub fn info(document: &[u8]) -> Option<String> {
    let output = run("pdfinfo", &["-isodates"], document, &[], "poppler-utils")?;
    assert!(output.status.success(), "pdfinfo: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Checks the document's structure. Where there is no qpdf it is said aloud.
///
/// # Panics
/// When something is wrong with it.
pub fn check(document: &[u8]) {
    let Some(output) = run("qpdf", &["--check"], document, &[], "qpdf") else { return };
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("WARNING"), "qpdf: {told}");
}

/// Runs a program on the document; its package is told where it is missing.
#[expect(clippy::print_stderr, reason = "a part that is not tested must be named")]
fn run(program: &str, before: &[&str], document: &[u8], after: &[&str], package: &str) -> Option<Output> {
    let folder = crate::folder();
    let file = folder.path().join("document.pdf");
    std::fs::write(&file, document).unwrap();
    match Command::new(program).args(before).arg(&file).args(after).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!(
                "NOT TESTED by {program}: it is not there (Debian: {package}; scripts/test installs it)"
            );
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}
