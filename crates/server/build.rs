//! Lists the conformance corpus, so that a case is added by adding a file.

use std::fmt::Write as _;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "this is how Cargo is spoken to")]
fn main() {
    let folder = Path::new("../../conformance");
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let mut files: Vec<_> = files.filter_map(|file| file.ok()?.path().canonicalize().ok()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in &files {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("names of cases are text");
        writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string())
            .expect("into memory");
    }
    list.push(']');
    let out = std::env::var("OUT_DIR").expect("cargo says where");
    std::fs::write(Path::new(&out).join("conformance.rs"), list).expect("cargo's folder can be written to");
}
