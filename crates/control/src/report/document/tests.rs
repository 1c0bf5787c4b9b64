use gatehouse_domain::id::OrgId;
use gatehouse_domain::report::statement::{Figures, Whose, digest};
use gatehouse_testkit::pdf as read;

use super::*;

const LANGUAGES: [Language; 3] =
    [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese];
/// 2026-11-02, 09:00 UTC.
const CLOSED_AT: UnixMillis = UnixMillis(1_793_610_000_000);

fn team(kind: Kind, id: &str, name: &str, requests: u64, nanos: i64) -> Line {
    let whose = Whose {
        team_id: id.to_owned(),
        team: name.to_owned(),
        user_id: format!("user_{id}"),
        user: format!("{id}@b.c"),
        provider: "anthropic".to_owned(),
        model: "claude-sonnet-5-5".to_owned(),
        ..Whose::default()
    };
    let figures = Figures { requests, cost: Nanos(nanos), ..Figures::default() };
    Line { kind, rule: String::new(), month: "2026-10".to_owned(), whose, figures }
}

fn rate() -> ExchangeRate {
    let from = "2026-10-01".parse().unwrap();
    ExchangeRate { currency: "EUR".parse().unwrap(), from, per_dollar: 920_000_000 }
}

fn closed(lines: Vec<Line>, extent: Extent) -> Whole {
    let month: Month = "2026-10".parse().unwrap();
    let statement = Statement {
        month,
        closed_at: CLOSED_AT,
        closed_by: "finance@example.com".to_owned(),
        digest: digest(OrgId::from_bits(1), month, &lines),
        lines: lines.len() as u64,
        total: gatehouse_domain::report::statement::total(&lines),
    };
    let report = chargeback::of_lines(month, Side::Team, Some(statement), &lines, Some(rate()));
    let lines = if extent == Extent::Lines { lines } else { Vec::new() };
    Whole { report, lines, intact: true }
}

fn bytes(whole: &Whole, now: i64, language: Language) -> Vec<u8> {
    pdf::written(&laid_out(whole, "Acme (Holding) 控股", UnixMillis(now), language))
}

/// The rows of a text: name, and the figures at the end without what parts thousands.
fn rows(text: &str, figures: usize) -> Vec<(String, Vec<String>)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.len().checked_sub(figures).filter(|at| *at > 0)?;
        let numbers = words[at..].iter().map(|word| word.replace(',', ""));
        let numbers: Vec<String> = numbers.collect();
        let are = numbers
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)));
        are.then(|| (words[..at].join(" "), numbers))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn the_table_on_paper_is_the_statement_to_the_last_digit() {
    let mut lines: Vec<Line> = (1..=1000)
        .map(|n| {
            team(
                Kind::Usage,
                &format!("t{n}"),
                &format!("Team {n}"),
                n * 3,
                i64::try_from(n).unwrap() * 123_456_789_011,
            )
        })
        .collect();
    lines.push(team(Kind::Adjustment, "t7", "Team 7", 2, 1));
    lines.push(team(Kind::Overhead, "t8", "Team 8", 0, -20));
    lines.push(team(Kind::Usage, "", "", 1, 5));
    let whole = closed(lines, Extent::Sums);
    for language in LANGUAGES {
        let document = bytes(&whole, 0, language);
        read::check(&document);
        let Some(text) = read::text(&document) else { continue };
        let figures = |row: &Charged| {
            let mut all = vec![row.usage.requests.to_string()];
            all.extend(
                [row.usage.cost, row.adjustment, row.overhead, row.total()].map(|amount| amount.to_string()),
            );
            all.push(rate().shown(row.total()));
            all
        };
        let name = |row: &Charged| named(&row.name, &row.id, language);
        let mut expected: Vec<_> = whole.report.rows.iter().map(|row| (name(row), figures(row))).collect();
        expected.push((TOTAL.of(language).to_owned(), figures(&whole.report.total)));
        assert_eq!(rows(&text, 6), expected, "{language:?}");
        let digest = &whole.report.statement.as_ref().unwrap().digest;
        let pages = text.matches('\u{c}').count();
        assert!(
            pages > 15 && text.matches(digest.as_str()).count() == pages + 1,
            "the digest is on every page"
        );
        for fact in
            ["2026-11-02 09:00:00 UTC", "finance@example.com", "1 USD = 0.92 EUR", "2026-10-01", "1,003"]
        {
            assert!(text.contains(fact), "{fact}: {}", &text[..2000]);
        }
        assert!(text.contains("Acme (Holding) 控股"), "{}", &text[..2000]);
    }
}

#[test]
fn every_line_is_there_if_it_is_wanted() {
    let mut lines = vec![
        team(Kind::Usage, "a", "Core", 1234, 12_345_678_901),
        team(Kind::Adjustment, "b", "Web", 1, 1),
        team(Kind::Overhead, "a", "Core", 0, -7),
    ];
    lines[1].month = "2026-09".to_owned();
    "platform".clone_into(&mut lines[2].rule);
    let whole = closed(lines.clone(), Extent::Lines);
    for language in LANGUAGES {
        let document = bytes(&whole, 0, language);
        read::check(&document);
        let Some(text) = read::text(&document) else { continue };
        let lines = text.split('\u{c}').nth(1).unwrap();
        let figures: Vec<_> = rows(lines, 2).into_iter().map(|(_, figures)| figures).collect();
        let expected =
            [["1234", "12.345678901"], ["1", "0.000000001"], ["0", "-0.000000007"], ["1235", "12.345678895"]];
        assert_eq!(figures, expected, "{lines}");
        for word in ["2026-09", "platform", "a@b.c", "claude-sonnet-5-5"] {
            assert!(lines.contains(word), "{word}: {lines}");
        }
    }
}

#[test]
fn a_locked_statement_is_always_the_same_and_an_altered_one_says_so() {
    let mut whole = closed(vec![team(Kind::Usage, "a", "Core", 1, 2)], Extent::Lines);
    assert_eq!(bytes(&whole, 1, Language::English), bytes(&whole, 2_000_000_000_000, Language::English));
    whole.intact = false;
    if let Some(text) = read::text(&bytes(&whole, 1, Language::English)) {
        assert!(text.contains("NOT THOSE THAT WERE CLOSED"), "{text}");
    }
    whole.report.statement = None;
    if let Some(text) = read::text(&bytes(&whole, CLOSED_AT.0, Language::English)) {
        assert!(text.contains("still change") && text.contains("2026-11-02 09:00:00 UTC"), "{text}");
        assert!(!text.contains("SHA-256"), "an open month has no digest: {text}");
    }
}

#[test]
fn two_names_that_look_alike_are_told_apart() {
    let lines = vec![
        team(Kind::Usage, "team_1", "🎉", 1, 2),
        team(Kind::Usage, "team_2", "🎈", 1, 1),
        team(Kind::Usage, "team_3", "", 1, 0),
    ];
    let whole = closed(lines, Extent::Sums);
    let Some(text) = read::text(&bytes(&whole, 1, Language::English)) else { return };
    let names: Vec<_> = rows(&text, 6).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["? (team_1)", "? (team_2)", "team_3", "Total"], "{text}");
}

#[test]
fn numbers_are_parted_in_threes() {
    for (given, shown) in [
        ("0", "0"),
        ("999", "999"),
        ("1000", "1,000"),
        ("-123456.7891", "-123,456.7891"),
        ("1234567", "1,234,567"),
    ] {
        assert_eq!(grouped(given), shown);
    }
}
