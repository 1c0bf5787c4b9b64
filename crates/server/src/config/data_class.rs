//! `[data_class]`.

use gatehouse_domain::data_class::DataClasses;
use http::HeaderName;

use super::read::Section;

/// Headers that mean something else, or go on to providers.
const TAKEN: [&str; 6] =
    ["x-api-key", "x-app", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-should-retry"];
/// Beginnings of headers that go on to providers or mean something else.
const TAKEN_STARTS: [&str; 3] = ["x-stainless-", "x-claude-code-", "x-amz"];

/// How sensitive data can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataClass {
    /// The classes, the least sensitive first.
    pub(crate) order: DataClasses,
    /// The header in which a client may say a higher class.
    pub(crate) header: Option<HeaderName>,
}

/// Reads `[data_class]`.
pub(crate) fn data_class(s: &Section<'_, '_>) -> DataClass {
    let order = DataClasses::new(&s.texts("order")).unwrap_or_else(|why| {
        s.mistake("order", why.to_string());
        DataClasses::default()
    });
    let header = s.text("header").and_then(|text| {
        let read = header(text);
        if read.is_none() {
            let told = format!(
                "`{}` cannot be the header of data classes: expected a name that begins with `x-` and that nothing else uses, such \
                 as x-data-class",
                text.chars().take(64).collect::<String>()
            );
            s.mistake("header", told);
        }
        read
    });
    DataClass { order, header }
}

fn header(text: &str) -> Option<HeaderName> {
    let name = text.parse::<HeaderName>().ok()?;
    let given = name.as_str();
    let taken = TAKEN.contains(&given) || TAKEN_STARTS.iter().any(|start| given.starts_with(start));
    (given.starts_with("x-") && given.len() <= 64 && !taken).then_some(name)
}
