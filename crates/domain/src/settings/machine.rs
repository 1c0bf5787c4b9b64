//! Machines that a user's settings go to.
//!
//! A machine is known by a number that the program asking for the settings there has drawn for itself, and its kind of
//! system. It says nothing else about the machine, and nothing proves it: who copies a number is counted as one machine.

use std::fmt;

use crate::time::DAY_MS;

/// The request header in which a machine is named, as [`Machine`] writes it.
pub const HEADER: &str = "x-gatehouse-machine";
/// Machines that are known of one user. The one seen longest ago makes room for another.
pub const MAX_MACHINES: usize = 20;
/// A machine that was not seen for so long, in milliseconds, is forgotten.
pub const FORGOTTEN_AFTER_MS: i64 = 90 * DAY_MS;

/// Names a machine of a user: 128 bits, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineId(u128);

/// A machine's kind of system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Linux, also within Windows.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
    /// Any other.
    Other,
}

/// A machine as it names itself: `0123456789abcdef0123456789abcdef; linux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Its number.
    pub id: MachineId,
    /// Its kind of system.
    pub platform: Platform,
}

impl MachineId {
    /// The number of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Reads a number; nothing but 32 digits `0-9` and `a-f` is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = text.len() == 32 && text.bytes().all(is_digit);
        if whole { u128::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Platform {
    /// The name used in the header, the database and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Macos => "macos",
            Self::Windows => "windows",
            Self::Other => "other",
        }
    }

    /// The system of this name; any other text names an other one.
    pub fn of(text: &str) -> Self {
        let named = [Self::Linux, Self::Macos, Self::Windows].into_iter().find(|it| it.as_str() == text);
        named.unwrap_or(Self::Other)
    }
}

impl Machine {
    /// Reads the header; nothing if it does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, platform) = text.split_once(';').unwrap_or((text, ""));
        Some(Self { id: MachineId::parse(id.trim())?, platform: Platform::of(platform.trim()) })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.id, self.platform.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_as_it_is_written() {
        let machine = Machine { id: MachineId::from_bytes([7; 16]), platform: Platform::Macos };
        assert_eq!(machine.to_string(), format!("{}; macos", "07".repeat(16)));
        assert_eq!(Machine::parse(&machine.to_string()), Some(machine));
        let small = Machine { id: MachineId::from_bytes([0; 16]), platform: Platform::Other };
        assert_eq!(Machine::parse(&small.to_string()), Some(small));
    }

    #[test]
    fn what_is_no_machine_is_none() {
        let digits = "07".repeat(16);
        for text in
            ["", ";", "linux", "+1", &digits[1..], &format!("{digits}0"), &"0A".repeat(16), &"é".repeat(16)]
        {
            assert_eq!(Machine::parse(text), None, "{text}");
        }
        let unnamed =
            [digits.clone(), format!("{digits};"), format!("{digits}; plan9; x"), format!(" {digits} ;x")];
        for text in unnamed {
            assert_eq!(
                Machine::parse(&text).map(|machine| machine.platform),
                Some(Platform::Other),
                "{text}"
            );
        }
    }
}
