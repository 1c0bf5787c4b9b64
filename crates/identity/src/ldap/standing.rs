//! Whether an account may be used, as the directory marks it, and what a refused bind says about it.

use gatehouse_domain::time::UnixMillis;

use super::entry::Entry;

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It may not, until someone changes its entry.
    Disabled(DisabledBy),
}

/// What disables an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBy {
    /// The bit `ACCOUNTDISABLE` of `userAccountControl` (Active Directory), or a value that cannot be read.
    AccountControl,
    /// `nsAccountLock` (389 Directory Server, FreeIPA).
    AccountLock,
    /// `pwdAccountLockedTime` with the value that no time lifts (OpenLDAP's password policy).
    PermanentLock,
    /// `accountExpires` lies in the past (Active Directory).
    Expiry,
    /// The entry says nothing, but the server refuses the bind with that reason.
    Server,
}

const ACCOUNT_CONTROL: &str = "userAccountControl";
const ACCOUNT_EXPIRES: &str = "accountExpires";
const ACCOUNT_LOCK: &str = "nsAccountLock";
const LOCKED_TIME: &str = "pwdAccountLockedTime";

/// `ACCOUNTDISABLE`.
const DISABLED_BIT: i64 = 0x2;
/// What an administrator writes into `pwdAccountLockedTime` to lock an account for good.
const LOCKED_FOR_GOOD: &str = "000001010000Z";

/// The names of what is read.
pub(super) fn attributes() -> impl Iterator<Item = &'static str> {
    [ACCOUNT_CONTROL, ACCOUNT_EXPIRES, ACCOUNT_LOCK, LOCKED_TIME].into_iter()
}

impl Standing {
    /// Reads the marks of an entry. A lock after wrong passwords is none of them: it passes by itself, and counting it
    /// would let anyone end somebody's sessions by typing wrong passwords.
    pub(super) fn read(entry: &Entry, now: UnixMillis) -> Self {
        let number =
            |name| entry.first(name).map(|value| std::str::from_utf8(value).ok()?.trim().parse::<i64>().ok());
        let disabled = match number(ACCOUNT_CONTROL) {
            Some(flags) if flags.is_none_or(|flags| flags & DISABLED_BIT != 0) => {
                Some(DisabledBy::AccountControl)
            }
            Some(_) | None => None,
        };
        let lock = || entry.text(ACCOUNT_LOCK).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let for_good = || entry.text(LOCKED_TIME) == Some(LOCKED_FOR_GOOD);
        let expired = || number(ACCOUNT_EXPIRES).flatten().is_some_and(|at| expired(at, now));
        let disabled = disabled
            .or_else(|| lock().then_some(DisabledBy::AccountLock))
            .or_else(|| for_good().then_some(DisabledBy::PermanentLock))
            .or_else(|| expired().then_some(DisabledBy::Expiry));
        disabled.map_or(Self::Active, Self::Disabled)
    }

    /// Whether the account may be used.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active)
    }
}

/// Milliseconds from 1601-01-01 to 1970-01-01.
const FILETIME_EPOCH_MS: i64 = 11_644_473_600_000;

/// Whether a time in units of 100 nanoseconds since 1601 has passed; 0 and the largest number mean never.
fn expired(filetime: i64, now: UnixMillis) -> bool {
    filetime > 0 && filetime != i64::MAX && filetime / 10_000 - FILETIME_EPOCH_MS <= now.0
}

/// Why someone was not signed in. For the log and the audit trail; whoever is refused is told the same in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The password is empty or blank: servers answer such a bind with success.
    #[error("the password is empty")]
    EmptyPassword,
    /// The password is too long or has a NUL character, or is no text.
    #[error("the password has a form that no directory accepts")]
    UnusablePassword,
    /// The name is empty, too long or has control characters.
    #[error("the name has a form that nobody's has")]
    UnusableName,
    /// Nobody has that name.
    #[error("nobody in the directory has that name")]
    UnknownUser,
    /// More than one entry matches: whose password counts is anybody's guess.
    #[error("more than one entry in the directory has that name")]
    Ambiguous,
    /// The password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The account is disabled or expired.
    #[error("the account is disabled in the directory")]
    Disabled(DisabledBy),
    /// The account is locked after wrong passwords.
    #[error("the account is locked in the directory after wrong passwords")]
    Locked,
    /// The password has expired.
    #[error("the password has expired and must be changed in the directory")]
    PasswordExpired,
    /// The password must be changed at the next sign-in.
    #[error("the password must be changed in the directory first")]
    PasswordMustChange,
    /// The account may not be used at this hour or from this machine.
    #[error("the directory does not let the account sign in at this time or from here")]
    Restricted,
}

