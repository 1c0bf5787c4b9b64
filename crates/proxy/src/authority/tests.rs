use super::*;

const NOW: UnixMillis = UnixMillis(1_795_390_628_000);
const YEAR: Duration = Duration::from_hours(365 * 24);

fn made(hosts: &[&str]) -> Zeroizing<String> {
    let hosts: Vec<HostPattern> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    create("Corp", &hosts, YEAR, NOW).unwrap()
}

/// Certificate and key of a text.
fn split(text: &str) -> (String, String) {
    let end = "-----END CERTIFICATE-----\n";
    let at = text.find(end).unwrap() + end.len();
    (text[..at].to_owned(), text[at..].to_owned())
}

#[test]
fn it_is_good_for_its_names_and_nothing_else() {
    let authority = Authority::open(&made(&["api.anthropic.com", "*.tools.example"]), NOW).unwrap();
    let Facts { names, subject, from, until, .. } = authority.facts();
    assert_eq!(names, &["api.anthropic.com", "tools.example"]);
    assert_eq!(subject, "O=Corp, CN=Gatehouse inspection 2026-11-22");
    assert!(*from < NOW && *until == after(NOW, YEAR), "{from} {until}");
    for (host, expected) in [
        ("api.anthropic.com", Ok(())),
        ("a.b.tools.example", Ok(())),
        ("anthropic.com", Err(NoLeaf::Outside)),
        ("xapi.anthropic.com", Err(NoLeaf::Outside)),
        ("tools.example.evil", Err(NoLeaf::Outside)),
        ("claude.ai", Err(NoLeaf::Outside)),
        ("10.0.0.1", Err(NoLeaf::Outside)),
    ] {
        assert_eq!(authority.tls(host, NOW).map(drop), expected, "{host}");
    }
}

#[test]
fn its_constraints_are_critical() {
    let facts = Authority::open(&made(&["api.anthropic.com"]), NOW).unwrap().facts().clone();
    let certificate = CertificateDer::from_pem_slice(facts.certificate.as_bytes()).unwrap();
    for id in [[0x55, 0x1d, 30], [0x55, 0x1d, 19], [0x55, 0x1d, 15]] {
        let marked = [&[6, 3][..], &id, &[1, 1, 0xff]].concat();
        assert!(certificate.windows(marked.len()).any(|window| window == marked), "{id:?}");
    }
}

#[test]
fn certificates_are_kept_while_they_are_fresh_and_up_to_a_bound() {
    let authority = Authority::open(&made(&["example"]), NOW).unwrap();
    let first = authority.tls("a.example", NOW).unwrap();
    let later = |hours: i64| NOW.plus_millis(hours * 3_600_000);
    assert!(Arc::ptr_eq(&first, &authority.tls("a.example", later(100)).unwrap()));
    assert!(!Arc::ptr_eq(&first, &authority.tls("a.example", later(121)).unwrap()));
    for n in 0..MOST + 10 {
        authority.tls(&format!("h{n}.example"), later(122)).unwrap();
    }
    assert!(authority.leaves.lock().unwrap().len() <= MOST);
    assert_eq!(authority.tls("a.example", later(366 * 24)).map(drop), Err(NoLeaf::Expired));
    let end = authority.facts().until;
    assert!(authority.tls("b.example", end.plus_millis(-5000)).is_ok(), "until its last day");
}

/// As Microsoft's directory names authorities, and others do: a part twice, two parts in one, texts of several kinds.
#[test]
fn the_name_of_an_authority_is_whatever_it_is() {
    for (text, told) in [
        ("CN=Corp Issuing CA,DC=corp,DC=example,DC=com", "DC=com, DC=example, DC=corp, CN=Corp Issuing CA"),
        ("CN=CA+OU=PKI,OU=Security,O=Köln AG,C=DE", "C=DE, O=Köln AG, OU=Security, "),
    ] {
        let subject: Name = text.parse().unwrap();
        let Fresh { secret, key } = new_key().unwrap();
        let names = ["a.example".to_owned()];
        let wanted = Wanted {
            issuer: &subject,
            subject: &subject,
            from: NOW,
            until: after(NOW, YEAR),
            kind: Kind::Authority(&names),
        };
        let certificate = issue(&wanted, &*key, &*key).unwrap();
        let text = import(&pem("CERTIFICATE", &certificate), &pem("PRIVATE KEY", &secret), NOW).unwrap();
        let authority = Authority::open(&text, NOW).unwrap();
        assert!(authority.facts().subject.starts_with(told), "{}", authority.facts().subject);
        assert_eq!(authority.tls("a.example", NOW).map(drop), Ok(()));
    }
}

#[test]
fn only_an_authority_with_its_own_key_is_one() {
    let (one, other) = (made(&["a.example"]), made(&["a.example"]));
    let ((certificate, key), (_, foreign)) = (split(&one), split(&other));
    assert_eq!(import(&certificate, &key, NOW).unwrap().trim(), one.trim());
    let refused = |certificate: &str, key: &str, now| import(certificate, key, now).map(drop).unwrap_err();
    assert_eq!(refused(&certificate, &foreign, NOW), BadAuthority::Mismatch);
    assert_eq!(refused(&certificate, "", NOW), BadAuthority::Key);
    assert_eq!(refused("", &key, NOW), BadAuthority::Certificate);
    assert_eq!(refused(&certificate.repeat(2), &key, NOW), BadAuthority::Several);
    let over = NOW.plus_millis(400 * 24 * 3_600_000);
    assert!(matches!(refused(&certificate, &key, over), BadAuthority::Time { .. }));
    for cut in (0..one.len()).step_by(7) {
        // Whatever is left of it is an authority or a sentence, never a panic.
        drop(Authority::open(&one[..cut], NOW));
    }
}

#[test]
fn a_certificate_that_is_bent_is_none_or_is_read_without_a_panic() {
    let (certificate, _) = split(&made(&["a.example"]));
    let whole = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec();
    for at in 0..whole.len() {
        for byte in [0, 0x30, 0x7f, 0x80, 0xff] {
            let mut bent = whole.clone();
            bent[at] = byte;
            if let Some(read) = Read::of(&bent) {
                read.told();
            }
        }
    }
}

#[test]
fn it_is_made_for_hosts_that_can_have_a_certificate() {
    for bad in ["*", "10.0.0.0/8", "preset:core"] {
        let bad = [bad.parse().unwrap()];
        assert!(matches!(create("", &bad, YEAR, NOW).map(drop), Err(BadAuthority::Host(_))));
    }
    assert_eq!(create("", &[], YEAR, NOW).map(drop), Err(BadAuthority::NoHosts));
}

#[test]
fn times_far_away_are_written_and_read() {
    let hosts = ["a.example".parse().unwrap()];
    for years in [1, 10, 24, 40] {
        let text = create("", &hosts, YEAR * years, NOW).unwrap();
        let until = Authority::open(&text, NOW).unwrap().facts().until;
        assert_eq!(until, after(NOW, YEAR * years), "{years}");
    }
}
