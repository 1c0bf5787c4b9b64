//! What is known of the settings on a user's client.
//!
//! The client tells which settings it has by their checksum: with `If-None-Match` when it asks for them, and with
//! `x-claude-code-managed-settings-checksum` on requests. It is of what it *kept*, so that entries it dropped show.

use serde::Serialize;

use super::checksum::Checksum;
use super::version::ClientVersion;
use crate::time::{DAY_MS, UnixMillis};

/// A client that was not seen for so long, in milliseconds, is [`ReceiptState::Unseen`].
pub const UNSEEN_AFTER_MS: i64 = 14 * DAY_MS;

/// The same news is worth writing down again only so many milliseconds later: a client tells with every request.
pub const SAME_NEWS_MS: i64 = 60_000;

/// What was last exchanged with a user's client about its settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The settings last handed to it, and when.
    pub offered: Option<(Checksum, UnixMillis)>,
    /// What it had when these were handed to it.
    pub before: Option<Checksum>,
    /// What it last said it has, and when.
    pub reported: Option<(Checksum, UnixMillis)>,
    /// Its version, where it told.
    pub client: Option<ClientVersion>,
    /// When it was last seen at all.
    pub seen_at: Option<UnixMillis>,
}

/// How far a user's settings have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// They wait for the client to ask.
    Assigned,
    /// The client got them and has not yet said that it applied them. It may wait for the user's approval.
    Offered,
    /// The client has them.
    Confirmed,
    /// The client has others: older ones that it kept, or some that are not ours.
    Drifted,
    /// The client got them and has applied something else: it dropped what it could not read.
    Partial,
    /// The client's version is outside the range they demand.
    Blocked,
    /// No client of the user was ever seen, or none for a long time.
    Unseen,
}

/// The versions of the client that settings let start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionRange {
    /// The lowest.
    pub lowest: Option<ClientVersion>,
    /// The highest.
    pub highest: Option<ClientVersion>,
}

impl ReceiptState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Assigned,
        Self::Offered,
        Self::Confirmed,
        Self::Drifted,
        Self::Partial,
        Self::Blocked,
        Self::Unseen,
    ];

    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Offered => "offered",
            Self::Confirmed => "confirmed",
            Self::Drifted => "drifted",
            Self::Partial => "partial",
            Self::Blocked => "blocked",
            Self::Unseen => "unseen",
        }
    }
}

impl VersionRange {
    fn shuts_out(&self, client: ClientVersion) -> bool {
        self.lowest.is_some_and(|lowest| client < lowest)
            || self.highest.is_some_and(|highest| client > highest)
    }
}

impl Receipt {
    /// Notes what a client says it has. Older news than what is known changes nothing.
    pub fn report(&mut self, has: Option<Checksum>, client: Option<ClientVersion>, now: UnixMillis) {
        if let Some(has) = has
            && self.reported.is_none_or(|(_, at)| at <= now)
        {
            self.reported = Some((has, now));
        }
        self.client = client.or(self.client);
        self.seen_at = self.seen_at.max(Some(now));
    }

    /// Whether it is worth writing down: it tells something else than the one before it, or the same at least
    /// [`SAME_NEWS_MS`] after the client was last written down as seen.
    pub fn is_news(&self, before: &Self, written: Option<UnixMillis>) -> bool {
        let content = |receipt: &Self| {
            let has = receipt.reported.map(|(has, _)| has);
            (receipt.offered, receipt.before, has, receipt.client)
        };
        let is_later = |seen| written.is_none_or(|written| written.plus_millis(SAME_NEWS_MS) <= seen);
        content(self) != content(before) || self.seen_at.is_some_and(is_later)
    }

    /// Notes that settings were handed to a client. To hand out the same once more changes nothing: it had the chance to
    /// apply them since the first time.
    pub fn offer(&mut self, settings: Checksum, now: UnixMillis) {
        if self.offered.is_none_or(|(last, at)| last != settings && at <= now) {
            self.before = self.reported.map(|(has, _)| has);
            self.offered = Some((settings, now));
        }
        self.seen_at = self.seen_at.max(Some(now));
    }

