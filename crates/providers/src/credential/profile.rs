//! Amazon's profile files (`~/.aws/config` and `~/.aws/credentials`): where a profile's keys come from.

use std::collections::BTreeMap;

use crate::sigv4::AwsKeys;

/// Most profiles that lead to one another.
const MAX_DEPTH: usize = 5;

/// What the two files say, by profile. Holds secrets, so it is never shown.
pub struct Profiles(BTreeMap<String, BTreeMap<String, String>>);

/// Where a profile's keys come from.
pub struct Way {
    /// The profile that says where the first ones come from.
    pub profile: String,
    /// Where they come from.
    pub start: Start,
    /// The roles that are taken on one after the other, each with the keys of the one before.
    pub roles: Vec<ProfileRole>,
}

/// Where the first keys come from.
pub enum Start {
    /// They are in the file.
    Keys(AwsKeys),
    /// A token that the platform puts into this file takes on the first role.
    TokenFile(String),
    /// A command prints them.
    Process(String),
    /// The process's variables.
    Environment,
    /// The platform of a container.
    Container,
    /// The machine.
    Instance,
}

/// A role as a profile names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRole {
    /// Its name (ARN).
    pub arn: String,
    /// What the session is called; none if it is not said.
    pub session: Option<String>,
    /// What the role's owner may ask for; empty for nothing.
    pub external_id: String,
}

/// Why a profile is of no use. Never says anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProfile {
    /// There is none of this name.
    #[error("the profile `{0}` is in neither of the files")]
    Missing(String),
    /// It says nothing that leads to keys.
    #[error(
        "the profile `{0}` has neither keys nor a role with source_profile, credential_source or web_identity_token_file, nor credential_process"
    )]
    Nothing(String),
    /// It wants a person to sign in with a browser.
    #[error("the profile `{0}` needs a sign-in in a browser (sso), which a server cannot do: use a role")]
    SignIn(String),
    /// `credential_source` is none that is known.
    #[error("the profile `{0}` has an unknown credential_source `{1}`")]
    Source(String, String),
    /// Profiles lead to one another without end.
    #[error("the profile `{0}` leads through more than {MAX_DEPTH} others")]
    TooDeep(String),
}

impl Profiles {
    /// Reads the two files' texts. What is in both counts as in the second. Lines that are not understood are passed over, as
    /// Amazon's own clients do.
    pub fn parse(config: &str, credentials: &str) -> Self {
        let mut out = Self(BTreeMap::new());
        out.read(config, |title| match title.strip_prefix("profile") {
            Some(name) if name.starts_with([' ', '\t']) => Some(name.trim().trim_matches(['"', '\''])),
            _ => (title == "default").then_some(title),
        });
        out.read(credentials, |title| Some(title));
        out
    }

    /// Whether there is a profile of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Where a profile's keys come from.
    ///
    /// # Errors
    /// [`BadProfile`].
    pub fn way(&self, name: &str) -> Result<Way, BadProfile> {
        self.follow(name, 0)
    }

    /// The keys that a profile has in the files.
    pub fn keys(&self, name: &str) -> Option<AwsKeys> {
        let section = self.0.get(name)?;
        let get = |key: &str| section.get(key).map(String::as_str).filter(|value| !value.is_empty());
        Some(AwsKeys::new(get("aws_access_key_id")?, get("aws_secret_access_key")?, get("aws_session_token")))
    }

    fn read(&mut self, text: &str, title_of: impl Fn(&str) -> Option<&str>) {
        let mut section: Option<&mut BTreeMap<String, String>> = None;
        for line in text.trim_start_matches('\u{feff}').lines() {
            if let Some(title) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let name = title_of(title.trim());
                section = name.map(|name| self.0.entry(name.to_owned()).or_default());
                continue;
            }
            // What is indented belongs to the setting before it.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let (Some(section), Some((key, value))) = (&mut section, line.split_once('=')) {
                section.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }

