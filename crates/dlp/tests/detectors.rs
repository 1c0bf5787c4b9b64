//! Each detector finds what its issuer issues, and nothing that only looks like it. All values are made here, at random.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]
#![expect(clippy::panic, reason = "a failed test panics")]

use gatehouse_dlp::{Detector, Kind, Scanner, Selection, all, find};
use gatehouse_domain::key::{KeyKind, VirtualKey};
use proptest::prelude::*;

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A linear congruential generator (Knuth's MMIX constants); the same seed gives the same values.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    /// So many characters of an alphabet, no two alike beside each other.
    fn of(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let mut out = String::new();
        while out.len() < count {
            let letter = letters[self.below(letters.len())];
            if !out.ends_with(letter) {
                out.push(letter);
            }
        }
        out
    }

    fn letters(&mut self, count: usize) -> String {
        self.of(BASE62, count)
    }

    /// So many characters of base64url, the last one a letter.
    fn url(&mut self, count: usize) -> String {
        let alphabet = format!("{BASE62}-_");
        format!("{}{}", self.of(&alphabet, count - 1), self.of(LOWER, 1))
    }

    fn base64(&mut self, count: usize) -> String {
        self.of(&format!("{BASE62}+/"), count)
    }

    fn hex(&mut self, count: usize) -> String {
        self.of(HEX, count)
    }
}

fn base62(number: u32) -> String {
    let digits: Vec<char> = BASE62.chars().collect();
    let mut number = usize::try_from(number).unwrap();
    let mut out = Vec::new();
    for _ in 0..6 {
        out.push(digits[number % 62]);
        number /= 62;
    }
    out.into_iter().rev().collect()
}

fn luhn(digits: &str) -> String {
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = digit.to_digit(10).unwrap();
            if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// GB 11643 by its own table of weights.
fn resident(front: &str) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &str = "10X98765432";
    let sum: u32 =
        front.chars().zip(WEIGHTS).map(|(digit, weight)| digit.to_digit(10).unwrap() * weight).sum();
    format!("{front}{}", CHECKS.chars().nth(usize::try_from(sum % 11).unwrap()).unwrap())
}

fn iban(country: &str, account: &str) -> String {
    let digits: String =
        format!("{account}{country}00").chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
    let rest = digits.chars().fold(0, |rest, digit| (rest * 10 + digit.to_digit(10).unwrap()) % 97);
    format!("{country}{:02}{account}", 98 - rest)
}

