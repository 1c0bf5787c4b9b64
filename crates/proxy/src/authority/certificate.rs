//! Certificates (RFC 5280): making the two kinds that are needed, and reading what an authority's says of itself.
//!
//! The name of an authority goes into what it issues as it stands in its own certificate, however it is put together; a
//! client compares the bytes.

use gatehouse_domain::time::UnixMillis;
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use sha2::{Digest as _, Sha256};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, SetOfVec, UtcTime};
use x509_cert::der::oid::db::{DB, rfc4519, rfc5280, rfc5912, rfc8410};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{self, Decode as _, Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::{Name, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// How signatures are told apart (RFC 5758, 8410, 4055), in the order in which they are preferred.
const ALGORITHMS: [(SignatureScheme, ObjectIdentifier); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, rfc5912::ECDSA_WITH_SHA_256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, rfc5912::ECDSA_WITH_SHA_384),
    (SignatureScheme::ED25519, rfc8410::ID_ED_25519),
    (SignatureScheme::RSA_PKCS1_SHA256, rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
];

/// A certificate to make.
pub(super) struct Wanted<'a> {
    /// The name of who issues it.
    pub(super) issuer: &'a Name,
    /// Its own name.
    pub(super) subject: &'a Name,
    /// When it begins to be good.
    pub(super) from: UnixMillis,
    /// When it ends.
    pub(super) until: UnixMillis,
    /// What it is for.
    pub(super) kind: Kind<'a>,
}

/// What a certificate is for.
pub(super) enum Kind<'a> {
    /// An authority for these names and what is below them, that issues no authorities.
    Authority(&'a [String]),
    /// A server of this name, issued by the key of this identifier, if that has one.
    Host(&'a str, Option<&'a [u8]>),
}

/// Makes a certificate of a key, signed by another or the same. None if the other signs in no way that is known here, or a part
/// of it cannot be written.
pub(super) fn issue(wanted: &Wanted<'_>, key: &dyn SigningKey, by: &dyn SigningKey) -> Option<Vec<u8>> {
    let signer = by.choose_scheme(&ALGORITHMS.map(|(scheme, _)| scheme))?;
    let (scheme, oid) = ALGORITHMS.into_iter().find(|(scheme, _)| *scheme == signer.scheme())?;
    let parameters = (scheme == SignatureScheme::RSA_PKCS1_SHA256).then(Any::null);
    let algorithm = AlgorithmIdentifierOwned { oid, parameters };
    let public = key.public_key()?;
    let mut serial: [u8; 16] = rand::random();
    // A positive number of as many bytes.
    serial[0] = serial[0] & 0x7f | 0x40;
    let fields = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial).ok()?,
        signature: algorithm.clone(),
        issuer: wanted.issuer.clone(),
        validity: Validity { not_before: time(wanted.from)?, not_after: time(wanted.until)? },
        subject: wanted.subject.clone(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&public).ok()?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions(&wanted.kind, &public).ok()?),
    };
    let signature = signer.sign(&fields.to_der().ok()?).ok()?;
    let signature = BitString::from_bytes(&signature).ok()?;
    Certificate { tbs_certificate: fields, signature_algorithm: algorithm, signature }.to_der().ok()
}

fn extensions(kind: &Kind<'_>, public: &[u8]) -> der::Result<Vec<Extension>> {
    match kind {
        Kind::Authority(names) => {
            let dns = |name: &String| -> der::Result<_> {
                Ok(subtree(GeneralName::DnsName(Ia5String::new(name)?)))
            };
            let address = |bytes: &[u8]| -> der::Result<_> {
                Ok(subtree(GeneralName::IpAddress(OctetString::new(bytes)?)))
            };
            let constraints = NameConstraints {
                permitted_subtrees: Some(names.iter().map(dns).collect::<der::Result<_>>()?),
                // A constraint on names alone would leave every address free.
                excluded_subtrees: Some(vec![address(&[0; 8])?, address(&[0; 32])?]),
            };
            let key_id = OctetString::new(&Sha256::digest(public)[..20])?;
            Ok(vec![
                critical(&BasicConstraints { ca: true, path_len_constraint: Some(0) })?,
                critical(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
                critical(&constraints)?,
                extension(&SubjectKeyIdentifier(key_id))?,
            ])
        }
        Kind::Host(name, key_id) => {
            let name = GeneralName::DnsName(Ia5String::new(name)?);
            let mut all = vec![
                critical(&BasicConstraints { ca: false, path_len_constraint: None })?,
                critical(&KeyUsage(KeyUsages::DigitalSignature.into()))?,
                extension(&ExtendedKeyUsage(vec![rfc5280::ID_KP_SERVER_AUTH]))?,
                extension(&SubjectAltName(vec![name]))?,
            ];
            if let Some(key_id) = key_id {
                let key_identifier = Some(OctetString::new(*key_id)?);
                all.push(extension(&AuthorityKeyIdentifier { key_identifier, ..Default::default() })?);
            }
            Ok(all)
        }
    }
}

const fn subtree(base: GeneralName) -> GeneralSubtree {
    GeneralSubtree { base, minimum: 0, maximum: None }
}

fn extension<T: AssociatedOid + Encode>(content: &T) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical: false, extn_value: OctetString::new(content.to_der()?)? })
}