/// What a refused bind says: a reason, or `None` when the server could not judge the password.
pub(super) fn refusal(code: u32, text: &str, entry: &Entry) -> Option<Refusal> {
    match code {
        INVALID_CREDENTIALS => Some(match sub_code(text) {
            Some(0x525) => Refusal::UnknownUser,
            Some(0x530 | 0x531) => Refusal::Restricted,
            Some(0x532) => Refusal::PasswordExpired,
            Some(0x533) => Refusal::Disabled(DisabledBy::Server),
            Some(0x701) => Refusal::Disabled(DisabledBy::Expiry),
            Some(0x773) => Refusal::PasswordMustChange,
            Some(0x775) => Refusal::Locked,
            // OpenLDAP says no more than this of a locked account; its entry does.
            Some(_) | None => match entry.text(LOCKED_TIME) {
                Some(LOCKED_FOR_GOOD) => Refusal::Disabled(DisabledBy::PermanentLock),
                Some(_) => Refusal::Locked,
                None => Refusal::WrongPassword,
            },
        }),
        // 389 Directory Server: too many wrong passwords, and a disabled account.
        CONSTRAINT_VIOLATION => Some(Refusal::Locked),
        UNWILLING if text.to_ascii_lowercase().contains("inactivated") => {
            Some(Refusal::Disabled(DisabledBy::Server))
        }
        // The entry has no password, or went away since it was found.
        INAPPROPRIATE_AUTHENTICATION => Some(Refusal::WrongPassword),
        NO_SUCH_OBJECT => Some(Refusal::UnknownUser),
        _ => None,
    }
}

const CONSTRAINT_VIOLATION: u32 = 19;
const NO_SUCH_OBJECT: u32 = 32;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;
const UNWILLING: u32 = 53;

/// The number after `data` in what Active Directory says of a refused bind:
/// `80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 52e, v3839`.
fn sub_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(", data ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits > 8 {
        return None;
    }
    u32::from_str_radix(&rest[..digits], 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn standing(name: &str, value: &str) -> Standing {
        Standing::read(&Entry::of("cn=a", &[(name, &[value])]), NOW)
    }

    #[test]
    fn marks_of_every_dialect_disable() {
        use DisabledBy::{AccountControl, AccountLock, Expiry, PermanentLock};
        for (name, value, by) in [
            ("userAccountControl", "514", AccountControl),
            ("useraccountcontrol", "66050", AccountControl),
            ("userAccountControl", "many", AccountControl),
            ("userAccountControl", "", AccountControl),
            ("nsAccountLock", "TRUE", AccountLock),
            ("nsaccountlock", "true", AccountLock),
            ("pwdAccountLockedTime", "000001010000Z", PermanentLock),
            ("accountExpires", "133000000000000000", Expiry),
            ("accountExpires", "1", Expiry),
        ] {
            assert_eq!(standing(name, value), Standing::Disabled(by), "{name}: {value}");
        }
        for (name, value) in [
            ("userAccountControl", "512"),
            ("userAccountControl", "66048"),
            ("nsAccountLock", "FALSE"),
            ("pwdAccountLockedTime", "20261101120000Z"),
            ("accountExpires", "0"),
            ("accountExpires", "9223372036854775807"),
            ("accountExpires", "150000000000000000"),
            ("accountExpires", "-1"),
            ("description", "514"),
        ] {
            assert!(standing(name, value).is_active(), "{name}: {value}");
        }
    }

    #[test]
    fn sub_codes_of_active_directory_are_told_apart() {
        let entry = Entry::of("cn=a", &[]);
        for (code, reason) in [
            ("525", Refusal::UnknownUser),
            ("52e", Refusal::WrongPassword),
            ("52E", Refusal::WrongPassword),
            ("530", Refusal::Restricted),
            ("531", Refusal::Restricted),
            ("532", Refusal::PasswordExpired),
            ("533", Refusal::Disabled(DisabledBy::Server)),
            ("701", Refusal::Disabled(DisabledBy::Expiry)),
            ("773", Refusal::PasswordMustChange),
            ("775", Refusal::Locked),
            ("", Refusal::WrongPassword),
            ("fffffffff", Refusal::WrongPassword),
            ("\u{fc}", Refusal::WrongPassword),
        ] {
            let text = format!(
                "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {code}, v3839\0"
            );
            assert_eq!(refusal(49, &text, &entry), Some(reason), "{code}");
        }
    }

    #[test]
    fn other_servers_say_it_in_their_own_way() {
        let entry = Entry::of("cn=a", &[]);
        let locked = Entry::of("cn=a", &[("pwdAccountLockedTime", &["20261101120000Z"])]);
        assert_eq!(refusal(49, "", &entry), Some(Refusal::WrongPassword));
        assert_eq!(refusal(49, "", &locked), Some(Refusal::Locked));
        assert_eq!(
            refusal(19, "Exceed password retry limit. Please try later.", &entry),
            Some(Refusal::Locked)
        );
        assert_eq!(
            refusal(53, "Account inactivated. Contact system administrator.", &entry),
            Some(Refusal::Disabled(DisabledBy::Server))
        );
    }

    #[test]
    fn a_server_that_cannot_judge_refuses_nobody() {
        let entry = Entry::of("cn=a", &[]);
        for code in [1, 2, 3, 8, 10, 11, 13, 14, 51, 52, 53, 80, 88] {
            assert_eq!(refusal(code, "", &entry), None, "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(code in 0_u32..100, text: String) {
            let _ = refusal(code, &format!("x, data {text}"), &Entry::of("cn=a", &[]));
        }
    }
}