/// Something that a detector finds, and the part of it that is the secret.
#[expect(clippy::too_many_lines, reason = "a detector a line")]
fn sample(id: &str, r: &mut Random) -> (String, String) {
    let whole = |text: String| (text.clone(), text);
    let in_text = |front: &str, secret: String, behind: &str| (format!("{front}{secret}{behind}"), secret);
    match id {
        "gatehouse-key" => {
            let mut random = [0; 38];
            for byte in &mut random {
                *byte = u8::try_from(r.below(256)).unwrap();
            }
            let kind = [KeyKind::Virtual, KeyKind::Admin, KeyKind::Provisioning][r.below(3)];
            whole(VirtualKey::generate(kind, &random).reveal().to_string())
        }
        "private-key" => {
            let kind = ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "][r.below(5)];
            let length = [64, 2000][r.below(2)];
            let key = r.base64(length);
            let line_end = ["\n", "\\n", "\r\n"][r.below(3)];
            (format!("-----BEGIN {kind}PRIVATE KEY-----{line_end}{key}"), key)
        }
        "jwt" => whole(format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", r.url(40), r.url(43))),
        "database-url-password" => {
            let scheme = ["postgres", "mysql", "mongodb+srv", "rediss", "amqps"][r.below(5)];
            let password = r.letters(12);
            (format!("{scheme}://app:{password}@db.internal:5432/x"), password)
        }
        "age-key" => whole(format!("AGE-SECRET-KEY-1{}", r.of("023456789ACDEFGHJKLMNPQRSTUVWXYZ", 58))),
        "password-hash" => whole(format!("$2b$12${}", r.of(&format!("{BASE62}./"), 53))),
        "aws-access-key" => whole(format!("{}{}", ["AKIA", "ASIA"][r.below(2)], r.of(BASE32, 16))),
        "aws-secret-key" => {
            let name =
                ["aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=\"", "SecretAccessKey\": \""][r.below(3)];
            in_text(name, r.base64(40), "\n")
        }
        "aws-bedrock-key" => whole(format!("ABSK{}", r.base64(128))),
        "google-api-key" => whole(format!("AIza{}", r.url(35))),
        "google-oauth-secret" => whole(format!("GOCSPX-{}", r.url(28))),
        "google-access-token" => whole(format!("ya29.{}", r.url(120))),
        "gcp-service-account-key" => in_text("private_key_id\": \"", r.hex(40), "\""),
        "azure-storage-key" => in_text("AccountKey=", format!("{}==", r.base64(86)), ";"),
        "azure-client-secret" => whole(format!("{}8Q~{}", r.letters(3), r.url(34))),
        "azure-devops-token" => whole(format!("{}AZDO{}", r.letters(76), r.letters(4))),
        "alibaba-access-key" => whole(format!("LTAI{}", r.letters(20))),
        "tencent-secret-id" => whole(format!("AKID{}", r.letters(32))),
        "digitalocean-token" => whole(format!("dop_v1_{}", r.hex(64))),
        "github-token" => {
            let body = r.letters(30);
            let checksum = base62(crc32(body.as_bytes()));
            whole(format!("{}{body}{checksum}", ["ghp_", "gho_", "ghs_"][r.below(3)]))
        }
        "github-fine-grained-token" => whole(format!("github_pat_{}_{}", r.letters(22), r.letters(59))),
        "gitlab-token" => whole(format!("{}{}", ["glpat-", "glrt-", "gldt-"][r.below(3)], r.url(20))),
        "npm-token" => whole(format!("npm_{}", r.letters(36))),
        "pypi-token" => whole(format!("pypi-AgEIcHlwaS5vcmc{}", r.url(150))),
        "rubygems-key" => whole(format!("rubygems_{}", r.hex(48))),
        "docker-token" => whole(format!("dckr_pat_{}", r.url(27))),
        "vault-token" => whole(format!("hvs.{}", r.url(95))),
        "terraform-token" => whole(format!("{}.atlasv1.{}", r.letters(14), r.url(67))),
        "heroku-key" => whole(format!("HRKU-AA{}", r.url(58))),
        "netlify-token" => whole(format!("nfp_{}", r.letters(36))),
        "supabase-token" => whole(format!("sbp_{}", r.hex(40))),
        "planetscale-token" => whole(format!("pscale_tkn_{}", r.url(43))),
        "anthropic-key" => whole(format!("sk-ant-api03-{}AA", r.url(93))),
        "openai-key" => whole(format!("sk-proj-{}T3BlbkFJ{}", r.url(58), r.url(58))),
        "huggingface-token" => whole(format!("hf_{}", r.of(&format!("{LOWER}{UPPER}"), 34))),
        "groq-key" => whole(format!("gsk_{}", r.letters(52))),
        "xai-key" => whole(format!("xai-{}", r.letters(80))),
        "perplexity-key" => whole(format!("pplx-{}", r.letters(48))),
        "openrouter-key" => whole(format!("sk-or-v1-{}", r.hex(64))),
        "replicate-token" => whole(format!("r8_{}", r.letters(37))),
        "langsmith-key" => whole(format!("lsv2_pt_{}_{}", r.hex(32), r.hex(10))),
        "databricks-token" => whole(format!("dapi{}", r.hex(32))),
        "slack-token" => {
            let (a, b) = (r.of(DIGITS, 12), r.of(DIGITS, 13));
            whole(format!("{}-{a}-{b}-{}", ["xoxb", "xoxp"][r.below(2)], r.letters(24)))
        }
        "slack-webhook" => {
            let front = format!("https://hooks.slack.com/services/T{}/B{}/", r.of(UPPER, 9), r.of(UPPER, 9));
            in_text(&front, r.letters(24), "")
        }
        "discord-webhook" => {
            in_text(&format!("https://discord.com/api/webhooks/{}/", r.of(DIGITS, 18)), r.url(68), "")
        }
        "stripe-key" => whole(format!("sk_live_{}", r.letters(99))),
        "stripe-webhook-secret" => whole(format!("whsec_{}", r.letters(32))),
        "square-token" => whole(format!("sq0atp-{}", r.url(22))),
        "shopify-token" => whole(format!("shpat_{}", r.hex(32))),
        "sendgrid-key" => whole(format!("SG.{}.{}", r.url(22), r.url(43))),
        "twilio-key" => in_text(["TWILIO_AUTH_TOKEN=", "twilio.token: \""][r.below(2)], r.hex(32), "\n"),
        "brevo-key" => whole(format!("xkeysib-{}-{}", r.hex(64), r.letters(16))),
        "telegram-bot-token" => whole(format!("{}:AA{}", r.of(DIGITS, 10), r.url(33))),
        "atlassian-token" => whole(format!("ATATT3{}", r.url(186))),
        "linear-key" => whole(format!("lin_api_{}", r.letters(40))),
        "notion-token" => whole(format!("ntn_{}{}", r.of(DIGITS, 11), r.letters(35))),
        "figma-token" => whole(format!("figd_{}", r.url(40))),
        "postman-key" => whole(format!("PMAK-{}-{}", r.hex(24), r.hex(34))),
        "grafana-token" => whole(format!("glsa_{}_{}", r.letters(32), r.hex(8))),
        "newrelic-key" => whole(format!("NRAK-{}", r.of(&format!("{UPPER}{DIGITS}"), 27))),
        "dynatrace-token" => {
            let alphabet = format!("{UPPER}234567");
            whole(format!("dt0c01.{}.{}", r.of(&alphabet, 24), r.of(&alphabet, 64)))
        }
        "sentry-token" => whole(format!("sntryu_{}", r.hex(64))),
        "doppler-token" => whole(format!("dp.pt.{}", r.letters(43))),
        "payment-card" => {
            let (front, length) = [("4", 15), ("51", 15), ("34", 14), ("6011", 15), ("62", 15)][r.below(5)];
            let number = luhn(&format!("{front}{}", r.of(DIGITS, length - front.len())));
            let spaced = |text: &str, at: &[usize]| {
                let mut text = text.to_owned();
                at.iter().rev().for_each(|at| text.insert(*at, ' '));
                text
            };
            let groups: &[usize] = if number.len() == 15 { &[4, 10] } else { &[4, 8, 12] };
            whole(if r.below(2) == 0 { number } else { spaced(&number, groups) })
        }
        "china-resident-id" => {
            let birth = format!("{}{:02}{:02}", 1950 + r.below(60), 1 + r.below(12), 1 + r.below(28));
            whole(resident(&format!("11010{}{birth}{}", 1 + r.below(8), r.of(DIGITS, 3))))
        }
        "iban" => {
            let (country, length) = [("DE", 18), ("FR", 23), ("NO", 11), ("CH", 17)][r.below(4)];
            let number = iban(country, &r.of(DIGITS, length));
            let groups = number.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).unwrap());
            whole(if r.below(2) == 0 { number } else { groups.collect::<Vec<_>>().join(" ") })
        }
        _ => panic!("{id} has no sample: a detector needs one"),
    }
}

