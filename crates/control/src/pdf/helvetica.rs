//! What Helvetica has, which no reader of PDF is without (ISO 32000-1, 9.6.2.2): its letters, and how wide they are.
//!
//! The figures are those of the metrics files that Adobe published for the standard fonts, in thousandths of the size.

use super::font::Weight;

/// Widths of Helvetica for codes from 32 on.
const PLAIN: [u16; 224] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, 0, 556, 0, 222, 556, 333, 1000, 556, 556, 333,
    1000, 667, 333, 1000, 0, 611, 0, 0, 222, 222, 333, 333, 350, 556, 1000, 333, 1000, 500, 333, 944, 0, 500,
    667, 278, 333, 556, 556, 556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333,
    333, 556, 537, 278, 333, 333, 365, 556, 834, 834, 834, 611, 667, 667, 667, 667, 667, 667, 1000, 722, 667,
    667, 667, 667, 278, 278, 278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667,
    667, 611, 556, 556, 556, 556, 556, 556, 889, 500, 556, 556, 556, 556, 278, 278, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 584, 611, 556, 556, 556, 556, 500, 556, 500,
];

/// Widths of Helvetica-Bold for codes from 32 on.
const BOLD: [u16; 224] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278,
    556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584,
    556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556,
    333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584, 0, 556, 0, 278, 556, 500, 1000, 556, 556, 333,
    1000, 667, 333, 1000, 0, 611, 0, 0, 278, 278, 500, 500, 350, 556, 1000, 333, 1000, 556, 333, 944, 0, 500,
    667, 278, 333, 556, 556, 556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333,
    333, 611, 556, 278, 333, 333, 365, 556, 834, 834, 834, 611, 722, 722, 722, 722, 722, 722, 1000, 722, 667,
    667, 667, 667, 278, 278, 278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667,
    667, 611, 556, 556, 556, 556, 556, 556, 889, 556, 556, 556, 556, 556, 278, 278, 278, 278, 611, 611, 611,
    611, 611, 611, 611, 584, 611, 611, 611, 611, 611, 556, 611, 556,
];

/// Letters of Windows code page 1252 that are elsewhere in Unicode.
const MOVED: [(u8, char); 27] = [
    (0x80, '€'),
    (0x82, '‚'),
    (0x83, 'ƒ'),
    (0x84, '„'),
    (0x85, '…'),
    (0x86, '†'),
    (0x87, '‡'),
    (0x88, 'ˆ'),
    (0x89, '‰'),
    (0x8a, 'Š'),
    (0x8b, '‹'),
    (0x8c, 'Œ'),
    (0x8e, 'Ž'),
    (0x91, '\u{2018}'),
    (0x92, '\u{2019}'),
    (0x93, '“'),
    (0x94, '”'),
    (0x95, '•'),
    (0x96, '–'),
    (0x97, '—'),
    (0x98, '˜'),
    (0x99, '™'),
    (0x9a, 'š'),
    (0x9b, '›'),
    (0x9c, 'œ'),
    (0x9e, 'ž'),
    (0x9f, 'Ÿ'),
];

