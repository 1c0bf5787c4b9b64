use proptest::prelude::*;

use super::*;

const LANGUAGES: [Language; 3] =
    [Language::English, Language::SimplifiedChinese, Language::TraditionalChinese];

fn faces(text: &str, style: Style, language: Language) -> Vec<Face> {
    letters(text, style, language).iter().map(|letter| letter.face).collect()
}

#[test]
fn every_letter_has_a_font_or_is_replaced() {
    let traditional = Language::TraditionalChinese;
    assert_eq!(faces("aé€", PLAIN, Language::English), [Face::Plain; 3]);
    assert_eq!(
        faces("Łódź", BOLD, Language::English),
        [Face::BoldMore, Face::Bold, Face::Bold, Face::BoldMore]
    );
    assert_eq!(
        faces("e\u{301}", PLAIN, Language::English),
        [Face::Plain],
        "one letter, however it is spelled"
    );
    assert_eq!(faces("a9", Style::Code, Language::English), [Face::Code; 2]);
    assert_eq!(faces("费用", PLAIN, Language::SimplifiedChinese), [Face::Simplified; 2]);
    assert_eq!(faces("團隊，", PLAIN, traditional), [Face::Traditional; 3]);
    assert_eq!(faces("团", PLAIN, traditional), [Face::Simplified], "Big Five has no such letter");
    assert_eq!(faces("團", PLAIN, Language::English), [Face::Simplified]);
    for hostile in ["\n", "\0", "\u{202e}", "\u{200b}", "\u{ad}", "🎉", "م", "한", "\u{fe0f}", "\u{85}", "𠀀"]
    {
        let shown = letters(hostile, PLAIN, Language::English);
        assert_eq!(shown, letters("?", PLAIN, Language::English), "{hostile:?}");
        assert!(!shows(hostile) && !shows(&format!("a{hostile}b")));
    }
    assert!(shows("Team (1) \\ “Łódź” 团队 Привет") && shows("?"));
}

/// The tables here are compared with those of the collections themselves.
#[test]
fn chinese_letters_are_in_their_collections() {
    let codes = |face, from: u16| {
        (from..=0xffff).filter(move |code| {
            let is = if face == Face::Simplified { is_simplified } else { is_traditional };
            is(*code)
        })
    };
    for (face, folder, name) in [
        (Face::Simplified, "Adobe-GB1", "UniGB-UTF16-H"),
        (Face::Traditional, "Adobe-CNS1", "UniCNS-UTF16-H"),
    ] {
        let file = format!("/usr/share/poppler/cMap/{folder}/{name}");
        let Ok(text) = std::fs::read_to_string(&file) else {
            eprintln!("NOT TESTED against {name}: there is no {file} (Debian: poppler-data)");
            continue;
        };
        let known = known(&text);
        let missing: Vec<u16> = codes(face, 0).filter(|code| !known.contains(code)).collect();
        assert!(missing.is_empty(), "{name}: {missing:x?}");
        assert!(codes(face, FIRST).count() > 13_000, "{name}");
    }
}

/// The codes of two bytes that a table of characters has.
fn known(table: &str) -> std::collections::HashSet<u16> {
    let code = |text: &str| {
        let digits = text.strip_prefix('<')?.strip_suffix('>')?;
        if digits.len() == 4 { u16::from_str_radix(digits, 16).ok() } else { None }
    };
    let mut known = std::collections::HashSet::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [first, last, cid] if cid.parse::<u16>().is_ok() => {
                if let (Some(first), Some(last)) = (code(first), code(last)) {
                    known.extend(first..=last);
                }
            }
            [one, cid] if cid.parse::<u16>().is_ok() => known.extend(code(one)),
            _ => {}
        }
    }
    known
}

fn broken(text: &str, room: f32, most: usize) -> Vec<String> {
    let letters = letters(text, PLAIN, Language::SimplifiedChinese);
    let show = |line: Vec<Letter>| {
        let of = |letter: &Letter| match letter.code {
            0x85 => '…',
            code => char::from_u32(u32::from(code)).unwrap(),
        };
        line.iter().map(of).collect::<String>()
    };
    lines(&letters, 10.0, room, most).into_iter().map(show).collect()
}

#[test]
fn lines_end_where_one_may_end_them() {
    assert_eq!(broken("one two three", 40.0, 9), ["one two", "three"]);
    assert_eq!(broken("abcdefghij", 25.0, 9), ["abcd", "efghij"], "a word that is too long is cut");
    assert_eq!(broken("费用，分摊", 25.0, 9), ["费", "用，", "分摊"], "no line begins with a comma");
    assert_eq!(broken("one two three", 40.0, 1), ["one tw…"]);
    assert_eq!(broken("", 40.0, 9), [""]);
}

proptest! {
    #[test]
    fn any_text_is_letter_for_letter_there(text in any::<String>(), at in 0usize..3) {
        let language = LANGUAGES[at];
        for style in [PLAIN, BOLD, Style::Code] {
            let shown = letters(&text, style, language);
            prop_assert_eq!(shown.len(), text.nfc().count());
            for (letter, given) in shown.iter().zip(text.nfc()) {
                if letter.face.is_chinese() {
                    prop_assert_eq!(u32::from(letter.code), u32::from(given));
                } else {
                    prop_assert!((32..256).contains(&letter.code) && letter.code != 127, "{given:?}: {letter:?}");
                }
            }
        }
        prop_assert_eq!(shows(&text), text.nfc().all(|one| one == '?' || {
            letters(&one.to_string(), PLAIN, Language::English) != letters("?", PLAIN, Language::English)
        }));
    }

    #[test]
    fn lines_keep_every_letter_and_their_room(text in "[a-z ，。（费用\u{301}()\\\\]{0,80}", room in 12.0f32..90.0) {
        let whole = letters(&text, PLAIN, Language::SimplifiedChinese);
        let set = lines(&whole, 10.0, room, usize::MAX);
        let of = |all: &[Letter]| all.iter().filter(|one| one.place != Place::Space).copied().collect::<Vec<_>>();
        prop_assert_eq!(of(&set.concat()), of(&whole));
        for line in &set {
            prop_assert!(line.len() == 1 || width(line, 10.0) <= room + 0.02);
        }
        for line in lines(&whole, 10.0, room, 2) {
            prop_assert!(line.len() <= 2 || width(&line, 10.0) <= room + 0.02);
        }
    }
}