    /// How far a user has come with the settings assigned to them.
    pub fn state(&self, assigned: Checksum, range: VersionRange, now: UnixMillis) -> ReceiptState {
        if self.client.is_some_and(|client| range.shuts_out(client)) {
            return ReceiptState::Blocked;
        }
        if self.reported.is_some_and(|(has, _)| has == assigned) {
            return ReceiptState::Confirmed;
        }
        if self.seen_at.is_none_or(|at| at.plus_millis(UNSEEN_AFTER_MS) <= now) {
            return ReceiptState::Unseen;
        }
        let got_them = self.offered.filter(|(settings, _)| *settings == assigned);
        match (got_them, self.reported) {
            (Some(_), None) => ReceiptState::Offered,
            // What it said when it asked for them is of the time before.
            (Some((_, offered)), Some((_, reported))) if reported <= offered => ReceiptState::Offered,
            (Some(_), Some((has, _))) if self.before == Some(has) => ReceiptState::Drifted,
            (Some(_), Some(_)) => ReceiptState::Partial,
            (None, None) => ReceiptState::Assigned,
            (None, Some((has, _))) if self.offered.is_some_and(|(last, _)| last == has) => {
                ReceiptState::Assigned
            }
            (None, Some(_)) => ReceiptState::Drifted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixMillis = UnixMillis(1_000_000_000_000);
    const ANY: VersionRange = VersionRange { lowest: None, highest: None };

    fn sum(n: u8) -> Checksum {
        Checksum::from_bytes([n; 32])
    }

    fn at(minutes: i64) -> UnixMillis {
        T.plus_millis(minutes * 60_000)
    }

    /// The client asks: it tells what it has, and is given what is assigned unless that is the same.
    fn ask(receipt: &mut Receipt, has: Option<Checksum>, assigned: Checksum, now: UnixMillis) {
        receipt.report(has, None, now);
        if has != Some(assigned) {
            receipt.offer(assigned, now);
        }
    }

    #[test]
    fn the_way_of_ordinary_settings() {
        let mut receipt = Receipt::default();
        assert_eq!(receipt.state(sum(1), ANY, at(0)), ReceiptState::Unseen);
        ask(&mut receipt, None, sum(1), at(1));
        assert_eq!(receipt.state(sum(1), ANY, at(1)), ReceiptState::Offered);
        ask(&mut receipt, Some(sum(1)), sum(1), at(61));
        assert_eq!(receipt.state(sum(1), ANY, at(61)), ReceiptState::Confirmed);
        // Others are published; the client has not asked yet.
        assert_eq!(receipt.state(sum(2), ANY, at(70)), ReceiptState::Assigned);
        ask(&mut receipt, Some(sum(1)), sum(2), at(121));
        assert_eq!(receipt.state(sum(2), ANY, at(121)), ReceiptState::Offered);
        ask(&mut receipt, Some(sum(2)), sum(2), at(181));
        assert_eq!(receipt.state(sum(2), ANY, at(181)), ReceiptState::Confirmed);
    }

    #[test]
    fn a_client_that_keeps_the_old_ones_has_drifted_and_one_that_keeps_half_is_partial() {
        let mut receipt = Receipt::default();
        ask(&mut receipt, Some(sum(1)), sum(2), at(0));
        let mut other = receipt.clone();
        ask(&mut receipt, Some(sum(1)), sum(2), at(60));
        assert_eq!(receipt.state(sum(2), ANY, at(60)), ReceiptState::Drifted);
        other.report(Some(sum(9)), None, at(1));
        assert_eq!(other.state(sum(2), ANY, at(1)), ReceiptState::Partial);
    }

    #[test]
    fn settings_that_are_not_ours_are_drift() {
        let mut receipt = Receipt::default();
        receipt.report(Some(sum(9)), None, at(0));
        assert_eq!(receipt.state(sum(1), ANY, at(0)), ReceiptState::Drifted);
    }

    #[test]
    fn versions_out_of_range_are_blocked_and_long_silence_is_unseen() {
        let version = |text| ClientVersion::parse(text).ok();
        let range = VersionRange { lowest: version("2.1.300"), highest: version("2.2.0") };
        for (client, state) in [
            ("2.1.299", ReceiptState::Blocked),
            ("2.1.300", ReceiptState::Confirmed),
            ("2.2.0", ReceiptState::Confirmed),
            ("2.2.1", ReceiptState::Blocked),
        ] {
            let mut receipt = Receipt::default();
            receipt.report(Some(sum(1)), version(client), at(0));
            assert_eq!(receipt.state(sum(1), range, at(0)), state, "{client}");
        }
        let mut receipt = Receipt::default();
        ask(&mut receipt, None, sum(1), at(0));
        let late = at(0).plus_millis(UNSEEN_AFTER_MS);
        assert_eq!(receipt.state(sum(1), ANY, late.plus_millis(-1)), ReceiptState::Offered);
        assert_eq!(receipt.state(sum(1), ANY, late), ReceiptState::Unseen);
    }

    #[test]
    fn old_news_change_nothing() {
        let mut receipt = Receipt::default();
        ask(&mut receipt, Some(sum(2)), sum(2), at(10));
        receipt.report(Some(sum(1)), None, at(5));
        receipt.offer(sum(3), at(10));
        receipt.offer(sum(1), at(5));
        assert_eq!(receipt.reported, Some((sum(2), at(10))));
        assert_eq!(receipt.offered, Some((sum(3), at(10))));
        assert_eq!(receipt.seen_at, Some(at(10)));
    }
}