/// Letters that Helvetica has and the code page has not: those of central Europe and the Baltic, Turkish ones, and some
/// signs. With their names, and how wide they are in both weights. In the order of Unicode.
const MORE: [(char, &str, u16, u16); 84] = [
    ('Ā', "Amacron", 667, 722),
    ('ā', "amacron", 556, 556),
    ('Ă', "Abreve", 667, 722),
    ('ă', "abreve", 556, 556),
    ('Ą', "Aogonek", 667, 722),
    ('ą', "aogonek", 556, 556),
    ('Ć', "Cacute", 722, 722),
    ('ć', "cacute", 500, 556),
    ('Č', "Ccaron", 722, 722),
    ('č', "ccaron", 500, 556),
    ('Ď', "Dcaron", 722, 722),
    ('ď', "dcaron", 643, 743),
    ('Đ', "Dcroat", 722, 722),
    ('đ', "dcroat", 556, 611),
    ('Ē', "Emacron", 667, 667),
    ('ē', "emacron", 556, 556),
    ('Ė', "Edotaccent", 667, 667),
    ('ė', "edotaccent", 556, 556),
    ('Ę', "Eogonek", 667, 667),
    ('ę', "eogonek", 556, 556),
    ('Ě', "Ecaron", 667, 667),
    ('ě', "ecaron", 556, 556),
    ('Ğ', "Gbreve", 778, 778),
    ('ğ', "gbreve", 556, 611),
    ('Ģ', "Gcommaaccent", 778, 778),
    ('ģ', "gcommaaccent", 556, 611),
    ('Ī', "Imacron", 278, 278),
    ('ī', "imacron", 278, 278),
    ('Į', "Iogonek", 278, 278),
    ('į', "iogonek", 222, 278),
    ('İ', "Idotaccent", 278, 278),
    ('ı', "dotlessi", 278, 278),
    ('Ķ', "Kcommaaccent", 667, 722),
    ('ķ', "kcommaaccent", 500, 556),
    ('Ĺ', "Lacute", 556, 611),
    ('ĺ', "lacute", 222, 278),
    ('Ļ', "Lcommaaccent", 556, 611),
    ('ļ', "lcommaaccent", 222, 278),
    ('Ľ', "Lcaron", 556, 611),
    ('ľ', "lcaron", 299, 400),
    ('Ł', "Lslash", 556, 611),
    ('ł', "lslash", 222, 278),
    ('Ń', "Nacute", 722, 722),
    ('ń', "nacute", 556, 611),
    ('Ņ', "Ncommaaccent", 722, 722),
    ('ņ', "ncommaaccent", 556, 611),
    ('Ň', "Ncaron", 722, 722),
    ('ň', "ncaron", 556, 611),
    ('Ō', "Omacron", 778, 778),
    ('ō', "omacron", 556, 611),
    ('Ő', "Ohungarumlaut", 778, 778),
    ('ő', "ohungarumlaut", 556, 611),
    ('Ŕ', "Racute", 722, 722),
    ('ŕ', "racute", 333, 389),
    ('Ŗ', "Rcommaaccent", 722, 722),
    ('ŗ', "rcommaaccent", 333, 389),
    ('Ř', "Rcaron", 722, 722),
    ('ř', "rcaron", 333, 389),
    ('Ś', "Sacute", 667, 667),
    ('ś', "sacute", 500, 556),
    ('Ş', "Scedilla", 667, 667),
    ('ş', "scedilla", 500, 556),
    ('Ţ', "Tcommaaccent", 611, 611),
    ('ţ', "tcommaaccent", 278, 333),
    ('Ť', "Tcaron", 611, 611),
    ('ť', "tcaron", 317, 389),
    ('Ū', "Umacron", 722, 722),
    ('ū', "umacron", 556, 611),
    ('Ů', "Uring", 722, 722),
    ('ů', "uring", 556, 611),
    ('Ű', "Uhungarumlaut", 722, 722),
    ('ű', "uhungarumlaut", 556, 611),
    ('Ų', "Uogonek", 722, 722),
    ('ų', "uogonek", 556, 611),
    ('Ź', "Zacute", 611, 611),
    ('ź', "zacute", 500, 500),
    ('Ż', "Zdotaccent", 611, 611),
    ('ż', "zdotaccent", 500, 500),
    ('Ș', "Scommaaccent", 667, 667),
    ('ș', "scommaaccent", 500, 556),
    ('−', "minus", 584, 584),
    ('≠', "notequal", 549, 549),
    ('≤', "lessequal", 549, 549),
    ('≥', "greaterequal", 549, 549),
];

/// Where the codes of these begin.
pub(super) const MORE_FROM: u8 = 33;

/// The code of a letter in the code page, if it is one that can be seen.
pub(super) fn code(letter: char) -> Option<u8> {
    match u32::from(letter) {
        // A soft hyphen may be shown or not; a space that does not break is one.
        0xad => None,
        0xa0 => Some(b' '),
        at @ (0x20..=0x7e | 0xa1..=0xff) => u8::try_from(at).ok(),
        _ => MOVED.iter().find(|(_, moved)| *moved == letter).map(|(code, _)| *code),
    }
}

/// How wide the letter of this code is.
pub(super) fn width(code: u8, weight: Weight) -> u16 {
    let widths = match weight {
        Weight::Plain => &PLAIN,
        Weight::Bold => &BOLD,
    };
    code.checked_sub(32).and_then(|at| widths.get(usize::from(at))).copied().unwrap_or(0)
}

/// The code and the width of a letter that is not in the code page.
pub(super) fn more(letter: char, weight: Weight) -> Option<(u8, u16)> {
    let at = MORE.binary_search_by_key(&letter, |(known, ..)| *known).ok()?;
    let (_, _, plain, bold) = MORE[at];
    let width = match weight {
        Weight::Plain => plain,
        Weight::Bold => bold,
    };
    Some((MORE_FROM + u8::try_from(at).ok()?, width))
}

/// The names of these letters, in the order of their codes.
pub(super) fn more_names() -> impl Iterator<Item = &'static str> {
    MORE.iter().map(|(_, name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_the_widths_that_were_published() {
        let of = |letter, weight| width(code(letter).unwrap(), weight);
        for (letter, plain, bold) in
            [('0', 556, 556), ('W', 944, 944), ('i', 222, 278), ('€', 556, 556), ('é', 556, 556)]
        {
            assert_eq!((of(letter, Weight::Plain), of(letter, Weight::Bold)), (plain, bold), "{letter}");
        }
        assert_eq!(more('Ł', Weight::Plain).unwrap().1, 556);
        assert_eq!(more('ž', Weight::Plain), None, "the code page has it");
        assert!(MORE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for letter in ['\u{ad}', '\u{7f}', '\u{80}', '\u{200b}', '\n', '中'] {
            assert_eq!(code(letter), None, "{letter:?}");
        }
    }
}
