//! Numbers of persons, found by their digits and proved by their check digits.

use crate::scanner::begins;

/// A kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// A payment card (ISO/IEC 7812): Luhn's sum, the length and the first digits of an issuer.
    Card,
    /// A resident identity number of China (GB 11643): region, date of birth and ISO 7064 MOD 11-2.
    Resident,
    /// An international bank account number (ISO 13616): a country's length and ISO 7064 MOD 97-10.
    Iban,
}

/// Shortest number of digits that is looked at, separators apart.
const LEAST: usize = 13;
/// Every so many bytes the text is looked at: a number of [`LEAST`] digits cannot hide between.
const STRIDE: usize = LEAST - 1;
/// Longest run of digits and single separators that is looked at, in bytes. What is longer is a table of numbers.
const MOST: usize = 400;

/// Finds cards and resident numbers: their places in the text.
pub(crate) fn digits(
    text: &[u8],
    (cards, residents): (bool, bool),
    mut found: impl FnMut(Number, usize, usize),
) {
    let mut at = STRIDE - 1;
    while let Some(&byte) = text.get(at) {
        if !byte.is_ascii_digit() && !is_separator(byte) {
            at += STRIDE;
            continue;
        }
        let (start, end) = run(text, at);
        judge(text, (start, end), (cards, residents), &mut found);
        at = end.max(at) + STRIDE;
    }
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-')
}

/// The longest run of digits with single separators between them around a place; empty where that is none.
fn run(text: &[u8], at: usize) -> (usize, usize) {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let is_part = |at: usize| {
        digit(at)
            || at > 0 && text.get(at).copied().is_some_and(is_separator) && digit(at - 1) && digit(at + 1)
    };
    if !is_part(at) {
        return (at, at);
    }
    let (mut start, mut end) = (at, at + 1);
    while start > 0 && is_part(start - 1) {
        start -= 1;
    }
    while is_part(end) {
        end += 1;
    }
    (start, end)
}

fn judge(
    text: &[u8],
    (start, end): (usize, usize),
    (cards, residents): (bool, bool),
    found: &mut impl FnMut(Number, usize, usize),
) {
    if end - start > MOST || end - start + 1 < LEAST {
        return;
    }
    let groups = groups(text, start, end);
    let mut done = 0;
    for (n, &(from, to)) in groups.iter().enumerate() {
        if from < done {
            continue;
        }
        let is_last = n + 1 == groups.len();
        // The check digit of a resident number may be an X.
        let to_x = to + usize::from(is_last && text.get(to).is_some_and(|byte| matches!(byte, b'X' | b'x')));
        if residents && is_free(text, from, to_x) && text.get(from..to_x).is_some_and(is_resident) {
            found(Number::Resident, from, to_x);
        } else if cards
            && let Some(last) = card_groups(text, &groups[n..])
            && is_free(text, from, last)
            && n.checked_sub(1).and_then(|n| groups.get(n)).is_none_or(|(from, to)| to - from != 4)
        {
            let number: Vec<u8> = text[from..last].iter().copied().filter(u8::is_ascii_digit).collect();
            if is_card(&number) {
                found(Number::Card, from, last);
                done = last;
            }
        }
    }
}

/// The digits of a run that stand together.
fn groups(text: &[u8], start: usize, end: usize) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut from = start;
    for at in start..=end {
        if at == end || text.get(at).copied().is_some_and(is_separator) {
            out.push((from, at));
            from = at + 1;
        }
    }
    out
}

/// Whether a number is no part of something longer: of a word, a version, a path, a UUID.
fn is_free(text: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    let is_joined = !begins(text, start) || matches!(before, Some(b'.' | b'/' | b'#'));
    let behind = (text.get(end), text.get(end + 1));
    let goes_on = match behind {
        // The end of a sentence.
        (Some(b'.' | b'/'), next) => next.is_some_and(u8::is_ascii_alphanumeric),
        (Some(byte), _) => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        (None, _) => false,
    };
    !is_joined && !goes_on
}

/// Where a card's number ends that these groups begin with: together, or in groups as on cards, with one kind of separator.
fn card_groups(text: &[u8], groups: &[(usize, usize)]) -> Option<usize> {
    let &(from, to) = groups.first()?;
    if (13..=19).contains(&(to - from)) {
        return Some(to);
    }
    let separator = *text.get(to)?;
    // Not more than five groups make a number; what is behind with another separator is something else.
    let same =
        groups.windows(2).take(5).take_while(|pair| text.get(pair[0].1) == Some(&separator)).count() + 1;
    let lengths: Vec<usize> = groups.iter().take(same).map(|(from, to)| to - from).collect();
    let count = match *lengths {
        [4, 6, 4 | 5] => 3,
        [4, 4, 4, 1..=4] => 4,
        [4, 4, 4, 4, 1..=3] => 5,
        // Something of another length stands behind a space.
        [4, 4, 4, 4, more, ..] if separator == b' ' && more != 4 => 4,
        [4, 6, 4 | 5, more, ..] if separator == b' ' && more != 4 => 3,
        _ => return None,
    };
    groups.get(count - 1).map(|(_, to)| *to)
}

