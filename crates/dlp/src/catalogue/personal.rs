//! Numbers of persons. Each carries a check digit; what has none (names, telephone numbers, addresses) is not looked for.

use crate::detector::{Detector, How, Kind};
use crate::number::Number;

pub(crate) const ALL: &[Detector] = &[
    Detector {
        id: "payment-card",
        kind: Kind::Personal,
        what: "a payment card's number",
        how: How::Number(Number::Card),
    },
    Detector {
        id: "china-resident-id",
        kind: Kind::Personal,
        what: "a resident identity number of China",
        how: How::Number(Number::Resident),
    },
    Detector {
        id: "iban",
        kind: Kind::Personal,
        what: "a bank account's number (IBAN)",
        how: How::Number(Number::Iban),
    },
];