/// One that who does not know it must refuse the certificate for.
fn critical<T: AssociatedOid + Encode>(content: &T) -> der::Result<Extension> {
    Ok(Extension { critical: true, ..extension(content)? })
}

/// A name of an organization, if there is one, and a common name. None if one is longer than anything that is written.
pub(super) fn name(organization: &str, common: &str) -> Option<Name> {
    let member = |oid: ObjectIdentifier, text: &str| {
        let value = Any::new(Tag::Utf8String, text.as_bytes())?;
        let members = SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?;
        Ok::<_, der::Error>(RelativeDistinguishedName(members))
    };
    let mut members = Vec::new();
    if !organization.is_empty() {
        members.push(member(rfc4519::O, organization).ok()?);
    }
    members.push(member(rfc4519::CN, common).ok()?);
    Some(Name::from(members))
}

/// A time, to the second: with two digits of the year up to 2049 (RFC 5280 4.1.2.5). None from the year 10000.
fn time(at: UnixMillis) -> Option<Time> {
    let since = std::time::Duration::from_secs(at.non_negative() / 1000);
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Some(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(since).ok().map(Time::GeneralTime),
    }
}

/// What a certificate says of itself.
pub(super) struct Read {
    /// Its name.
    pub(super) subject: Name,
    /// Its key.
    pub(super) public_key: Vec<u8>,
    /// Which of its key's it is, if it says.
    pub(super) key_id: Option<Vec<u8>>,
    /// When it begins to be good.
    pub(super) from: UnixMillis,
    /// When it ends.
    pub(super) until: UnixMillis,
    /// Whether it may issue others.
    pub(super) is_authority: bool,
    /// Names that it is good for.
    pub(super) names: Vec<String>,
}

impl Read {
    /// Reads a certificate, as far as it matters here. Its signature is not looked at.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let fields = Certificate::from_der(certificate).ok()?.tbs_certificate;
        let basic = fields.get::<BasicConstraints>().ok()?;
        let usage = fields.get::<KeyUsage>().ok()?;
        let key_id = fields.get::<SubjectKeyIdentifier>().ok()?;
        let constraints = fields.get::<NameConstraints>().ok()?;
        let may_sign = usage.is_none_or(|(_, usage)| usage.key_cert_sign());
        Some(Self {
            public_key: fields.subject_public_key_info.to_der().ok()?,
            key_id: key_id.map(|(_, SubjectKeyIdentifier(id))| id.into_bytes()),
            from: read_time(fields.validity.not_before)?,
            until: read_time(fields.validity.not_after)?,
            is_authority: basic.is_some_and(|(_, basic)| basic.ca) && may_sign,
            names: constraints.map_or_else(Vec::new, |(_, constraints)| permitted(&constraints)),
            subject: fields.subject,
        })
    }

    /// Its name, for people.
    pub(super) fn told(&self) -> String {
        let mut told = Vec::new();
        for member in self.subject.0.iter().flat_map(|members| members.0.iter()) {
            let called = DB.find_names_for_oid(member.oid).min_by_key(|called| called.len()).unwrap_or("?");
            let called = called.to_ascii_uppercase();
            let text = String::from_utf8_lossy(member.value.value());
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            told.push(format!("{called}={text}"));
        }
        told.join(", ")
    }
}

/// The host names that are permitted.
fn permitted(constraints: &NameConstraints) -> Vec<String> {
    let mut names = Vec::new();
    for subtree in constraints.permitted_subtrees.iter().flatten() {
        if let GeneralName::DnsName(name) = &subtree.base {
            names.push(name.as_str().trim_start_matches('.').to_ascii_lowercase());
        }
    }
    names
}

fn read_time(time: Time) -> Option<UnixMillis> {
    i64::try_from(time.to_unix_duration().as_millis()).ok().map(UnixMillis)
}
