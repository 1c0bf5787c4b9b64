//! Settings from environment variables (`GATEHOUSE__SECTION__KEY`) and from `--set SECTION.KEY=VALUE`.

use std::collections::BTreeMap;

use super::mistake::Mistake;
use super::tree::{Node, Origin, Value};

const PREFIX: &str = "GATEHOUSE__";

/// Lays the variables over a tree.
pub(crate) fn overlay_variables(
    tree: &mut Node,
    variables: &BTreeMap<String, String>,
    mistakes: &mut Vec<Mistake>,
) {
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let origin = Origin::Variable(name.clone());
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            mistakes.push(Mistake::new(origin, "", "expected a name such as GATEHOUSE__SECTION__KEY"));
            continue;
        }
        set(tree, &path, value, origin, mistakes);
    }
    if let Some(filter) = variables.get("GATEHOUSE_LOG").filter(|filter| !filter.is_empty()) {
        let path = ["log".to_owned(), "filter".to_owned()];
        set(tree, &path, filter, Origin::Variable("GATEHOUSE_LOG".to_owned()), mistakes);
    }
}

/// Lays `SECTION.KEY=VALUE` texts from the command line over a tree.
pub(crate) fn overlay_flags(tree: &mut Node, flags: &[String], mistakes: &mut Vec<Mistake>) {
    for flag in flags {
        let Some((key, value)) = flag.split_once('=') else {
            // The text is not shown: somebody may have put a secret there.
            let what = "expected SECTION.KEY=VALUE, found no `=`";
            mistakes.push(Mistake::new(Origin::Flag(String::new()), "", what));
            continue;
        };
        let origin = Origin::Flag(key.to_owned());
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            mistakes.push(Mistake::new(origin, "", "expected SECTION.KEY=VALUE"));
            continue;
        }
        set(tree, &path, value, origin, mistakes);
    }
}

fn set(tree: &mut Node, path: &[String], value: &str, origin: Origin, mistakes: &mut Vec<Mistake>) {
    let Some((key, sections)) = path.split_last() else { return };
    let holder = match sections {
        [first, name @ ..] if first == "provider" && !name.is_empty() => {
            provider(tree, &name.join("__"), &origin)
        }
        _ => sections.iter().try_fold(tree, |node, name| node.member(name, &origin)),
    };
    match holder.map(|node| &mut node.value) {
        Some(Value::Section(members)) => {
            members.insert(key.clone(), Node { origin, value: Value::Text(value.to_owned()) });
        }
        _ => mistakes.push(Mistake::new(
            origin,
            path.join("."),
            "it is in no section, so it cannot be set here",
        )),
    }
}

/// The provider of that name, added if there is none. Names are compared as variables can write them.
fn provider<'a>(tree: &'a mut Node, name: &str, origin: &Origin) -> Option<&'a mut Node> {
    let list = tree.member("provider", origin)?;
    if matches!(&list.value, Value::Section(members) if members.is_empty()) {
        list.value = Value::List(Vec::new());
    }
    let Value::List(items) = &mut list.value else { return None };
    let at = items.iter().position(|item| item.name().is_some_and(|known| spelled(known) == spelled(name)));
    let at = at.unwrap_or_else(|| {
        let name = Node { origin: origin.clone(), value: Value::Text(name.to_ascii_lowercase()) };
        let members = BTreeMap::from([("name".to_owned(), name)]);
        items.push(Node { origin: origin.clone(), value: Value::Section(members) });
        items.len() - 1
    });
    items.get_mut(at)
}

/// A name in the letters that a variable's name can have.
fn spelled(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