    fn follow(&self, name: &str, depth: usize) -> Result<Way, BadProfile> {
        if depth > MAX_DEPTH {
            return Err(BadProfile::TooDeep(name.to_owned()));
        }
        let section = self.0.get(name).ok_or_else(|| BadProfile::Missing(name.to_owned()))?;
        let get = |key: &str| section.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let begin = |start| Ok(Way { profile: name.to_owned(), start, roles: Vec::new() });
        if let Some(arn) = get("role_arn") {
            let mut way =
                match (get("source_profile"), get("web_identity_token_file"), get("credential_source")) {
                    // A profile may take on a role with keys of its own.
                    (Some(source), ..) if source == name => match self.keys(name) {
                        Some(keys) => begin(Start::Keys(keys)),
                        None => Err(BadProfile::Nothing(name.to_owned())),
                    },
                    (Some(source), ..) => self.follow(source, depth + 1),
                    (None, Some(file), _) => begin(Start::TokenFile(file.to_owned())),
                    (None, None, Some("Environment")) => begin(Start::Environment),
                    (None, None, Some("EcsContainer")) => begin(Start::Container),
                    (None, None, Some("Ec2InstanceMetadata")) => begin(Start::Instance),
                    (None, None, Some(other)) => Err(BadProfile::Source(name.to_owned(), other.to_owned())),
                    (None, None, None) => Err(BadProfile::Nothing(name.to_owned())),
                }?;
            way.roles.push(ProfileRole {
                arn: arn.to_owned(),
                session: get("role_session_name").map(str::to_owned),
                external_id: get("external_id").unwrap_or_default().to_owned(),
            });
            return Ok(way);
        }
        if let Some(keys) = self.keys(name) {
            return begin(Start::Keys(keys));
        }
        if let Some(command) = get("credential_process") {
            return begin(Start::Process(command.to_owned()));
        }
        let needs_person =
            ["sso_session", "sso_start_url", "sso_account_id"].iter().any(|key| get(key).is_some());
        Err(if needs_person {
            BadProfile::SignIn(name.to_owned())
        } else {
            BadProfile::Nothing(name.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\u{feff}# a comment\n[default]\nregion = us-east-1\naws_access_key_id=AKOLD\naws_secret_access_key=x\n\
        s3 =\n  max_concurrent_requests = 20\n[profile deep]\nrole_arn = arn:aws:iam::1:role/deep\nsource_profile = mid\n\
        role_session_name = who\nexternal_id = e-1\n[profile  \"mid\"]\nRole_Arn = arn:aws:iam::1:role/mid\nsource_profile = default\n\
        [profile web]\nrole_arn = arn:aws:iam::1:role/web\nweb_identity_token_file = /var/token\n\
        [profile machine]\nrole_arn = arn:aws:iam::1:role/m\ncredential_source = Ec2InstanceMetadata\n\
        [profile own]\nrole_arn = r\nsource_profile = own\n[profile run]\ncredential_process = /bin/keys --json\n\
        [profile person]\nsso_session = corp\nsso_account_id = 1\n[sso-session corp]\nsso_start_url = https://x\n\
        [profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n\
        [profile odd]\nrole_arn = r\ncredential_source = Moon\n[profile bare]\nregion = x\n[profile lost]\nrole_arn = r\nsource_profile = nobody\n";
    const CREDENTIALS: &str = "[default]\naws_access_key_id = AKNEW\naws_secret_access_key = s/+=\naws_session_token = t==\n\
        [own]\naws_access_key_id = AKOWN\naws_secret_access_key = s\n";

    #[test]
    fn a_profile_leads_to_keys_through_roles() {
        let profiles = Profiles::parse(CONFIG, CREDENTIALS);
        let way = profiles.way("deep").unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<_> = way
            .roles
            .iter()
            .map(|role| (role.arn.as_str(), role.session.as_deref(), role.external_id.as_str()))
            .collect();
        assert_eq!(
            names,
            [("arn:aws:iam::1:role/mid", None, ""), ("arn:aws:iam::1:role/deep", Some("who"), "e-1")]
        );
        assert_eq!(way.profile, "default");
        let Start::Keys(keys) = way.start else { panic!("not keys") };
        assert!(keys == AwsKeys::new("AKNEW", "s/+=", Some("t==")), "the second file counts");
        let start = |name: &str| match profiles.way(name).map(|way| (way.start, way.roles.len())) {
            Ok((Start::Keys(keys), roles)) => format!("keys {} {roles}", keys.id()),
            Ok((Start::TokenFile(file), roles)) => format!("token {file} {roles}"),
            Ok((Start::Process(command), roles)) => format!("process {command} {roles}"),
            Ok((Start::Instance, roles)) => format!("instance {roles}"),
            Ok((Start::Environment | Start::Container, _)) => "other".to_owned(),
            Err(error) => error.to_string(),
        };
        for (name, expected) in [
            ("default", "keys AKNEW 0"),
            ("own", "keys AKOWN 1"),
            ("web", "token /var/token 1"),
            ("machine", "instance 1"),
            ("run", "process /bin/keys --json 0"),
            (
                "person",
                "the profile `person` needs a sign-in in a browser (sso), which a server cannot do: use a role",
            ),
            ("a", "the profile `a` leads through more than 5 others"),
            ("odd", "the profile `odd` has an unknown credential_source `Moon`"),
            ("lost", "the profile `nobody` is in neither of the files"),
            ("corp", "the profile `corp` is in neither of the files"),
        ] {
            assert_eq!(start(name), expected);
        }
        assert!(start("bare").contains("has neither keys nor a role"));
        assert!(profiles.has("default") && !profiles.has("nobody"));
    }
}
