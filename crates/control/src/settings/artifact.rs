//! Settings as files for machines and device management.
//!
//! The same settings always give the same bytes: no clock, no chance, no order that is not the document's. Where the
//! client looks on each system is in the paths; each format is read back by an independent reader in the tests.

use gatehouse_domain::settings::{Checksum, Document};
use gatehouse_domain::time::UnixMillis;
use serde_json::Value;

pub use bundle::{BadBundle, Report, verify};

mod bundle;
mod plist;
mod tar;
mod windows;

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `managed-settings.json` of Linux (and of the Windows Subsystem for Linux).
    LinuxFile,
    /// A file beside it, for machines that have one of their own already.
    LinuxDropin,
    /// A property list of managed preferences.
    MacosPlist,
    /// A configuration profile that carries it.
    MacosMobileconfig,
    /// A registry file.
    WindowsReg,
    /// An administrative template with texts in three languages, and the value to enter.
    WindowsAdmx,
    /// A script for device management that writes the registry value.
    WindowsPowershell,
    /// All of these in one signed archive.
    Bundle,
}

/// What is made into files.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The settings.
    pub settings: &'a Document,
    /// Their checksum.
    pub checksum: Checksum,
    /// Names them.
    pub uuid: &'a str,
    /// Whose they are: `user ada@example.com`, `team core`.
    pub of: &'a str,
    /// The organization's name.
    pub organization: &'a str,
    /// When the newest layer of them was published.
    pub published_at: UnixMillis,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, with `/` between folders.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Settings that a format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArtifact {
    /// A property list has nothing for it.
    #[error(
        "`{0}` is null, which a macOS property list cannot hold; remove the key, or export another format"
    )]
    Null(String),
    /// XML has no way to write it.
    #[error("`{0}` has a control character, which a macOS property list cannot hold")]
    Character(String),
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] = [
        Self::LinuxFile,
        Self::LinuxDropin,
        Self::MacosPlist,
        Self::MacosMobileconfig,
        Self::WindowsReg,
        Self::WindowsAdmx,
        Self::WindowsPowershell,
        Self::Bundle,
    ];

    /// Its name on the command line and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxFile => "linux-file",
            Self::LinuxDropin => "linux-dropin",
            Self::MacosPlist => "macos-plist",
            Self::MacosMobileconfig => "macos-mobileconfig",
            Self::WindowsReg => "windows-reg",
            Self::WindowsAdmx => "windows-admx",
            Self::WindowsPowershell => "windows-powershell",
            Self::Bundle => "bundle",
        }
    }
}

/// Makes the files of a format.
///
/// # Errors
/// The format cannot hold the settings.
pub fn files(
    format: Format,
    subject: &Subject<'_>,
    signer: &gatehouse_domain::audit::Signer,
) -> Result<Vec<File>, BadArtifact> {
    match format {
        Format::LinuxFile => Ok(vec![linux("etc/claude-code/managed-settings.json", subject)]),
        Format::LinuxDropin => {
            Ok(vec![linux("etc/claude-code/managed-settings.d/50-gatehouse.json", subject)])
        }
        Format::MacosPlist => Ok(vec![plist::preferences(subject)?]),
        Format::MacosMobileconfig => Ok(vec![plist::profile(subject)?]),
        Format::WindowsReg => Ok(vec![windows::registry(subject)]),
        Format::WindowsAdmx => Ok(windows::template(subject)),
        Format::WindowsPowershell => Ok(vec![windows::script(subject)]),
        Format::Bundle => Ok(vec![bundle::make(subject, signer)?]),
    }
}

fn linux(path: &str, subject: &Subject<'_>) -> File {
    let value = Value::Object(subject.settings.as_map().clone());
    File { path: path.to_owned(), bytes: format!("{value:#}\n").into_bytes() }
}

/// The settings on one line, as the Windows registry holds them.
fn one_line(subject: &Subject<'_>) -> String {
    Value::Object(subject.settings.as_map().clone()).to_string()
}

/// A text in XML, in an element or an attribute. Line ends are written as numbers, since readers of XML change them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
