//! Which known word was probably meant.

/// Longest word that is compared, in characters.
const MAX_WORD: usize = 80;

/// The candidate that is most like a word, if any is like it at all: at most one edit for every three characters, or
/// the same but for case.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = fold(word);
    if word.is_empty() || word.len() > MAX_WORD {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let folded = fold(candidate);
            let limit = (word.len().max(folded.len()) / 3).clamp(1, 4);
            let near = folded.len() <= MAX_WORD && word.len().abs_diff(folded.len()) <= limit;
            let distance = if near { distance(&word, &folded) } else { usize::MAX };
            (distance <= limit).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().take(MAX_WORD + 1).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbors between two words (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_word() {
        let known = ["permissions", "model", "availableModels", "env", "hooks"];
        for (word, found) in [
            ("permission", Some("permissions")),
            ("premissions", Some("permissions")),
            ("avaliableModels", Some("availableModels")),
            ("AVAILABLEMODELS", Some("availableModels")),
            ("modle", Some("model")),
            ("env", Some("env")),
            ("enf", Some("env")),
            ("somethingElse", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest(&"é".repeat(1000), known), None);
    }
}
