//! All artifacts of some settings in one archive, with a signed list of them. It is checked without a server.
//!
//! `manifest.json` names every file with its SHA-256; `manifest.sig` is the Ed25519 signature of the manifest's bytes.

use gatehouse_domain::audit::{Hash, PublicKey, Signature, Signer};
use gatehouse_domain::settings::{Checksum, Document, Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BadArtifact, File, Format, Subject, files, tar};

/// Signed before every manifest, so that the signature can stand for nothing else.
const DOMAIN: &str = "gatehouse settings bundle v1\n";
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";
/// The file whose settings have the manifest's checksum.
const SETTINGS: &str = "linux/etc/claude-code/managed-settings.json";

/// The folders of a bundle, with what is in each.
const FOLDERS: [(&str, Format); 6] = [
    ("linux", Format::LinuxFile),
    ("macos", Format::MacosPlist),
    ("macos", Format::MacosMobileconfig),
    ("windows", Format::WindowsReg),
    ("windows", Format::WindowsAdmx),
    ("windows", Format::WindowsPowershell),
];

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: u32,
    /// Names the settings.
    pub id: String,
    /// The checksum that a client computes of them.
    pub checksum: String,
    /// Whose they are.
    #[serde(rename = "for")]
    pub of: String,
    /// The organization's name.
    pub organization: String,
    /// When the newest layer of them was published (RFC 3339).
    pub created: String,
    /// The oldest client that they let start.
    pub min_client: Option<String>,
    /// The key it is signed with.
    pub key: PublicKey,
    /// All other files.
    pub files: Vec<Listed>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Where it is.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// How many.
    pub bytes: u64,
}

/// A bundle that is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Whether it is signed with the key that was asked for.
    pub trusted: bool,
}

/// Why a bundle does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// It is no archive of ours.
    #[error(transparent)]
    Archive(#[from] tar::BadArchive),
    /// It has no manifest that can be read.
    #[error("the manifest is missing or cannot be read: {0}")]
    Manifest(String),
    /// It is signed with another key than was asked for.
    #[error("it is signed with the key {0}, and not with the one that was given")]
    OtherKey(PublicKey),
    /// The manifest was altered, or signed by nobody.
    #[error("the signature does not match: the manifest was altered")]
    Signature,
    /// A file is not the one that was signed.
    #[error("`{0}` was altered, is missing, or was added")]
    File(String),
    /// The settings do not have the checksum that the manifest names.
    #[error("the settings are not those that the manifest names")]
    Settings,
}

pub(super) fn make(subject: &Subject<'_>, signer: &Signer) -> Result<File, BadArtifact> {
    let mut contents = Vec::new();
    for (folder, format) in FOLDERS {
        for file in files(format, subject, signer)? {
            contents.push(File { path: format!("{folder}/{}", file.path), bytes: file.bytes });
        }
    }
    let lowest = Path::root().key("requiredMinimumVersion").find(subject.settings.as_map());
    let manifest = Manifest {
        format: 1,
        id: subject.uuid.to_owned(),
        checksum: subject.checksum.to_string(),
        of: subject.of.to_owned(),
        organization: subject.organization.to_owned(),
        created: subject.published_at.to_string(),
        min_client: lowest.and_then(|value| value.as_str()).map(str::to_owned),
        key: signer.public(),
        files: contents.iter().map(listed).collect(),
    };
    let mut text = serde_json::to_string_pretty(&manifest).expect("a manifest has text keys only");
    text.push('\n');
    let signature = signer.sign(DOMAIN, text.as_bytes());
    let mut all = vec![
        File { path: MANIFEST.to_owned(), bytes: text.into_bytes() },
        File { path: SIGNATURE.to_owned(), bytes: format!("{signature}\n").into_bytes() },
    ];
    all.extend(contents);
    let hex = subject.checksum.to_string();
    let short = hex.trim_start_matches("sha256:").get(..12).unwrap_or_default();
    Ok(File { path: format!("claude-code-settings-{short}.tar"), bytes: tar::write(&all) })
}

fn listed(file: &File) -> Listed {
    Listed {
        path: file.path.clone(),
        sha256: Hash::from_bytes(Sha256::digest(&file.bytes).into()),
        bytes: u64::try_from(file.bytes.len()).unwrap_or(u64::MAX),
    }
}

/// Checks a bundle: that it was signed, with this key if one is given, and that nothing in it was altered, added or removed.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(bytes: &[u8], trusted: Option<&PublicKey>) -> Result<Report, BadBundle> {
    let all = tar::read(bytes)?;
    let [first, second, contents @ ..] = all.as_slice() else {
        return Err(BadBundle::Manifest("the archive is empty".to_owned()));
    };
    if first.path != MANIFEST || second.path != SIGNATURE {
        return Err(BadBundle::Manifest(format!("`{}` comes first", first.path)));
    }
    let manifest: Manifest =
        serde_json::from_slice(&first.bytes).map_err(|error| BadBundle::Manifest(error.to_string()))?;
    if trusted.is_some_and(|key| *key != manifest.key) {
        return Err(BadBundle::OtherKey(manifest.key));
    }
    let signature = std::str::from_utf8(&second.bytes).ok();
    let signature = signature.and_then(|text| text.strip_suffix('\n')?.parse::<Signature>().ok());
    let signature = signature.ok_or(BadBundle::Signature)?;
    manifest.key.check(DOMAIN, &first.bytes, &signature).map_err(|_| BadBundle::Signature)?;
    for (at, file) in contents.iter().enumerate() {
        if manifest.files.get(at) != Some(&listed(file)) {
            return Err(BadBundle::File(file.path.clone()));
        }
    }
    if let Some(missing) = manifest.files.get(contents.len()) {
        return Err(BadBundle::File(missing.path.clone()));
    }
    let settings = contents.iter().find(|file| file.path == SETTINGS).ok_or(BadBundle::Settings)?;
    let document = Document::parse(&settings.bytes).map_err(|_| BadBundle::Settings)?;
    if Checksum::of(&document).to_string() != manifest.checksum {
        return Err(BadBundle::Settings);
    }
    Ok(Report { trusted: trusted.is_some(), manifest })
}
