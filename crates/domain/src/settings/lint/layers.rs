//! What came out of a merge otherwise than its layers wanted, or than is safe.

use super::{Code, Details, Finding, Findings, MAX_FINDINGS, path_of};
use crate::settings::catalogue::Catalogue;
use crate::settings::merge::{Act, Leaf, Merged, Refusal};

/// Checks a merge: values that a lock or a deny-list refused, values that others override, and credentials of a stronger
/// layer that a weaker one sends elsewhere.
pub fn lint_merge(merged: &Merged, catalogue: &Catalogue) -> Vec<Finding> {
    let mut found = Findings::default();
    for leaf in merged.leaves() {
        check_history(&leaf, &mut found);
    }
    check_credentials(merged, catalogue, &mut found);
    found.sorted()
}

fn check_history(leaf: &Leaf<'_>, found: &mut Findings) {
    for event in leaf.events {
        let Act::Refused { why, .. } = &event.act else { continue };
        let (code, expected, hint) = match why {
            Refusal::Locked(lock) => (Code::RefusedByLock, lock.by.to_string(), lock.path.to_string()),
            Refusal::OnlyGrows => (Code::RefusedDenyList, String::new(), String::new()),
        };
        found.add(code, leaf.path, Details { given: event.layer.to_string(), expected, hint });
    }
    let by: Vec<String> = leaf.decided_by().iter().map(ToString::to_string).collect();
    for layer in leaf.overridden().into_iter().filter(|_| !by.is_empty()) {
        found.about(Code::Shadowed, leaf.path, &layer.to_string(), &by.join(", "));
    }
}

/// A weaker layer that decides where a stronger layer's credential goes. The client keeps sources apart that way; layers
/// reach it as one source.
fn check_credentials(merged: &Merged, catalogue: &Catalogue, found: &mut Findings) {
    let env = path_of("env");
    let variable = |leaf: &Leaf<'_>| {
        let is_variable = leaf.path.parent().as_ref() == Some(&env);
        leaf.path.last_key().filter(|_| is_variable).map(str::to_owned)
    };
    let standing: Vec<Leaf<'_>> = merged.leaves().filter(|leaf| !leaf.decided_by().is_empty()).collect();
    let credentials = standing.iter().filter_map(|leaf| match variable(leaf) {
        Some(name) => catalogue.env().is_secret(&name).then(|| (leaf, name.starts_with("OTEL_"))),
        None if *leaf.path == path_of("otelHeadersHelper") => Some((leaf, true)),
        None => (*leaf.path == path_of("apiKeyHelper")).then_some((leaf, false)),
    });
    // Far more than anybody has; the bound keeps the pairs few.
    let credentials: Vec<_> = credentials.take(MAX_FINDINGS).collect();
    for target in &standing {
        if found.is_full() {
            return;
        }
        let Some(name) = variable(target).filter(|name| catalogue.env().redirects(name)) else { continue };
        let of_telemetry = name.starts_with("OTEL_");
        for (credential, _) in credentials.iter().filter(|(_, telemetry)| *telemetry == of_telemetry) {
            let (holders, redirectors) = (credential.decided_by(), target.decided_by());
            let weaker =
                redirectors.into_iter().find(|layer| holders.iter().any(|holder| holder.outranks(layer)));
            if let Some(layer) = weaker {
                let expected = credential.path.to_string();
                found.about(Code::CredentialRedirected, target.path, &layer.to_string(), &expected);
            }
        }
    }
}
