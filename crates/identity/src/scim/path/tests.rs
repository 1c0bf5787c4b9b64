use proptest::prelude::*;

use super::super::schema::{GROUP, USER};
use super::*;

#[test]
fn every_form_reads_and_prints() {
    let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
    let manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value";
    let address = r#"addresses[type eq "work" and not (country eq "CH")]"#;
    for (given, printed) in [
        ("userName", "userName"),
        ("USERNAME", "userName"),
        ("name.givenname", "name.givenName"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:name.familyName", "name.familyName"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:externalId", "externalId"),
        ("URN:IETF:params:scim:schemas:extension:enterprise:2.0:User:Department", department),
        (manager, manager),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ),
        (r#"emails[type eq "work"]"#, r#"emails[type eq "work"]"#),
        (r#"Emails[Type Eq "work"].Value"#, r#"emails[type eq "work"].value"#),
        (r#"roles[primary eq "True"].value"#, "roles[primary eq true].value"),
        (r#"emails[value eq "a]b[c"].type"#, r#"emails[value eq "a]b[c"].type"#),
        (address, address),
    ] {
        let path = Path::parse(given, &USER).unwrap_or_else(|e| panic!("{given}: {e}"));
        assert_eq!(path.to_string(), printed);
        assert_eq!(Path::parse(printed, &USER).as_ref(), Ok(&path));
    }
}

#[test]
fn hostile_paths_are_refused() {
    for (given, kind) in [
        ("", ErrorKind::InvalidPath),
        (" ", ErrorKind::InvalidPath),
        (".", ErrorKind::InvalidPath),
        ("userName.", ErrorKind::InvalidPath),
        ("userName.value", ErrorKind::InvalidPath),
        ("name.givenName.x", ErrorKind::InvalidPath),
        ("password", ErrorKind::InvalidPath),
        ("userName; DROP TABLE users", ErrorKind::InvalidPath),
        ("__proto__", ErrorKind::InvalidPath),
        ("urn:example:custom:2.0:User:tag", ErrorKind::InvalidPath),
        ("urn:ietf:params:scim:schemas:core:2.0:User:", ErrorKind::InvalidPath),
        ("urn:ietf:params:scim:schemas:core:2.0:Group:members", ErrorKind::InvalidPath),
        ("emails[", ErrorKind::InvalidPath),
        ("emails]", ErrorKind::InvalidPath),
        ("emails[]", ErrorKind::InvalidFilter),
        (r#"emails[type eq "work"]value"#, ErrorKind::InvalidPath),
        (r#"emails[type eq "work"].value.x"#, ErrorKind::InvalidPath),
        (r#"emails[type eq "work"][type eq "home"]"#, ErrorKind::InvalidFilter),
        (r#"emails.value[type eq "work"]"#, ErrorKind::InvalidPath),
        (r#"name[givenName eq "x"]"#, ErrorKind::InvalidPath),
        (r#"userName[value eq "x"]"#, ErrorKind::InvalidPath),
        (r#"emails[userName eq "x"]"#, ErrorKind::InvalidFilter),
        ("émails", ErrorKind::InvalidPath),
        (&"a".repeat(MAX_PATH + 1), ErrorKind::InvalidPath),
    ] {
        assert_eq!(Path::parse(given, &USER).map_err(|e| e.kind()), Err(kind), "{given}");
    }
    assert!(Path::parse("userName", &GROUP).is_err());
}

proptest! {
    #[test]
    fn never_panics_and_prints_what_it_read(
        text in r#"(emails\[type eq "|members|urn:|name|userName)?[\[\]."a-z:é ]{0,30}"#,
    ) {
        for kind in [&USER, &GROUP] {
            if let Ok(path) = Path::parse(&text, kind) {
                prop_assert_eq!(Path::parse(&path.to_string(), kind), Ok(path));
            }
        }
    }
}
