//! What Anthropic calls a model that a cloud names in its own way.

use std::borrow::Cow;

/// The name under which a model is priced: without the geography and the vendor in front, the revision behind, and with a
/// hyphen before the date. A name that is none of a cloud's comes back as it is.
pub fn first_party(model: &str) -> Cow<'_, str> {
    let name = match model.split_once("anthropic.") {
        Some((before, name)) if before.is_empty() || before.ends_with('.') => name,
        _ => model,
    };
    let name = match name.rsplit_once("-v") {
        Some((start, revision))
            if name.len() < model.len()
                && !revision.is_empty()
                && revision.bytes().all(|b| b.is_ascii_digit() || b == b':') =>
        {
            start
        }
        _ => name,
    };
    if name.contains('@') { Cow::Owned(name.replace('@', "-")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::first_party;

    #[test]
    fn names_of_the_clouds_are_recognized() {
        for (given, expected) in [
            ("claude-opus-5-5", "claude-opus-5-5"),
            ("anthropic.claude-opus-5-5", "claude-opus-5-5"),
            ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
            ("global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
            ("my-model-v2", "my-model-v2"),
            ("notanthropic.x-v1", "notanthropic.x-v1"),
        ] {
            assert_eq!(first_party(given), expected);
        }
    }
}