/// CRC-32 as ISO 3309 has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn scanner(words: &[&str]) -> Scanner {
    Scanner::new(&Selection::new(words.iter().copied(), []).unwrap())
}

/// What is found, in the text's own words.
fn found(scanner: &Scanner, text: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    scanner.scan(text.as_bytes(), |finding| {
        let secret = text[finding.start..finding.end].to_owned();
        out.push((scanner.detectors()[finding.detector].id, secret));
    });
    out
}

#[test]
fn each_detector_finds_what_it_is_for_in_all_surroundings() {
    let all_of_them = scanner(&["all"]);
    let mut random = Random(7);
    for detector in all() {
        let alone = scanner(&[detector.id]);
        for round in 0..20 {
            let (text, secret) = sample(detector.id, &mut random);
            for (front, behind) in [
                ("", ""),
                ("the value is ", "."),
                ("key = \"", "\",\nmore = 1"),
                ("first line\n", "\nlast line"),
                ("a JSON text within: \\n", "\\n"),
                ("\u{4e2d}\u{6587}\u{ff1a}", "\u{3002}"),
                ("<b>", "</b>"),
            ] {
                let text = format!("{front}{text}{behind}");
                let wanted = vec![(detector.id, secret.clone())];
                assert_eq!(found(&alone, &text), wanted, "{} in {text}, {round}", detector.id);
                assert!(found(&all_of_them, &text).contains(&wanted[0]), "{} among all", detector.id);
            }
        }
    }
}

#[test]
fn what_is_part_of_a_word_broken_off_or_made_up_is_nothing() {
    let mut random = Random(11);
    for detector in all() {
        let alone = scanner(&[detector.id]);
        for _ in 0..20 {
            let (text, secret) = sample(detector.id, &mut random);
            let made_up: String =
                secret.chars().map(|c| if c.is_ascii_alphanumeric() { 'x' } else { c }).collect();
            let short = &secret[..secret.len().min(120) / 6];
            let others =
                [format!("word{text}"), text.replace(&secret, &made_up), text.replace(&secret, short)];
            for other in others {
                let is_inner = other.starts_with("word") && text.find(&secret) != Some(0);
                if !is_inner {
                    assert_eq!(found(&alone, &other), [], "{}", detector.id);
                }
            }
        }
    }
}

