use flate2::read::ZlibDecoder;
use gatehouse_testkit::pdf as read;
use proptest::prelude::*;

use super::*;

/// A name that tries everything.
const HOSTILE: &str = "a(b)) \\( \\n <</X>> endstream \u{202e}evil\u{0}\n\u{1b}[2J 🎉 مرحبا é Łódź 團隊 %EOF";
/// What is left of it on paper.
const SEEN: &str = "a(b)) \\( \\n <</X>> endstream ?evil???[2J ? ????? é Łódź 團隊 %EOF";

fn column(title: &str, side: Side) -> Column {
    Column { title: title.to_owned(), side }
}

fn document(language: Language, parts: Vec<Part>) -> Document {
    let footer = vec!["below".to_owned(), HOSTILE.to_owned()];
    let (title, author) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    Document { language, title, author, at: UnixMillis(1_800_000_000_000), footer, parts }
}

fn every_part(text: &str) -> Vec<Part> {
    let given = || text.to_owned();
    let table = Table {
        columns: vec![column(text, Side::Left), column(text, Side::Figure)],
        rows: vec![vec![given(), given()], vec![given(), "1,234.5".to_owned()]],
        total: Some(vec![given(), "-0.000000001".to_owned()]),
    };
    let shown = |shown| Fact { what: given(), is: given(), shown };
    let word = |centered| Shape::Text {
        at: (50.0, 50.0),
        size: 9.0,
        ink: [0; 3],
        bold: centered,
        centered,
        text: given(),
    };
    let shapes = vec![
        Shape::Box { at: (1.0, 1.0), size: (40.0, 20.0), fill: [255; 3], edge: ([0; 3], 1.0) },
        Shape::Arrow { points: vec![(41.0, 11.0), (60.0, 11.0), (60.0, 40.0)], ink: [0, 0, 255], thick: 2.0 },
        Shape::Disk { at: (60.0, 60.0), radius: 8.0, ink: [0; 3] },
        word(true),
        word(false),
    ];
    vec![
        Part::Title(given()),
        Part::Warning(given()),
        Part::Facts(vec![shown(Shown::Plain), shown(Shown::Bold), shown(Shown::Code)]),
        Part::Heading(given()),
        Part::Text(given()),
        Part::List(vec![given(), given()]),
        Part::Table(table),
        Part::Code(format!("{text}\n\t{text}")),
        Part::Picture(Picture { width: 100.0, height: 100.0, what: given(), shapes }),
        Part::Turn(Form::Landscape),
        Part::Text(given()),
    ]
}

const LANGUAGES: [Language; 3] =
    [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese];

