use serde_json::{Value, json};

use super::*;

/// Score and mode of every combination, as a program of its own has computed them (`testdata/assessment.py`).
#[test]
fn every_combination_comes_out_as_the_rules_say() {
    let table = include_str!("../../testdata/assessment.txt");
    let mut cases = 0;
    for line in table.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [size, security, cost, network] = words[..4] else { panic!("a short line: {line}") };
        for (entries, cell) in words[4..].iter().enumerate() {
            let frameworks: Vec<_> = (0..entries).map(|i| format!("framework {i}")).collect();
            let answers = json!({
                "team_size": size.parse::<u32>().unwrap(),
                "security_level": security,
                "cost_control": cost,
                "network_restrictions": network == "true",
                "compliance_requirements": frameworks,
            });
            let (points, letter) = cell.split_at(cell.len() - 1);
            let strictly = assess(&Answers::read(&answers).unwrap(), None).recommendation;
            assert_eq!(strictly.complexity_score.to_string(), points, "{line} / {entries}");
            assert!(strictly.mode.as_str().starts_with(letter), "{line} / {entries}");
            assert_eq!(assess_leniently(&answers).unwrap(), strictly, "{line} / {entries}");
            cases += 1;
        }
    }
    assert_eq!(cases, 72 * 14);
}

#[test]
fn without_answers_it_is_the_simplest() {
    let assessment = assess(&Answers::read(&json!({})).unwrap(), None);
    assert_eq!(assessment.recommendation.complexity_score, 3);
    assert_eq!(assessment.recommendation.mode, Mode::Direct);
    assert_eq!(assessment.recommendation.reason, "简单的部署方案适合您的需求");
    assert_eq!(
        assessment.recommendation.next_steps,
        ["获取 Anthropic API 密钥", "安装 Claude Code", "配置基本设置"]
    );
    assert!(assessment.analysis.agreement);
    assert!(assessment.analysis.notes.is_empty());
}

#[test]
fn the_four_fields_stand_beside_the_analysis() {
    let assessment = serde_json::to_value(assess(&Answers::default(), None)).unwrap();
    let fields: Vec<_> = assessment.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["mode", "reason", "complexity_score", "next_steps", "analysis"]);
}

fn of(answers: &Value) -> Assessment {
    assess(&Answers::read(answers).unwrap(), None)
}

/// What each factor alone recommends: the tables of the document, line by line.
#[test]
fn each_factor_recommends_what_its_table_says() {
    let recommended = |answers: Value, place: usize| {
        of(&answers).analysis.factors[place]
            .recommends
            .iter()
            .map(|m| m.as_str())
            .collect::<Vec<_>>()
            .join(" or ")
    };
    for (size, modes) in [
        (0, "direct or proxy"),
        (9, "direct or proxy"),
        (10, "proxy or gateway"),
        (100, "proxy or gateway"),
        (101, "gateway or hybrid"),
    ] {
        assert_eq!(recommended(json!({"team_size": size}), 0), modes, "{size} people");
    }
    for (level, mode) in [("low", "direct"), ("medium", "proxy"), ("high", "gateway"), ("critical", "hybrid")]
    {
        assert_eq!(recommended(json!({"security_level": level}), 1), mode);
    }
    for (names, mode) in [
        (json!([]), "direct"),
        (json!(["our own handbook"]), "proxy"),
        (json!(["SOC 2", "iso-27001"]), "proxy"),
        (json!(["SOC 2", "PCI-DSS"]), "gateway"),
        (json!(["金融"]), "gateway"),
        (json!(["HIPAA", "FedRAMP"]), "hybrid"),
        (json!(["等保四级"]), "hybrid"),
    ] {
        assert_eq!(recommended(json!({"compliance_requirements": names}), 2), mode, "{names}");
    }
    for (level, mode) in [
        ("low", "direct"),
        ("medium", "proxy"),
        ("high", "gateway"),
        ("fine_grained", "hybrid"),
        ("critical", "hybrid"),
    ] {
        assert_eq!(recommended(json!({"cost_control": level}), 3), mode);
    }
}

#[test]
fn a_stated_level_of_compliance_stands_above_what_names_suggest() {
    let strict = of(&json!({"compliance_requirements": ["our own"], "compliance_level": "strict"}));
    assert_eq!(strict.analysis.factors[2].recommends, [Mode::Hybrid]);
    assert_eq!(strict.analysis.score.compliance_requirements, 1);
}

#[test]
fn the_most_demanding_factor_is_named_where_the_score_recommends_less() {
    let eight = of(&json!({"team_size": 8, "security_level": "critical"}));
    assert_eq!(eight.recommendation.mode, Mode::Proxy);
    assert_eq!(eight.analysis.matrix_mode, Mode::Hybrid);
    assert_eq!(eight.analysis.driven_by, [FactorKind::SecurityLevel]);
    assert!(!eight.analysis.agreement);
    let told = eight.analysis.disagreement.unwrap();
    assert_eq!(told.en, "The score leads to enterprise proxy, but security alone asks for hybrid.");
    assert!(told.zh_cn.contains("安全要求") && told.zh_tw.contains("安全要求"));

    let agreed = of(&json!({
        "team_size": 500, "security_level": "critical", "cost_control": "high", "network_restrictions": true,
        "compliance_requirements": ["a", "b", "c", "d"],
    }));
    assert_eq!((agreed.recommendation.mode, agreed.analysis.matrix_mode), (Mode::Hybrid, Mode::Hybrid));
    assert!(agreed.analysis.disagreement.is_none());

    // Many small things add up to more than any of them asks for.
    let above = of(&json!({"compliance_requirements": ["a", "b", "c", "d", "e", "f", "g", "h"]}));
    assert_eq!((above.recommendation.mode, above.analysis.matrix_mode), (Mode::Gateway, Mode::Proxy));
    assert!(above.analysis.disagreement.unwrap().en.contains("no factor alone"));
}