/// Issuers' first digits and lengths, and Luhn's sum.
fn is_card(number: &[u8]) -> bool {
    let first = |digits: usize| {
        number.iter().take(digits).fold(0_u32, |sum, byte| sum * 10 + u32::from(byte.wrapping_sub(b'0')))
    };
    let is_issued = match number.len() {
        13 => first(1) == 4,
        14 => matches!(first(3), 300..=305) || matches!(first(2), 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37),
        16 => {
            matches!(first(1), 4)
                || matches!(first(2), 51..=55 | 62 | 65 | 81)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(first(3), 644..=649)
        }
        17..=19 => matches!(first(2), 62 | 65) || matches!(first(4), 3528..=3589 | 6011) || first(1) == 4,
        _ => false,
    };
    let is_varied = number.iter().skip(4).any(|byte| Some(byte) != number.get(4));
    is_issued && is_varied && luhn(number)
}

fn luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The first two digits of the provinces' codes (GB/T 2260).
const PROVINCES: &[u32] = &[
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
    61, 62, 63, 64, 65, 71, 81, 82, 83,
];

fn is_resident(number: &[u8]) -> bool {
    let part = |from: usize, to: usize| {
        number[from..to].iter().fold(0_u32, |sum, byte| sum * 10 + u32::from(byte.wrapping_sub(b'0')))
    };
    if number.len() != 18
        || !number.iter().take(17).all(u8::is_ascii_digit)
        || !PROVINCES.contains(&part(0, 2))
    {
        return false;
    }
    let (year, month, day) = (part(6, 10), part(10, 12), part(12, 14));
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    if !(1900..=2099).contains(&year) || !(1..=last).contains(&day) {
        return false;
    }
    // ISO 7064 MOD 11-2: each digit counts 2 to the power of its place from the end.
    let sum = number[..17].iter().fold(0, |sum, byte| (sum + u32::from(byte - b'0')) * 2 % 11);
    let check = (12 - sum) % 11;
    match number[17] {
        b'X' | b'x' => check == 10,
        digit => check == u32::from(digit - b'0'),
    }
}

/// Lengths of the account numbers of countries, in the order of their names.
const COUNTRIES: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// Finds account numbers, written together or in groups of four.
pub(crate) fn ibans(text: &[u8], mut found: impl FnMut(usize, usize)) {
    let mut at = 0;
    while let Some(begin) = text.get(at..).and_then(|rest| rest.windows(4).position(is_begin)) {
        let start = at + begin;
        at = start + 1;
        if begins(text, start)
            && let Some(end) = iban_end(text, start)
        {
            found(start, end);
            at = end;
        }
    }
}

fn is_begin(four: &[u8]) -> bool {
    four[2].is_ascii_digit()
        && four[3].is_ascii_digit()
        && four[0].is_ascii_uppercase()
        && four[1].is_ascii_uppercase()
}

/// Where the account number that may begin here ends.
fn iban_end(text: &[u8], start: usize) -> Option<usize> {
    let country = text.get(start..start + 2)?;
    let place = COUNTRIES.binary_search_by(|(name, _)| name.as_slice().cmp(country)).ok()?;
    let length = COUNTRIES[place].1;
    let mut number = [0_u8; 31];
    let (mut at, mut have) = (start, 0);
    let is_spaced = text.get(start + 4) == Some(&b' ');
    while have < length {
        if is_spaced && have > 0 && have.is_multiple_of(4) {
            (text.get(at) == Some(&b' ')).then_some(())?;
            at += 1;
        }
        let byte = *text.get(at)?;
        (byte.is_ascii_digit() || byte.is_ascii_uppercase()).then_some(())?;
        number[have] = byte;
        (at, have) = (at + 1, have + 1);
    }
    let goes_on = text.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (!goes_on && is_iban(&number[..length])).then_some(at)
}

fn is_iban(number: &[u8]) -> bool {
    let (front, rest) = number.split_at(4);
    let is_varied = rest.iter().any(|byte| Some(byte) != rest.first());
    let rest = rest.iter().chain(front).fold(0_u32, |sum, byte| {
        if byte.is_ascii_digit() {
            (sum * 10 + u32::from(byte - b'0')) % 97
        } else {
            (sum * 100 + u32::from(byte - b'A') + 10) % 97
        }
    });
    is_varied && rest == 1
}
