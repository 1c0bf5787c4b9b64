//! Letters, and which font shows them. No font is in the file: Latin letters are those of the standard fonts, Chinese ones
//! those that readers bring along for the character collections of Adobe (ISO 32000-1, 9.7.5.2).

use gatehouse_domain::settings::lint::Language;
use unicode_normalization::UnicodeNormalization as _;

use super::helvetica;

/// How heavy a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// As usual.
    Plain,
    /// Bold.
    Bold,
}

/// What a text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Letters of their own width.
    Text(Weight),
    /// Letters that are all equally wide.
    Code,
}

/// Plain text.
pub(super) const PLAIN: Style = Style::Text(Weight::Plain);
/// Bold text.
pub(super) const BOLD: Style = Style::Text(Weight::Bold);

/// A font of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Face {
    /// Helvetica.
    Plain,
    /// Helvetica, letters that are not in its usual code page.
    PlainMore,
    /// Helvetica Bold.
    Bold,
    /// The same, of Helvetica Bold.
    BoldMore,
    /// Courier.
    Code,
    /// Simplified Chinese.
    Simplified,
    /// Traditional Chinese.
    Traditional,
}

impl Face {
    /// What pages call it.
    pub(super) const fn name(self) -> &'static [u8] {
        match self {
            Self::Plain => b"F1",
            Self::PlainMore => b"F2",
            Self::Bold => b"F3",
            Self::BoldMore => b"F4",
            Self::Code => b"F5",
            Self::Simplified => b"F6",
            Self::Traditional => b"F7",
        }
    }

    /// Whether its letters are two bytes (UTF-16).
    pub(super) const fn is_chinese(self) -> bool {
        matches!(self, Self::Simplified | Self::Traditional)
    }
}

/// Where a line may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind it.
    Space,
    /// Before and behind it.
    Ideograph,
    /// Behind it, not before it: a full stop.
    Closing,
    /// Before it, not behind it: an opening bracket.
    Opening,
    /// Nowhere at it.
    Letter,
}

/// A letter as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letter {
    /// Its font.
    pub(super) face: Face,
    /// Its code there.
    pub(super) code: u16,
    /// How wide it is, in thousandths of the size.
    pub(super) width: u16,
    /// Where a line may end.
    pub(super) place: Place,
}

/// What is shown for a letter that no font has, or that is none: a control character, a change of direction, an emoji.
pub(super) const INSTEAD: char = '?';

/// A text's letters. Each that cannot be shown is replaced by a question mark.
pub(super) fn letters(text: &str, style: Style, language: Language) -> Vec<Letter> {
    let instead = || letter(INSTEAD, style, language).expect("the code page has a question mark");
    text.nfc().map(|given| letter(given, style, language).unwrap_or_else(instead)).collect()
}

/// Whether all of a text can be shown.
pub(super) fn shows(text: &str) -> bool {
    text.nfc().all(|given| letter(given, PLAIN, Language::English).is_some())
}

/// How wide letters are at a size, in points.
pub(super) fn width(letters: &[Letter], size: f32) -> f32 {
    letters.iter().map(|letter| f32::from(letter.width)).sum::<f32>() * size / 1000.0
}

fn letter(given: char, style: Style, language: Language) -> Option<Letter> {
    let place = if given == ' ' { Place::Space } else { Place::Letter };
    if let Some(code) = helvetica::code(given) {
        let (face, width) = match style {
            Style::Text(Weight::Plain) => (Face::Plain, helvetica::width(code, Weight::Plain)),
            Style::Text(Weight::Bold) => (Face::Bold, helvetica::width(code, Weight::Bold)),
            Style::Code => (Face::Code, 600),
        };
        return Some(Letter { face, code: u16::from(code), width, place });
    }
    let weight = if style == BOLD { Weight::Bold } else { Weight::Plain };
    if let Some((code, width)) = helvetica::more(given, weight) {
        let face = if style == BOLD { Face::BoldMore } else { Face::PlainMore };
        return Some(Letter { face, code: u16::from(code), width, place });
    }
    let code = u16::try_from(u32::from(given)).ok()?;
    let face = if language == Language::TraditionalChinese && is_traditional(code) {
        Face::Traditional
    } else if is_simplified(code) {
        Face::Simplified
    } else {
        return None;
    };
    let place = match given {
        '、' | '。' | '，' | '；' | '：' | '！' | '？' | '）' | '」' | '』' | '》' | '】' | '〉' | '〕' => {
            Place::Closing
        }
        '（' | '「' | '『' | '《' | '【' | '〈' | '〔' => Place::Opening,
        '\u{3000}'..='\u{9fa5}' => Place::Ideograph,
        _ => Place::Letter,
    };
    Some(Letter { face, code, width: 1000, place })
}

