use gatehouse_domain::data_class::DataClasses;
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
    TeamModels {
        id: TeamId::from_bits(n),
        name: name.to_owned(),
        models: ModelScope::only(models).unwrap(),
        data_class: None,
    }
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
    Compiled::new(
        &stored,
        teams,
        people,
        vec![RuledProject { id: ProjectId::from_bits(7), name: "Apollo".to_owned(), data_class: None }],
    )
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
    let (classes, raised) = (&DataClasses::default(), Level::default());
    let verdict =
        rules.decide(&Question { principal, model, provider: "main", peer, stream: true, classes, raised });
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
        (&"(".repeat(30_000), "too involved"),
    ] {
        let why = check("a", text).unwrap_err();
        assert!(why.contains(told), "{}: {why}", &text[..text.len().min(80)]);
    }
}

/// A model that is forbidden was to be had by another name: with its date, in capitals, as another provider writes it.
#[test]
fn a_forbidden_model_is_forbidden_by_every_name() {
    let rules = compiled(
        &[("no-opus", r#"forbid (principal, action, resource == Model::"claude-opus-5-5");"#)],
        plain_teams(),
    );
    for name in [
        OPUS,
        "claude-opus-5-5-20261001",
        "claude-opus-5-5-latest",
        "CLAUDE-OPUS-5-5",
        "claude-opus-5-5[1m]",
        "claude-opus-5-5@20261001",
        "us.anthropic.claude-opus-5-5-20261001-v1:0",
        "models/claude-opus-5-5",
    ] {
        assert_eq!(asked(&rules, &principal(1), name, "10.0.0.1"), (false, by_policy("no-opus")), "{name}");
    }
    assert!(asked(&rules, &principal(1), "claude-haiku-5-5-20261001", "10.0.0.1").0);
}

/// What is permitted is permitted by the name that stands there, and by no other.
#[test]
fn a_permit_by_name_is_not_stretched_and_not_narrowed() {
    let named = r#"permit (principal, action, resource == Model::"us.anthropic.claude-haiku-5-5-v1:0");"#;
    let rules = compiled(&[(DEFAULT, named)], plain_teams());
    let ask = |name| asked(&rules, &principal(1), name, "10.0.0.1");
    assert_eq!(ask("us.anthropic.claude-haiku-5-5-v1:0"), (true, by_policy(DEFAULT)));
    for name in [HAIKU, "US.anthropic.claude-haiku-5-5-v1:0", OPUS] {
        assert_eq!(ask(name), (false, Rule::NothingPermits), "{name}");
    }
}

#[test]
fn whom_the_rules_do_not_know_they_let_nothing_do() {
    let forbid = r#"forbid (principal == User::"eve@example.com", action, resource);"#;
    for rules in
        [compiled(&[("not-eve", forbid)], plain_teams()), compiled(&[], vec![team(1, "Core", &[OPUS])])]
    {
        assert_eq!(asked(&rules, &principal(99), OPUS, "10.0.0.1"), (false, Rule::NothingPermits));
    }
}

/// Policies that would take the parser or the evaluator deep, or a request long.
#[test]
fn what_is_too_involved_is_refused_before_it_is_parsed() {
    let long = |unit: &str, n: usize, end: &str| {
        format!("permit (principal, action, resource) when {{ {}{end} }};", unit.repeat(n))
    };
    for text in [
        long("(", 15_000, "true"),
        long("[", 15_000, "true"),
        long("!", 15_000, "true"),
        long("true && ", 3_900, "true"),
        long("true || ", 3_900, "true"),
        long("if true then true else ", 1_300, "true"),
        long("-", 15_000, "1 == 1"),
        long("1 + ", 8_000, "1 == 1"),
        format!("permit (principal, action, resource) when {{ resource.name{} }};", ".name".repeat(6_000)),
    ] {
        let told = check("deep", &text).unwrap_err();
        assert!(told.contains("too involved"), "{told:.200}");
    }
    // As deep as it may be: parsed, checked and evaluated on a small stack.
    let deepest = long("(", 28, &format!("true{}", ")".repeat(28)));
    let longest = long("true && ", 450, "true");
    for text in [deepest, longest, long("!", 900, "true")] {
        let small = std::thread::Builder::new().stack_size(2 << 20);
        let ran = small.spawn(move || {
            if check("deep", &text).is_ok() {
                let rules = compiled(&[("deep", &text)], plain_teams());
                asked(&rules, &principal(1), OPUS, "10.0.0.1");
            }
        });
        ran.unwrap().join().unwrap();
    }
    // Brackets and operators in a string are text.
    let text = format!(
        r#"forbid (principal, action, resource) when {{ resource.name == "{}" }};"#,
        "((!".repeat(500)
    );
    assert!(check("text", &text).is_ok());
}

#[test]
fn a_pattern_of_many_stars_takes_no_longer_than_a_plain_one_by_much() {
    let stars = "a*".repeat(2_000);
    let text = format!(r#"forbid (principal, action, resource) when {{ resource.name like "{stars}b" }};"#);
    assert!(check("stars", &text).is_ok());
    let rules = compiled(&[("stars", &text)], plain_teams());
    assert!(asked(&rules, &principal(1), &"a".repeat(200), "10.0.0.1").0);
}

/// Core is confidential, Web internal, Apollo public.
fn classified(policies: &[(&str, &str)]) -> Compiled {
    let stored: Vec<AccessPolicy> = policies.iter().map(|(name, text)| policy(name, text)).collect();
    let class = |class: &str| Some(class.to_owned());
    let teams = vec![
        TeamModels { data_class: class("confidential"), ..team(1, "Core", &[]) },
        TeamModels { data_class: class("internal"), ..team(2, "Web", &[]) },
        TeamModels { data_class: class("long-gone"), ..team(3, "Old", &[]) },
    ];
    let person = |n, email: &str, teams: &[u128]| Person {
        id: UserId::from_bits(n),
        email: email.to_owned(),
        teams: teams.iter().copied().map(TeamId::from_bits).collect(),
    };
    let people = vec![person(1, "ada@example.com", &[1, 2]), person(3, "eve@example.com", &[])];
    let id = ProjectId::from_bits(7);
    let projects = vec![RuledProject { id, name: "Apollo".to_owned(), data_class: class("public") }];
    Compiled::new(&stored, teams, people, projects)
}

/// A policy that lets through what has this class and level, and nothing else.
fn only(class: &str, level: u8) -> String {
    format!(
        "permit (principal, action, resource) when {{ context.data_class == \"{class}\" && context.data_level == {level} }};"
    )
}

#[test]
fn the_class_is_the_highest_of_project_team_and_client() {
    let classes = DataClasses::default();
    for (user, team, project, said, class, level) in [
        (1, None, None, "public", "confidential", 2),
        (1, Some(2), None, "public", "internal", 1),
        (1, Some(2), Some(7), "public", "internal", 1),
        (1, Some(1), Some(7), "internal", "confidential", 2),
        (1, Some(2), None, "restricted", "restricted", 3),
        (3, None, Some(7), "public", "public", 0),
        (3, None, None, "public", "public", 0),
        (3, None, None, "confidential", "confidential", 2),
        (3, None, None, "no such class", "unlisted", 4),
        (3, Some(3), None, "restricted", "unlisted", 4),
    ] {
        let rules = classified(&[("default", &only(class, level))]);
        let principal = Principal {
            team: team.map(TeamId::from_bits),
            project: project.map(ProjectId::from_bits),
            ..principal(user)
        };
        let question = Question {
            principal: &principal,
            model: OPUS,
            provider: "main",
            peer: None,
            stream: true,
            classes: &classes,
            raised: classes.level_of(said),
        };
        assert!(rules.decide(&question).allowed, "{user} {team:?} {project:?} {said}");
        assert_eq!(rules.class_of(&question).0.number(), level);
    }
}

#[test]
fn a_policy_that_might_ask_for_the_class_is_told_it() {
    for text in [
        "permit (principal, action, resource) when { context.data_level < 3 };",
        "permit (principal, action, resource) when { context[\"data_level\"] < 3 };",
        "permit (principal, action, resource) when { context[\"data\\u{5f}level\"] < 3 };",
        "permit (principal, action, resource) when { context . data_level < 3 };",
        "permit (principal, action, resource) when { context has data_level && context.data_level < 3 };",
        "permit (principal, action, resource) when { (context).data_level < 3 };",
        "permit (principal, action, resource) when { (if true then context else context).data_class != \"x\" };",
    ] {
        let rules = classified(&[("default", text)]);
        assert!(rules.speaks_of_classes(), "{text}");
        assert_eq!(check("x", text), Ok(Effect::Permit), "{text}");
        assert_eq!(asked(&rules, &principal(1), OPUS, "192.0.2.1"), (true, by_policy("default")), "{text}");
    }
    for text in [
        "permit (principal, action, resource);",
        "permit (principal, action, resource) when { context.stream && context has team && context.team == Team::\"a\" };",
        "forbid (principal, action, resource) when { context.network.isLoopback() };",
    ] {
        assert!(!classified(&[("x", text)]).speaks_of_classes(), "nothing is found out for {text}");
    }
    assert!(check("x", "forbid (principal, action, resource) when { context.data_level > \"a\" };").is_err());
}