#[test]
fn fine_grained_cost_control_never_scores_below_high() {
    let points = |level| of(&json!({"cost_control": level})).analysis.score.cost_control;
    assert_eq!((points("high"), points("fine_grained")), (3, 3));
    assert_eq!(assess_leniently(&json!({"cost_control": "critical"})).unwrap().complexity_score, 3);
}

#[test]
fn what_is_there_adds_tasks_and_no_points() {
    let bare = of(&json!({"team_size": 50}));
    let there =
        of(&json!({"team_size": 50, "existing_infrastructure": ["Squid 6", "Okta", "a Squid of the lab"]}));
    assert_eq!(bare.recommendation, there.recommendation);
    let more: Vec<_> =
        there.analysis.tasks.iter().filter_map(|t| Some((t.step.id, t.because.as_deref()?))).collect();
    assert_eq!(more, [("chain_to_proxy", "Squid 6"), ("connect_directory", "Okta")]);
}

#[test]
fn a_choice_leads_to_its_own_tasks_and_changes_no_score() {
    let choice = Choice { mode: Mode::Gateway, reason: "the regulator asks for it".to_owned() };
    let chosen = assess(&Answers::default(), Some(choice.clone()));
    assert_eq!(chosen.recommendation.mode, Mode::Direct);
    assert_eq!(chosen.analysis.choice, Some(choice));
    assert_eq!(chosen.analysis.tasks[0].step.id, "compare_gateways");
}

#[test]
fn contradictions_are_told_to_those_who_meet_them() {
    let notes = |answers| of(&answers).analysis.notes.len();
    assert_eq!(notes(json!({"team_size": 9})), 0);
    assert_eq!(notes(json!({"team_size": 10})), 1);
    assert_eq!(notes(json!({"team_size": 10, "network_restrictions": true})), 2);
    assert_eq!(notes(json!({"compliance_level": "basic"})), 1);
}

/// The same entry twice is one; the document counted two.
#[test]
fn entries_count_once() {
    let twice = json!({"compliance_requirements": ["SOC2", "SOC 2", "soc-2"]});
    assert_eq!(of(&twice).analysis.score.compliance_requirements, 1);
    assert_eq!(assess_leniently(&twice).unwrap().complexity_score, 6);
}

#[test]
fn leniency_is_the_documents_own() {
    let score = |answers| assess_leniently(&answers).unwrap().complexity_score;
    assert_eq!(score(json!({})), 3);
    assert_eq!(score(json!({"security_level": "hihg", "cost_control": 7})), 3);
    assert_eq!(score(json!({"compliance_requirements": "SOC2"})), 7);
    assert_eq!(score(json!({"team_size": -5})), 3);
    assert_eq!(score(json!({"team_size": 10.5})), 4);
    assert_eq!(score(json!({"network_restrictions": "no"})), 5);
    assert_eq!(score(json!({"unheard_of": 1})), 3);
    assert!(assess_leniently(&json!({"team_size": "many"})).is_err());
    assert!(assess_leniently(&json!([])).is_err());
}

#[test]
fn every_mistake_is_told_at_once() {
    let wrong = json!({
        "team_size": -1,
        "security_level": "hihg",
        "compliance_requirements": "SOC2",
        "cost_control": "very much",
        "network_restrictions": "no",
        "existing_infrastructure": ["fine", 7, ""],
        "teamsize": 3,
    });
    let mistakes = Answers::read(&wrong).unwrap_err();
    let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "`teamsize`: there is no such question; did you mean `team_size`?",
        "`team_size`: must be a whole number from 0 to 100000000, not -1",
        "`security_level`: must be one of `low`, `medium`, `high`, `critical`, not \"hihg\"; did you mean `high`?",
        "`compliance_requirements`: must be a list of names, such as [\"ISO 27001\"], not \"SOC2\"",
        "`cost_control`: must be one of `low`, `medium`, `high`, `fine_grained`, `critical`, not \"very much\"",
        "`network_restrictions`: must be true or false, not \"no\"",
        "`existing_infrastructure[1]`: must be a name of up to 200 characters, not 7",
        "`existing_infrastructure[2]`: must be a name of up to 200 characters, not \"\"",
    ];
    assert_eq!(told, expected);
    for other in [json!(null), json!([]), json!("SOC2"), json!(3)] {
        assert_eq!(Answers::read(&other).unwrap_err().len(), 1, "{other}");
    }
    let none = json!({"compliance_requirements": ["SOC2"], "compliance_level": "none"});
    assert_eq!(Answers::read(&none).unwrap_err()[0].field, "compliance_level");
    let many: Vec<_> = (0..201).map(|i| i.to_string()).collect();
    assert!(Answers::read(&json!({"compliance_requirements": many})).is_err());
}

/// All texts are there in all languages, and the two Chinese ones are not the same text.
#[test]
fn texts_are_in_three_languages() {
    let full = json!({
        "team_size": 500, "security_level": "critical", "cost_control": "fine_grained", "network_restrictions": true,
        "compliance_requirements": ["HIPAA"], "existing_infrastructure": ["squid", "okta", "splunk", "grafana", "postgres"],
    });
    let assessment = of(&full);
    let steps = assessment.analysis.tasks.iter().map(|task| task.step.text);
    let words: Vec<_> = steps.chain(assessment.analysis.notes).chain(Mode::ALL.map(Mode::name)).collect();
    for text in words {
        assert!(text.en.is_ascii() && !text.en.is_empty(), "{}", text.en);
        assert!(!text.zh_cn.is_ascii() && !text.zh_tw.is_ascii(), "{}", text.en);
    }
}