/// What the collection Adobe-GB1 has, as far as it is needed here: all ideographs of Unicode's first block (and thereby all
/// that GBK has), kana, Greek, Cyrillic, and signs. All are as wide as high.
const SIMPLIFIED: [(u16, u16); 28] = [
    (0x391, 0x3a1),
    (0x3a3, 0x3a9),
    (0x3b1, 0x3c1),
    (0x3c3, 0x3c9),
    (0x401, 0x401),
    (0x410, 0x44f),
    (0x451, 0x451),
    (0x2103, 0x2103),
    (0x2116, 0x2116),
    (0x2160, 0x216b),
    (0x2190, 0x2193),
    (0x2460, 0x2469),
    (0x25a0, 0x25a1),
    (0x25b2, 0x25b3),
    (0x25c6, 0x25c7),
    (0x25cb, 0x25cb),
    (0x25cf, 0x25cf),
    (0x2605, 0x2606),
    (0x3000, 0x3003),
    (0x3005, 0x3011),
    (0x3014, 0x3017),
    (0x3041, 0x3093),
    (0x30a1, 0x30f6),
    (0x30fb, 0x30fe),
    (0x3105, 0x3129),
    (0x3400, 0x4db5),
    (FIRST, LAST),
    (0xff01, 0xff5e),
];

/// Of Adobe-CNS1: punctuation, and, a bit for each ideograph of Unicode's first block, those that its first edition has
/// (Big Five, and the first two planes of CNS 11643). What it has not is shown by the other font.
const TRADITIONAL: &[u8] = include_bytes!("traditional.bin");
const PUNCTUATION: [(u16, u16); 5] =
    [(0x3000, 0x3003), (0x3008, 0x3011), (0x3014, 0x3015), (0xff01, 0xff3f), (0xff41, 0xff5e)];
/// Unicode's first block of ideographs.
const FIRST: u16 = 0x4e00;
const LAST: u16 = 0x9fa5;

fn is_in(ranges: &[(u16, u16)], code: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

fn is_simplified(code: u16) -> bool {
    is_in(&SIMPLIFIED, code)
}

fn is_traditional(code: u16) -> bool {
    let bit = |at: u16| TRADITIONAL.get(usize::from(at / 8)).is_some_and(|byte| (byte >> (at % 8)) & 1 == 1);
    is_in(&PUNCTUATION, code) || ((FIRST..=LAST).contains(&code) && bit(code - FIRST))
}

/// Breaks letters into lines of a width at a size. Of more than `most` lines the rest is cut, and an ellipsis says so.
pub(super) fn lines(letters: &[Letter], size: f32, room: f32, most: usize) -> Vec<Vec<Letter>> {
    let mut out: Vec<Vec<Letter>> = Vec::new();
    let mut rest = letters;
    while !rest.is_empty() && out.len() < most {
        let last = out.len() + 1 == most;
        let fits = fitting(rest, size, room);
        if fits == rest.len() {
            out.push(trimmed(rest).to_vec());
            break;
        }
        if last {
            out.push(cut(rest, size, room));
            break;
        }
        let end = (1..=fits).rev().find(|at| may_break(rest, *at)).unwrap_or(fits);
        out.push(trimmed(&rest[..end]).to_vec());
        rest = &rest[end..];
        let spaces = rest.iter().take_while(|letter| letter.place == Place::Space).count();
        rest = &rest[spaces..];
    }
    if out.is_empty() {
        out.push(Vec::new());
    }
    out
}

/// How many letters fit, at least one.
fn fitting(letters: &[Letter], size: f32, room: f32) -> usize {
    let mut used = 0.0;
    let fit = |letter: &&Letter| {
        used += f32::from(letter.width) * size / 1000.0;
        // A hair, so that what was measured to fit does.
        used <= room + 0.01
    };
    letters.iter().take_while(fit).count().max(1)
}

/// Whether a line may end before this letter.
fn may_break(letters: &[Letter], at: usize) -> bool {
    let (Some(before), Some(after)) = (at.checked_sub(1).and_then(|at| letters.get(at)), letters.get(at))
    else {
        return false;
    };
    let ends = matches!(before.place, Place::Space | Place::Ideograph | Place::Closing);
    let begins = matches!(after.place, Place::Space | Place::Ideograph | Place::Opening);
    before.place != Place::Opening && after.place != Place::Closing && (ends || begins)
}

fn trimmed(letters: &[Letter]) -> &[Letter] {
    let spaces = letters.iter().rev().take_while(|letter| letter.place == Place::Space).count();
    &letters[..letters.len() - spaces]
}

fn cut(letters: &[Letter], size: f32, room: f32) -> Vec<Letter> {
    let code = helvetica::code('…').expect("the code page has it");
    let width = helvetica::width(code, Weight::Plain);
    let dots = Letter { face: Face::Plain, code: u16::from(code), width, place: Place::Letter };
    let left = (room - f32::from(width) * size / 1000.0).max(0.0);
    let mut out = trimmed(&letters[..fitting(letters, size, left)]).to_vec();
    out.push(dots);
    out
}

#[cfg(test)]
mod tests;
