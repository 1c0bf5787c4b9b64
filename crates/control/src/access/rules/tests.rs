use gatehouse_domain::exchange::Credential;
use gatehouse_domain::id::{KeyId, OrgId};
use gatehouse_domain::model::ModelScope;
use gatehouse_domain::time::UnixMillis;

use super::*;

const OPUS: &str = "claude-opus-5-5";
const HAIKU: &str = "claude-haiku-5-5";

fn policy(name: &str, text: &str) -> AccessPolicy {
    let (name, text) = (name.to_owned(), text.to_owned());
    AccessPolicy { name, text, created_at: UnixMillis(0), changed_at: UnixMillis(0) }
}

fn team(n: u128, name: &str, models: &[&str]) -> TeamModels {
    TeamModels { id: TeamId::from_bits(n), name: name.to_owned(), models: ModelScope::only(models).unwrap() }
}

/// Ada is in Core (1) and Web (2), Bob in Core, Eve nowhere.
fn compiled(policies: &[(&str, &str)], teams: Vec<TeamModels>) -> Compiled {
    let stored: Vec<AccessPolicy> = policies.iter().map(|(name, text)| policy(name, text)).collect();
    let person = |n, email: &str, teams: &[u128]| Person {
        id: UserId::from_bits(n),
        email: email.to_owned(),
        teams: teams.iter().copied().map(TeamId::from_bits).collect(),
    };
    let people = vec![
        person(1, "ada@example.com", &[1, 2]),
        person(2, "bob@contractor.example", &[1]),
        person(3, "eve@example.com", &[]),
    ];
    Compiled::new(&stored, teams, people, vec![(ProjectId::from_bits(7), "Apollo".to_owned())])
}

fn plain_teams() -> Vec<TeamModels> {
    vec![team(1, "Core", &[]), team(2, "Web", &[])]
}

fn principal(user: u128) -> Principal {
    Principal {
        org: OrgId::from_bits(1),
        user: UserId::from_bits(user),
        credential: Credential::Key(KeyId::from_bits(1)),
        team: None,
        project: None,
    }
}

fn asked(rules: &Compiled, principal: &Principal, model: &str, from: &str) -> (bool, Rule) {
    let peer = Some(from.parse().unwrap());
    let verdict = rules.decide(&Question { principal, model, provider: "main", peer, stream: true });
    (verdict.allowed, verdict.by)
}

fn by_policy(name: &str) -> Rule {
    Rule::Policy(name.into())
}

#[test]
fn the_models_of_teams_are_those_of_the_team_charged_or_of_any_of_the_holders() {
    let rules = compiled(&[], vec![team(1, "Core", &["claude-haiku-*"]), team(2, "Web", &[OPUS])]);
    let core = Rule::Team("Core".into());
    assert_eq!(asked(&rules, &principal(2), HAIKU, "10.0.0.1"), (true, core.clone()));
    assert_eq!(asked(&rules, &principal(2), OPUS, "10.0.0.1"), (false, core.clone()));
    assert_eq!(asked(&rules, &principal(1), OPUS, "10.0.0.1"), (true, Rule::Team("Web".into())));
    let charged = Principal { team: Some(TeamId::from_bits(1)), ..principal(1) };
    assert_eq!(asked(&rules, &charged, OPUS, "10.0.0.1"), (false, core));
    assert_eq!(asked(&rules, &principal(3), OPUS, "10.0.0.1"), (true, Rule::None));
}

#[test]
fn a_forbid_wins_and_is_named() {
    let rules = compiled(
        &[
            (
                "no-opus-outside",
                r#"forbid (principal, action, resource) when { resource.name like "claude-opus-*" && !context.network.isInRange(ip("10.0.0.0/8")) };"#,
            ),
            (
                "contractors",
                r#"forbid (principal, action, resource == Model::"claude-opus-5-5") when { principal.domain == "contractor.example" };"#,
            ),
        ],
        plain_teams(),
    );
    assert_eq!(asked(&rules, &principal(1), OPUS, "10.1.2.3"), (true, by_policy("default")));
    assert_eq!(asked(&rules, &principal(1), OPUS, "192.0.2.1"), (false, by_policy("no-opus-outside")));
    assert_eq!(asked(&rules, &principal(1), OPUS, "::ffff:10.1.2.3"), (true, by_policy("default")));
    assert_eq!(asked(&rules, &principal(2), OPUS, "10.1.2.3"), (false, by_policy("contractors")));
    assert_eq!(asked(&rules, &principal(2), HAIKU, "192.0.2.1"), (true, by_policy("default")));
}

#[test]
fn another_default_permits_only_what_it_says() {
    let rules = compiled(
        &[
            ("default", r#"permit (principal in Team::"Core", action, resource in Provider::"main");"#),
            (
                "apollo",
                r#"permit (principal, action, resource) when { context has project && context.project == Project::"Apollo" };"#,
            ),
        ],
        plain_teams(),
    );
    assert_eq!(asked(&rules, &principal(2), OPUS, "10.0.0.1"), (true, by_policy("default")));
    assert_eq!(asked(&rules, &principal(3), OPUS, "10.0.0.1"), (false, Rule::NothingPermits));
    let apollo = Principal { project: Some(ProjectId::from_bits(7)), ..principal(3) };
    assert_eq!(asked(&rules, &apollo, OPUS, "10.0.0.1"), (true, by_policy("apollo")));
    // Somebody who was added after the rules were compiled is nobody's member.
    assert_eq!(asked(&rules, &principal(99), OPUS, "10.0.0.1"), (false, Rule::NothingPermits));
}

#[test]
fn what_cannot_be_read_or_evaluated_lets_nothing_through() {
    let unreadable = compiled(&[("odd", "permit everything")], plain_teams());
    assert_eq!(asked(&unreadable, &principal(1), OPUS, "10.0.0.1"), (false, Rule::Broken("odd".into())));
    // Written past the checks: it speaks of what there is not.
    let failing = compiled(
        &[("failing", "forbid (principal, action, resource) when { principal.shoes == 44 };")],
        plain_teams(),
    );
    assert_eq!(asked(&failing, &principal(1), OPUS, "10.0.0.1"), (false, Rule::Broken("failing".into())));
}

#[test]
fn a_text_is_checked_and_its_fault_placed() {
    assert_eq!(check("a", DEFAULT_TEXT), Ok(Effect::Permit));
    assert_eq!(check("a", "forbid (principal, action, resource);"), Ok(Effect::Forbid));
    for (text, told) in [
        ("", "line 1, column 1"),
        ("permit (principal, action, resource)", "line 1"),
        ("permit (principal,\n  akshun, resource);", "line 2, column 3"),
        ("permit (principal, action, resource) when { principal.shoes == 44 };", "shoes"),
        ("permit (principal, action, resource) when { context.network == \"10.0.0.1\" };", "type"),
        ("permit (principal == Person::\"x\", action, resource);", "Person"),
        ("permit (principal, action == Action::\"fly\", resource);", "fly"),
        ("permit (principal, action, resource) when { context.team == Team::\"Core\" };", "team"),
        ("permit (principal == ?principal, action, resource);", "template"),
        (&"(".repeat(30_000), "line"),
    ] {
        let why = check("a", text).unwrap_err();
        assert!(why.contains(told), "{}: {why}", &text[..text.len().min(80)]);
    }
}
