//! What people say of the product: a score, a recommendation, a few words.
//!
//! Whoever answers must be able to trust that nobody is singled out: of fewer than [`FEWEST_SHOWN`] answers nothing is
//! shown but their number.

use serde::Serialize;

/// Of fewer answers than these, neither a mean nor any single one is shown.
pub const FEWEST_SHOWN: u64 = 5;
/// Longest comment, in characters.
pub const MAX_COMMENT: usize = 2000;

/// How satisfied somebody is, from 1 (not at all) to 5 (very).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u8);

/// How likely somebody would recommend it, from 0 to 10. Kept apart from the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nps(u8);

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Not a score.
    #[error("{0} is no score; expected 1 to 5")]
    Score(u64),
    /// Not a recommendation.
    #[error("{0} is no recommendation; expected 0 to 10")]
    Nps(u64),
    /// Too long.
    #[error("the comment has {0} characters; at most {MAX_COMMENT} are taken")]
    Comment(usize),
}

impl Score {
    /// Reads a score.
    ///
    /// # Errors
    /// It is not from 1 to 5.
    pub fn new(number: u64) -> Result<Self, BadAnswer> {
        let small = u8::try_from(number).ok().filter(|score| (1..=5).contains(score));
        small.map(Self).ok_or(BadAnswer::Score(number))
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Nps {
    /// Reads a recommendation.
    ///
    /// # Errors
    /// It is above 10.
    pub fn new(number: u64) -> Result<Self, BadAnswer> {
        let small = u8::try_from(number).ok().filter(|nps| *nps <= 10);
        small.map(Self).ok_or(BadAnswer::Nps(number))
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What somebody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The score.
    pub score: Score,
    /// The recommendation, where one was given.
    pub nps: Option<Nps>,
    /// A few words.
    pub comment: Option<String>,
    /// Whether the person wants to be named with it.
    pub named: bool,
}

impl Answer {
    /// Checks an answer. Blank comments are none; control characters but line ends become spaces.
    ///
    /// # Errors
    /// A number out of its range; a comment that is too long.
    pub fn new(score: u64, nps: Option<u64>, comment: Option<&str>, named: bool) -> Result<Self, BadAnswer> {
        let words = comment.map(str::trim).filter(|text| !text.is_empty());
        let length = words.map_or(0, |text| text.chars().count());
        if length > MAX_COMMENT {
            return Err(BadAnswer::Comment(length));
        }
        let clean =
            |text: &str| text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        Ok(Self {
            score: Score::new(score)?,
            nps: nps.map(Nps::new).transpose()?,
            comment: words.map(clean),
            named,
        })
    }
}

/// What all answers together say.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Summary {
    /// How many there are.
    pub answers: u64,
    /// Mean of the scores; none without answers, or when there are too few to be shown.
    pub mean: Option<f64>,
    /// How many gave each score, from 1 to 5; all zero where it is withheld.
    pub scores: [u64; 5],
    /// How many gave a recommendation.
    pub nps_answers: u64,
    /// Share of promoters (9, 10) less that of detractors (0 to 6), in percent from -100 to 100.
    pub nps: Option<f64>,
    /// Whether figures are withheld, since there are fewer than [`FEWEST_SHOWN`] answers.
    pub withheld: bool,
}

impl Summary {
    /// Of these answers, with what few answers would give away withheld.
    pub fn of(answers: impl IntoIterator<Item = (Score, Option<Nps>)>) -> Self {
        let mut out = Self::default();
        let (mut sum, mut promoters, mut detractors) = (0, 0, 0);
        for (score, nps) in answers {
            out.answers += 1;
            sum += u64::from(score.get());
            if let Some(count) = out.scores.get_mut(usize::from(score.get()) - 1) {
                *count += 1;
            }
            if let Some(nps) = nps {
                out.nps_answers += 1;
                promoters += i64::from(nps.get() >= 9);
                detractors += i64::from(nps.get() <= 6);
            }
        }
        out.withheld = (1..FEWEST_SHOWN).contains(&out.answers);
        if out.withheld {
            out.scores = [0; 5];
            return out;
        }
        out.mean = ratio(i64::try_from(sum).unwrap_or(i64::MAX), out.answers);
        out.nps = ratio(100 * (promoters - detractors), out.nps_answers)
            .filter(|_| out.nps_answers >= FEWEST_SHOWN);
        out
    }
}

#[expect(clippy::cast_precision_loss, reason = "so many answers there are not")]
fn ratio(sum: i64, of: u64) -> Option<f64> {
    (of > 0).then(|| sum as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(scores: &[(u64, Option<u64>)]) -> Summary {
        let read = |(score, nps): &(u64, Option<u64>)| {
            (Score::new(*score).unwrap(), nps.map(|nps| Nps::new(nps).unwrap()))
        };
        Summary::of(scores.iter().map(read))
    }

    #[test]
    fn fewer_than_five_answers_say_nothing_but_their_number() {
        for n in 1..5 {
            let few = given(&vec![(2, Some(0)); n]);
            assert_eq!((few.answers, few.mean, few.nps), (n as u64, None, None));
            assert_eq!((few.scores, few.withheld), ([0; 5], true));
        }
        let enough = given(&[(5, Some(10)), (4, Some(9)), (3, Some(7)), (2, None), (1, Some(0))]);
        assert_eq!((enough.mean, enough.scores, enough.withheld), (Some(3.0), [1; 5], false));
        assert_eq!((enough.nps_answers, enough.nps), (4, None), "of four recommendations none is told");
        let five = given(&[(5, Some(10)), (4, Some(9)), (3, Some(7)), (2, Some(6)), (1, Some(0))]);
        assert_eq!(five.nps, Some(0.0));
        assert_eq!(given(&[]), Summary::default());
    }

    #[test]
    fn answers_are_checked() {
        for (score, nps) in [(0, None), (6, None), (u64::MAX, None), (3, Some(11))] {
            assert!(Answer::new(score, nps, None, false).is_err(), "{score} {nps:?}");
        }
        assert!(Answer::new(3, None, Some(&"x".repeat(MAX_COMMENT + 1)), false).is_err());
        let good = Answer::new(5, Some(0), Some("  a\u{1b}b\nc "), true).unwrap();
        assert_eq!(good.comment.as_deref(), Some("a b\nc"));
        assert_eq!(Answer::new(5, None, Some("  "), false).unwrap().comment, None);
    }
}