#[test]
fn a_hostile_name_breaks_nothing_and_is_seen_for_what_it_is() {
    for language in LANGUAGES {
        let bytes = written(&document(language, every_part(HOSTILE)));
        read::check(&bytes);
        let Some(text) = read::text(&bytes) else { continue };
        let (pages, words) =
            (text.matches('\u{c}').count(), text.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(pages, 3, "{text}");
        assert!(words.matches(SEEN).count() >= 8, "{language:?}: {words}");
        assert!(!text.contains(['\0', '\u{1b}', '\u{202e}']) && !text.contains('🎉'), "{text}");
    }
}

#[test]
fn a_document_says_what_it_is_and_is_tagged() {
    let bytes = written(&document(Language::SimplifiedChinese, every_part("费用")));
    assert_eq!(
        bytes,
        written(&document(Language::SimplifiedChinese, every_part("费用"))),
        "no chance, no clock"
    );
    assert_ne!(bytes, written(&document(Language::SimplifiedChinese, every_part("费"))));
    let Some(info) = read::info(&bytes) else { return };
    for line in [
        "Tagged:          yes",
        "CreationDate:    2027-01-15T08:00:00",
        "Encrypted:       no",
        "PDF version:     1.7",
    ] {
        assert!(info.contains(line), "{line}: {info}");
    }
}

#[test]
fn a_table_of_many_pages_has_its_head_and_number_on_each() {
    let figure = |n: u32| format!("{n},{:03}.{n:09}", n % 1000);
    let rows = (1..=1000u32).map(|n| vec![format!("Team {n:04}"), n.to_string(), figure(n)]);
    let table = Table {
        columns: vec![
            column("Team", Side::Left),
            column("Requests", Side::Figure),
            column("Cost (USD)", Side::Figure),
        ],
        rows: rows.collect(),
        total: Some(vec!["Total".to_owned(), "500,500".to_owned(), "1.5".to_owned()]),
    };
    let bytes = written(&document(Language::English, vec![Part::Table(table)]));
    read::check(&bytes);
    let Some(text) = read::text(&bytes) else { return };
    let pages: Vec<&str> = text.trim_end_matches('\u{c}').split('\u{c}').collect();
    assert!(pages.len() > 15, "{}", pages.len());
    let mut seen = Vec::new();
    for (number, page) in (1..).zip(&pages) {
        assert!(page.contains(&format!("Page {number} of {}", pages.len())), "{page}");
        assert_eq!(page.matches("Cost (USD)").count(), 1, "{page}");
        let cells = page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        seen.extend(
            cells
                .filter(|cells| cells.first() == Some(&"Team") && cells.get(1) != Some(&"Requests"))
                .map(|cells| cells.join(" ")),
        );
    }
    let expected = (1..=1000u32).map(|n| format!("Team {n:04} {n} {}", figure(n)));
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

/// What is shown by a page's content, each string as the bytes that it stands for (ISO 32000-1, 7.3.4).
fn strings(content: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), content.iter().copied().peekable());
    while let Some(byte) = rest.next() {
        match byte {
            b'(' => {
                let (mut string, mut depth) = (Vec::new(), 1);
                while depth > 0 {
                    match rest.next().expect("a string ends") {
                        b'\\' => string.push(match rest.next().unwrap() {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            b'b' => 8,
                            b'f' => 12,
                            digit @ b'0'..=b'7' => {
                                let mut next = || rest.next().unwrap() - b'0';
                                (digit - b'0') * 64 + next() * 8 + next()
                            }
                            other => other,
                        }),
                        b'(' => {
                            depth += 1;
                            string.push(b'(');
                        }
                        b')' => {
                            depth -= 1;
                            string.extend((depth > 0).then_some(b')'));
                        }
                        other => string.push(other),
                    }
                }
                out.push(string);
            }
            b'<' if rest.peek() != Some(&b'<') => {
                let digits: Vec<u8> = std::iter::from_fn(|| rest.next_if(|byte| *byte != b'>')).collect();
                let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                out.push(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect());
            }
            b'<' => drop(rest.next()),
            _ => {}
        }
    }
    out
}

/// The content of the first page.
fn content(file: &[u8]) -> Vec<u8> {
    let find = |what: &[u8]| file.windows(what.len()).position(|window| window == what).unwrap();
    let from = find(b"\nstream\n") + b"\nstream\n".len();
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut ZlibDecoder::new(&file[from..]), &mut out).unwrap();
    out
}

proptest! {
    /// Whatever a text is, the strings in the file are its letters and nothing else.
    #[test]
    fn any_text_is_escaped(text in prop_oneof![any::<String>(), "[()\\\\<>/%\\[\\]{} a-c\r\n\t費é]{0,60}"]) {
        let mut document = document(Language::TraditionalChinese, vec![Part::Title(text.clone())]);
        document.footer.clear();
        let shown = font::lines(&font::letters(&text, font::BOLD, document.language), 19.0, 499.28, 200).concat();
        let expected = shown.iter().flat_map(|letter| {
            let [high, low] = letter.code.to_be_bytes();
            if letter.face.is_chinese() { vec![high, low] } else { vec![low] }
        });
        let content = content(&written(&document));
        let found = strings(&content).concat();
        // Behind the title there is the number of the page.
        let expected: Vec<u8> = expected.collect();
        prop_assert!(found.starts_with(&expected), "{:?}", String::from_utf8_lossy(&content));
        prop_assert_eq!(found.len() - expected.len(), b"\x7b\x2c 1 \x98\x01\xff\x0c\x51\x71 1 \x98\x01".len());
    }
}
