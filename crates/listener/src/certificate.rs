//! Who a client certificate is for: the one e-mail address among its alternative names (RFC 5280 4.2.1.6). And when a
//! certificate ends.
//!
//! A client's certificate was verified before; here it is only read. A common name is no identity.

use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The e-mail address that a certificate is for. None if it has none, or several: then it is not said who it is.
pub fn email(certificate: &[u8]) -> Option<String> {
    let fields = Certificate::from_der(certificate).ok()?.tbs_certificate;
    let (_, SubjectAltName(names)) = fields.get::<SubjectAltName>().ok()??;
    let mut found = None;
    for name in &names {
        if let GeneralName::Rfc822Name(email) = name
            && found.replace(email.as_str()).is_some()
        {
            return None;
        }
    }
    found.filter(|text| text.contains('@') && text.len() <= 254).map(str::to_ascii_lowercase)
}

/// When a certificate ends, in seconds since 1970 (UTC). None if that cannot be read.
pub fn ends_at(certificate: &[u8]) -> Option<i64> {
    let fields = Certificate::from_der(certificate).ok()?.tbs_certificate;
    i64::try_from(fields.validity.not_after.to_unix_duration().as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use x509_cert::certificate::{TbsCertificate, Version};
    use x509_cert::der::Encode as _;
    use x509_cert::der::asn1::{BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
    use x509_cert::der::oid::AssociatedOid as _;
    use x509_cert::der::oid::db::rfc8410::ID_ED_25519;
    use x509_cert::ext::Extension;
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
    use x509_cert::time::{Time, Validity};

    use super::*;

    /// A certificate with these alternative names in each of its extensions, that ends then.
    fn certificate(extensions: &[&[GeneralName]], critical: bool, not_after: Time) -> Vec<u8> {
        let algorithm = AlgorithmIdentifierOwned { oid: ID_ED_25519, parameters: None };
        let bits = |length: usize| BitString::from_bytes(&vec![7; length]).unwrap();
        let extension = |names: &&[GeneralName]| Extension {
            extn_id: SubjectAltName::OID,
            critical,
            extn_value: OctetString::new(SubjectAltName(names.to_vec()).to_der().unwrap()).unwrap(),
        };
        let fields = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[7]).unwrap(),
            signature: algorithm.clone(),
            issuer: "CN=Corp CA,DC=corp,DC=example".parse().unwrap(),
            validity: Validity { not_before: utc(1_577_836_800), not_after },
            subject: "CN=somebody@example.com".parse().unwrap(),
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: algorithm.clone(),
                subject_public_key: bits(32),
            },
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(extensions.iter().map(extension).collect()),
        };
        let signature = bits(64);
        Certificate { tbs_certificate: fields, signature_algorithm: algorithm, signature }.to_der().unwrap()
    }

    fn utc(seconds: u64) -> Time {
        Time::UtcTime(UtcTime::from_unix_duration(Duration::from_secs(seconds)).unwrap())
    }

    fn general(seconds: u64) -> Time {
        Time::GeneralTime(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).unwrap())
    }

    fn mail(text: &str) -> GeneralName {
        GeneralName::Rfc822Name(Ia5String::new(text).unwrap())
    }

    #[test]
    fn one_address_is_an_identity() {
        let host = || GeneralName::DnsName(Ia5String::new("host@example.com").unwrap());
        let dev = mail("Dev@Example.com");
        let found =
            |extensions: &[&[GeneralName]]| email(&certificate(extensions, false, utc(1_795_862_482)));
        assert_eq!(found(&[&[host(), dev.clone()]]).as_deref(), Some("dev@example.com"));
        let critical = certificate(&[std::slice::from_ref(&dev)], true, utc(1_795_862_482));
        assert_eq!(email(&critical).as_deref(), Some("dev@example.com"));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[&[host()]]), None);
        assert_eq!(found(&[&[dev.clone(), mail("b@example.com")]]), None);
        assert_eq!(found(&[std::slice::from_ref(&dev), std::slice::from_ref(&dev)]), None);
        assert_eq!(found(&[&[mail("nobody")]]), None);
        assert_eq!(found(&[&[mail(&format!("{}@example.com", "a".repeat(250)))]]), None);
        let mut odd = critical;
        let at = odd.windows(3).position(|part| part == b"Dev").unwrap();
        odd[at] = 0xff;
        assert_eq!(email(&odd), None);
        assert_eq!(email(b""), None);
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        for seconds in [0, 1_795_862_482, 2_524_607_999] {
            assert_eq!(ends_at(&certificate(&[], false, utc(seconds))), i64::try_from(seconds).ok());
        }
        for seconds in [2_524_608_000, 253_402_300_799] {
            assert_eq!(ends_at(&certificate(&[], false, general(seconds))), i64::try_from(seconds).ok());
        }
        let good = certificate(&[], false, utc(1_795_862_482));
        let at = good.windows(13).position(|part| part == b"261128104122Z").unwrap();
        for bad in [b"261328104122Z", b"261128104122+", b"26112810412 Z", b"269928104122Z"] {
            let mut bent = good.clone();
            bent[at..at + bad.len()].copy_from_slice(bad);
            assert_eq!(ends_at(&bent), None);
        }
        assert_eq!(ends_at(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize, byte in any::<u8>()) {
            let _ = (email(&bytes), ends_at(&bytes));
            let mut bent = certificate(&[&[mail("dev@example.com")]], false, utc(1_795_862_482));
            bent[at] = byte;
            let _ = (email(&bent), ends_at(&bent));
        }
    }
}