#[test]
fn a_wrong_check_digit_is_nothing() {
    let mut random = Random(13);
    for id in ["github-token", "gatehouse-key", "payment-card", "china-resident-id", "iban"] {
        let alone = scanner(&[id]);
        for _ in 0..50 {
            let (_, secret) = sample(id, &mut random);
            let mut bytes = secret.into_bytes();
            let place = bytes.len() - 2;
            bytes[place] = match bytes[place] {
                b' ' => continue,
                b'9' => b'0',
                b'z' => b'a',
                b'Z' => b'A',
                byte => byte + 1,
            };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(found(&alone, &text), [], "{id}");
        }
    }
}

#[test]
fn ordinary_texts_have_nothing() {
    let scanner = scanner(&["all"]);
    let key = ["AKIA", "IOSFODNN7", "EXAMPLE"].concat();
    for text in [
        key.as_str(),
        "postgres://user:${DB_PASSWORD}@localhost/db and redis://:password@host",
        "mysql://root:<your password>@db, amqp://guest:guest@rabbit",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904, version 2024.11.28-1400",
        "2024-11-28 14:00:00.123456 pid=4111 port=11111111111111111",
        "550e8400-e29b-41d4-a716-446655440000",
        "1234567890123456 0000000000000000 4111111111111112",
        "GB33BUKB20201555555556 DE00 0000 0000 0000 0000 00",
        "110101199013011234 11010119900230123X",
        "the keys sk_live_ and sk-ant- and ghp_ begin so, as gh_ does",
        "const TOKEN: &str = \"hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\";",
    ] {
        assert_eq!(found(&scanner, text), [], "{text}");
    }
}

#[test]
fn the_catalogue_is_in_order() {
    let ids: Vec<&str> = all().map(|one| one.id).collect();
    for id in &ids {
        assert!(
            id.len() <= 32 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{id}"
        );
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id} is there twice");
        assert!(
            find(id).is_some_and(|one| one.what.starts_with('a') || one.what.starts_with("the ")),
            "{id}"
        );
    }
    assert!(ids.len() >= 60 && find("no-such").is_none());
    let of = |kind: Kind| all().filter(|one: &&Detector| one.kind == kind).count();
    assert_eq!((of(Kind::Personal), of(Kind::Secret) + 3), (3, ids.len()));
}

#[test]
fn a_selection_takes_groups_and_names_and_refuses_what_there_is_not() {
    let of = |wanted: &[&str], except: &[&str]| {
        Selection::new(wanted.iter().copied(), except.iter().copied()).map(|s| s.detectors().len())
    };
    let whole = all().count();
    assert_eq!(of(&["all"], &[]), Ok(whole));
    assert_eq!(of(&["secrets", "personal"], &["iban", "jwt"]), Ok(whole - 2));
    assert_eq!(of(&["iban", "iban"], &[]), Ok(1));
    assert_eq!(of(&[], &[]), Ok(0));
    assert!(of(&["secret"], &[]).is_err() && of(&["all"], &["nothing"]).is_err());
}

#[test]
fn a_text_made_to_be_slow_is_read_to_its_end() {
    let scanner = scanner(&["all"]);
    for part in [
        "eyJ",
        "eyJ.eyJ",
        "T3BlbkFJ",
        "redis://",
        "-----BEGIN RSA PRIVATE KEY-----",
        "Q~",
        ":AA",
        "4111 ",
        "DE00",
        "sk-ant-api03-",
    ] {
        let text = part.repeat(200_000 / part.len());
        scanner.scan(text.as_bytes(), |finding| assert!(finding.end <= text.len()));
    }
}

/// Bytes among which there are pieces of what is looked for.
fn some_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<Vec<u8>> = all()
        .map(|one| sample(one.id, &mut Random(17)).0.into_bytes())
        .flat_map(|whole| [whole[..whole.len() / 2].to_vec(), whole])
        .collect();
    let piece = prop_oneof![
        2 => proptest::sample::select(pieces),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        1 => proptest::collection::vec(proptest::sample::select(&b"0123456789 -X\n\"\\AD"[..]), 0..40),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn findings_lie_within_the_text_and_those_of_a_detector_apart(text in some_text()) {
        let scanner = scanner_of_all();
        let mut last = vec![0; scanner.detectors().len()];
        scanner.scan(&text, |finding| {
            assert!(finding.start < finding.end && finding.end <= text.len());
            assert!(finding.start >= last[finding.detector], "found twice");
            last[finding.detector] = finding.end;
        });
    }
}

fn scanner_of_all() -> &'static Scanner {
    static SCANNER: std::sync::LazyLock<Scanner> = std::sync::LazyLock::new(|| scanner(&["all"]));
    &SCANNER
}
