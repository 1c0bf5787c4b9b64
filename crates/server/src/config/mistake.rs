//! Mistakes in the configuration, told so that they can be mended: where, which setting, what, and what instead.

use std::fmt;

use super::tree::Origin;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    origin: Origin,
    path: String,
    what: String,
}

impl Mistake {
    /// Takes where it was written, the setting's path (may be empty) and what is wrong with it.
    pub(crate) fn new(origin: Origin, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { origin, path: path.into(), what: what.into() }
    }

    /// Its line in the file; mistakes that are in no file come last.
    pub(crate) const fn line(&self) -> usize {
        match self.origin {
            Origin::File(_, line) => line,
            Origin::Default | Origin::Variable(_) | Origin::Flag(_) => usize::MAX,
        }
    }
}

/// `gatehouse.toml:12: gateway.workers: expected a whole number, found a text`.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

/// All mistakes of a configuration, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        let n = self.0.len();
        write!(f, "{n} mistake{} in the configuration", if n == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Mistakes {}

/// The known name that somebody probably meant.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect();
    known
        .into_iter()
        .map(|name| (distance(&given, name), name))
        .filter(|(far, name)| *far <= (name.len().min(given.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Edits from one text to another: insertions, deletions, substitutions and swaps of neighbors
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probable_name_is_found_and_no_far_one() {
        let known = ["max_body_mib", "workers", "idle_seconds", "url"];
        for (given, meant) in [
            ("max_body_mbi", Some("max_body_mib")),
            ("max-body-mib", Some("max_body_mib")),
            ("worker", Some("workers")),
            ("ulr", Some("url")),
            ("idle_secs", Some("idle_seconds")),
            ("password", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(given, known), meant, "{given}");
        }
    }
}
