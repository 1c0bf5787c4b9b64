//! What the configuration reader promises.

use gatehouse_providers::anthropic::CredentialKind;

use super::*;

const CANARY: &str = "sk-ant-canary-5f3a";

fn load_text(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Config, Vec<String>> {
    let mut mistakes = Vec::new();
    let file = tree::parse("my.toml", text, &mut mistakes);
    let sources = Sources {
        file: None,
        variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        flags: flags.iter().map(|f| (*f).to_owned()).collect(),
    };
    let tree = merge(Some(file), &sources, &mut mistakes);
    understand(&tree, mistakes).map_err(|m| m.0.iter().map(ToString::to_string).collect())
}

fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load_text(text, variables, &[]).err().expect("it has mistakes")
}

/// The commented examples of `config.default.toml`, with the comment signs taken off.
fn with_examples() -> String {
    let mut example = false;
    DEFAULTS
        .lines()
        .map(|line| {
            example = line.starts_with("# [[") || (example && line.starts_with("# "));
            if example { line[2..].to_owned() } else { line.to_owned() }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_defaults_are_a_good_configuration() {
    let config = load_text("", &[], &[]).unwrap();
    assert_eq!(config.listen.gateway.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:8081");
    assert_eq!(config.gateway.limits.max_body, 32 << 20);
    assert_eq!(config.gateway.limits.ping.as_secs(), 15);
    assert_eq!(config.pricing.terms.default.unwrap().cache_write_5m, 6_250_000);
    assert!(config.providers.is_empty());
}

#[test]
fn every_setting_of_the_manual_is_known_examples_included() {
    let text = with_examples();
    assert!(text.contains("\n[[provider]]") && text.contains("\n[[pricing.contract]]"));
    let config = load_text(&text, &[], &[]).unwrap();
    assert_eq!(config.providers.len(), 4);
    assert_eq!(config.pricing.terms.contracts.len(), 1);
}

/// The other way round: nothing is read that the manual does not name.
#[test]
fn every_setting_the_reader_asks_for_is_in_the_manual() {
    let mut found = Vec::new();
    let tree = tree::parse("manual", &with_examples(), &mut found);
    let reader = Reader::new(found);
    assert!(reader.section("", &tree, None, |top| read_all(top, &tree)).is_some());
    assert_eq!(reader.absent(), Vec::<String>::new());
    let bare = tree::parse("bare", "[[provider]]\nname = \"a\"\n", &mut Vec::new());
    let reader = Reader::default();
    reader.section("", &bare, None, |top| read_all(top, &bare));
    assert!(reader.absent().iter().any(|key| key == "provider[a].api_key"), "absence is noticed");
}

#[test]
fn a_wrong_address_hides_no_other_mistake() {
    let one = mistakes("[listen]\ngateway = \"nowhere\"\n", &[]);
    assert!(one.len() == 1 && one[0].contains("listen.gateway"), "{one:?}");
    let both = mistakes("[listen]\ngateway = \"nowhere\"\nadmin = \"nobody\"\n", &[]);
    assert!(both.len() == 2 && both[1].contains("listen.admin"), "{both:?}");
}

#[test]
fn five_mistakes_are_reported_at_once_with_their_lines() {
    let text = "[listen]\ngatewya = \"127.0.0.1:1\"\n\n[gateway]\nworkers = \"two\"\nmax_body_mib = 0\n\n[lgo]\nfilter = \"info\"\n\n[[provider]]\nname = \"main\"\nkind = \"bedrok\"\napi_key = \"env:K\"\n";
    let found = mistakes(text, &[("GATEHOUSE__DRAIN__SECONDS", "soon")]);
    assert_eq!(
        found,
        [
            "my.toml:2: listen.gatewya: unknown setting (did you mean `gateway`?)",
            "my.toml:5: gateway.workers: expected a whole number from 0 to 1024, found a text",
            "my.toml:6: gateway.max_body_mib: expected a whole number from 1 to 1024, found `0`",
            "my.toml:8: lgo: unknown section (did you mean `log`?)",
            "my.toml:13: provider[main].kind: expected \"anthropic\" or \"bedrock\" or \"bedrock-mantle\" or \"claude-platform-aws\" or \"vertex\" or \"foundry\", found `bedrok` (did you mean `bedrock`?)",
            "GATEHOUSE__DRAIN__SECONDS: drain.seconds: expected a whole number from 0 to 86400, found `soon`",
        ]
    );
}

#[test]
fn each_kind_of_mistake_names_its_place() {
    for (text, expected) in [
        ("[listen]\nproxy = \"on\"", "my.toml:2: listen.proxy: expected an address and a port"),
        (
            "[proxy]\nconnect_ports = [\"https\"]",
            "my.toml:2: proxy.connect_ports: expected a list of ports such as [443]",
        ),
        ("[proxy]\ntls_key = \"k.pem\"", "proxy.tls_certificate and proxy.tls_key go together"),
        ("[proxy]\nsources = { \"10.0.0.0/8\" = \"x\" }", "`10.0.0.0/8` has no e-mail address"),
        ("[proxy]\nunnamed = \"al\"", "proxy.unnamed: expected \"refuse\" or \"tls\" or \"anything\""),
        (
            "[listen]\nadmin = \"127.0.0.1:8080\"",
            "my.toml:2: listen.admin: `127.0.0.1:8080` is already the gateway's",
        ),
        ("[listen]\ngateway = \"nowhere\"", "my.toml:2: listen.gateway: expected an address and a port"),
        ("[counters]\nurl = \"http://h\"", "my.toml:2: counters.url: expected \"memory\" or an address"),
        ("[store]\nurl = \"mysql://h\"", "my.toml:2: store.url: expected \"sqlite\" or"),
        ("[log]\nfilter = \"a=b=c\"", "my.toml:2: log.filter: expected a filter such as"),
        ("[log]\nformat = \"jsno\"", "found `jsno` (did you mean `json`?)"),
        ("gateway = 3", "my.toml:1: gateway: expected a section ([gateway]), found a number"),
        ("[gateway]\nworkers = 1\nworkers = 2", "my.toml:3: not TOML: duplicate key"),
        ("[gateway\nworkers = 1", "my.toml:1: not TOML: "),
        (
            "[pricing]\ndiscount_percent = 101",
            "my.toml:2: pricing.discount_percent: expected a number from 0 to 100",
        ),
        ("[pricing]\ndefault_input_usd = 0", "must not be zero"),
        (
            "[[pricing.contract]]\nmodel = \"a*b\"\ndiscount_percent = 1",
            "pricing.contract[0].model: `a*b` is not a model pattern",
        ),
        ("[[pricing.contract]]\nmodel = \"a\"", "says neither a discount nor prices"),
        ("[[pricing.contract]]\nmodel = \"a\"\ninput_usd = 1", "need both input_usd and output_usd"),
        ("[provider]\nname = \"x\"", "provider: expected [[provider]] sections, found a section"),
        ("[[provider]]\napi_key = \"env:K\"", "my.toml:1: provider[0].name: it is required"),
        ("[[provider]]\nname = \"a\"", "my.toml:1: provider[a].api_key: it is required"),
        (
            "[[provider]]\nname = \"a\"\napi_key = \"env:K\"\n[[provider]]\nname = \"a\"\napi_key = \"env:K\"",
            "there is already a provider named `a`",
        ),
        (
            "[[provider]]\nname = \"a\"\napi_key = \"env:K\"\nbase_url = \"ftp://h\"",
            "it must begin with http:// or https://",
        ),
        ("[journal]\nmax_mib = 16", "my.toml:2: journal.max_mib: it must hold at least four files"),
        ("[gateway]\nbody_budget_mib = 8", "smaller than gateway.max_body_mib"),
    ] {
        let found = mistakes(text, &[]);
        assert!(found.iter().any(|m| m.contains(expected)), "{text:?} gave {found:?}");
    }
}

#[test]
fn secrets_in_the_wrong_place_are_refused_and_never_repeated() {
    let texts = [
        format!("[[provider]]\nname = \"a\"\napi_key = \"{CANARY}\""),
        format!("[[provider]]\nname = \"a\"\napi_key = [\"{CANARY}\"]"),
        format!("[[provider]]\nname = \"a\"\napi_key = {CANARY}"),
        format!("[secrets]\nmaster_key = \"{CANARY}\""),
        format!("[secrets]\nprevious_master_keys = [\"{CANARY}\", 7]"),
        format!("[store]\nurl = \"mysql://u:{CANARY}@h\""),
    ];
    for text in &texts {
        let found = mistakes(text, &[]).join("\n");
        assert!(!found.contains(CANARY), "{found}");
    }
    let found = mistakes("", &[("GATEHOUSE__PROVIDER__MAIN__API_KEY", CANARY)]).join("\n");
    assert!(
        found.contains("GATEHOUSE__PROVIDER__MAIN__API_KEY: provider[main].api_key: a key does not belong")
    );
    assert!(!found.contains(CANARY), "{found}");
    let config =
        load_text("", &[("GATEHOUSE__STORE__URL", &format!("postgres://u:{CANARY}@h/d"))], &[]).unwrap();
    assert!(config.shown.iter().all(|shown| !shown.value.contains(CANARY)));
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let text = "[gateway]\nworkers = 1\nmax_in_flight = 7\nidle_seconds = 9\n";
    let variables = [
        ("GATEHOUSE__GATEWAY__WORKERS", "2"),
        ("GATEHOUSE__GATEWAY__MAX_IN_FLIGHT", "8"),
        ("GATEHOUSE_LOG", "debug"),
    ];
    let config = load_text(text, &variables, &["gateway.workers=3", "log.filter=warn"]).unwrap();
    assert_eq!(
        (config.gateway.workers, config.gateway.limits.max_in_flight, config.gateway.limits.idle.as_secs()),
        (3, 8, 9)
    );
    assert_eq!(config.log.filter, "warn");
    let origin = |key: &str| config.shown.iter().find(|s| s.key == key).map(|s| s.origin.clone()).unwrap();
    assert_eq!(origin("gateway.workers"), "--set gateway.workers");
    assert_eq!(origin("gateway.max_in_flight"), "GATEHOUSE__GATEWAY__MAX_IN_FLIGHT");
    assert_eq!(origin("gateway.idle_seconds"), "my.toml:4");
    assert_eq!(origin("gateway.ping_seconds"), "built-in defaults");
}

#[test]
fn providers_go_by_name_in_variables() {
    let text = "[[provider]]\nname = \"eu-main\"\napi_key = \"env:A\"\n";
    let variables = [
        ("GATEHOUSE__PROVIDER__EU_MAIN__API_KEY", "file:/run/key"),
        ("GATEHOUSE__PROVIDER__OTHER__API_KEY", "sealed:"),
        ("GATEHOUSE__PROVIDER__OTHER__BASE_URL", "http://127.0.0.1:9000/x/"),
    ];
    let config = load_text(text, &variables, &[]).unwrap();
    let [main, other] = &config.providers[..] else { panic!("two providers") };
    assert!(main.name == "eu-main" && main.api_key == Some(SecretSource::File("/run/key".into())));
    assert!(other.name == "other" && other.api_key == Some(SecretSource::Sealed("other".to_owned())));
    assert_eq!(other.base_url, "http://127.0.0.1:9000/x");
    assert_eq!(main.first_byte.as_secs(), 600);
}

#[test]
fn provider_defaults_reach_every_provider() {
    let text = "[provider_defaults]\nauth = \"bearer\"\n[[provider]]\nname = \"a\"\napi_key = \"env:A\"\n[[provider]]\nname = \"b\"\napi_key = \"env:A\"\nauth = \"x-api-key\"\n";
    let config = load_text(text, &[], &[]).unwrap();
    assert_eq!(
        config.providers.iter().map(|p| p.auth).collect::<Vec<_>>(),
        [CredentialKind::Bearer, CredentialKind::ApiKey]
    );
}

#[test]
fn an_api_key_in_the_environment_is_a_provider_only_without_configured_ones() {
    let variables = [("ANTHROPIC_API_KEY", CANARY)];
    let config = load_text("", &variables, &[]).unwrap();
    assert_eq!(config.providers[0].name, "anthropic");
    assert_eq!(config.providers[0].api_key, Some(SecretSource::Env("ANTHROPIC_API_KEY".to_owned())));
    let config = load_text("[[provider]]\nname = \"b\"\napi_key = \"env:B\"\n", &variables, &[]).unwrap();
    assert_eq!(config.providers.len(), 1);
    assert_eq!(config.providers[0].name, "b");
}

#[test]
fn odd_variables_are_mistakes_not_silence() {
    for (name, expected) in [
        ("GATEHOUSE__WORKERS", "expected a name such as GATEHOUSE__SECTION__KEY"),
        ("GATEHOUSE__GATEWAY__WROKERS", "gateway.wrokers: unknown setting (did you mean `workers`?)"),
        ("GATEHOUSE__GATEWAY__WORKERS__X", "it is in no section"),
        ("GATEHOUSE__GATEWAY____X", "expected a name such as"),
    ] {
        let found = mistakes("", &[(name, "1")]);
        assert!(found.iter().any(|m| m.contains(expected)), "{name} gave {found:?}");
    }
}

#[test]
fn changes_say_what_needs_a_restart() {
    let old = load_text("[gateway]\nworkers = 1\n", &[], &[]).unwrap();
    let new = load_text(
        "[gateway]\nworkers = 2\n[log]\nfilter = \"debug\"\n[pricing]\ndiscount_percent = 5\n\
         [scim]\nbase_url = \"https://gw.example.com/scim/v2\"\n",
        &[],
        &[],
    )
    .unwrap();
    let found = changes(&old.shown, &new.shown);
    let brief: Vec<(&str, bool)> = found.iter().map(|c| (c.key.as_str(), c.reloadable)).collect();
    assert_eq!(
        brief,
        [
            ("gateway.workers", false),
            ("log.filter", true),
            ("pricing.discount_percent", true),
            ("scim.base_url", true)
        ]
    );
    assert!(changes(&old.shown, &old.shown).is_empty());
}

#[test]
fn mistakes_about_the_way_out_name_their_place() {
    for (text, expected) in [
        (
            "[egress]\nno_proxy = [\"10.0.0.1/8\"]",
            "my.toml:2: egress.no_proxy: expected a name, `*.` and a name",
        ),
        ("[egress]\ninternal = [\"ten\"]", "my.toml:2: egress.internal: expected a network or an address"),
        (
            "[[egress.parent]]\nname = \"a\"\nurl = \"http://u:canary@h:1\"",
            "my.toml:3: egress.parent[a].url: expected an address such as \"http://proxy.corp.example:3128\": credentials go into",
        ),
        (
            "[[egress.parent]]\nname = \"a\"\nurl = \"http://h\"",
            "egress.parent[a].url: expected an address such as",
        ),
        (
            "[[egress.parent]]\nname = \"a\"\nurl = \"http://h:1\"\nusername = \"u\"",
            "egress.parent[a].username: username and password go together",
        ),
        (
            "[[egress.destination]]\nname = \"a\"\nhosts = [\"h\"]\nclient_key = \"k\"",
            "egress.destination[a].client_key: client_certificate and client_key go together",
        ),
        ("[[egress.destination]]\nname = \"a\"", "egress.destination[a].hosts: it is required"),
    ] {
        let found = mistakes(text, &[]);
        assert!(found.iter().any(|told| told.contains(expected)), "{expected}: {found:?}");
        assert!(!found.iter().any(|told| told.contains("canary")), "{found:?}");
    }
}

#[test]
fn sign_in_mistakes_are_told_at_once_and_no_secret_is_repeated() {
    let text = "[listen]\npublic_url = \"http://gw.example.com\"\n[identity]\naccess_token_seconds = 60\n\
         local_accounts = \"yes\"\n[[identity.oidc]]\nname = \"corp\"\nissuer = \"https://idp\"\nclient_id = \"x\"\n\
         client_secret = \"canary-secret\"\nteams = { eng = 7 }\nscope = \"x\"\n[[directory]]\nname = \"A B\"\n\
         sync_seconds = 0\nbind_dn = \"cn=x\"\nbind_password = \"sealed:\"\n";
    let found = mistakes(text, &[]);
    for (line, path) in [
        (2, "listen.public_url: "),
        (4, "identity.access_token_seconds: expected a whole number from 600"),
        (5, "identity.local_accounts: expected true or false, found a text"),
        (10, "identity.oidc[corp].client_secret: a secret does not belong"),
        (11, "identity.oidc[corp].teams: "),
        (12, "identity.oidc[corp].scope: unknown setting (did you mean `scopes`?)"),
        (14, "directory[A B].name: "),
        (15, "directory[A B].sync_seconds: 0 leaves nothing to do"),
        (17, "directory[A B].bind_password: "),
    ] {
        let start = format!("my.toml:{line}: {path}");
        assert!(found.iter().any(|told| told.starts_with(&start)), "{start}: {found:#?}");
    }
    assert!(!found.iter().any(|told| told.contains("canary")), "{found:#?}");
    let on = load_text("[listen]\n", &[("GATEHOUSE__IDENTITY__LOCAL_ACCOUNTS", "false")], &[]).unwrap();
    assert_eq!(on.identity.local, gatehouse_control::portal::Local::Off);
}

#[test]
fn mistakes_in_rules_for_jobs_are_told_at_their_lines() {
    let text = "[[identity.ci]]\nname = \"GitHub\"\nplatform = \"jenkins\"\nissuer = \"https://idp\"\naudience = \"\"\n\
         issuers = 1\n[[identity.ci]]\nname = \"lab\"\nplatform = \"gitlab\"\nissuer = \"https://lab\"\n\
         audience = \"gatehouse\"\n[[identity.ci.rules]]\nname = \"a\"\naccount = \"nobody\"\n\
         claims = { sub = 7 }\n[[identity.ci.rules]]\nname = \"b\"\nuser = \"a@example.com\"\n";
    let found = mistakes(text, &[]);
    for (line, path) in [
        (2, "identity.ci[GitHub].name: expected 1 to 32 lower-case letters"),
        (3, "identity.ci[GitHub].platform: expected \"github\" or"),
        (5, "identity.ci[GitHub].audience: it is required"),
        (6, "identity.ci[GitHub].issuers: unknown setting (did you mean `issuer`?)"),
        (1, "identity.ci[GitHub].rules: without a rule nobody gets a token"),
        (14, "identity.ci[lab].rules[a].account: "),
        (15, "identity.ci[lab].rules[a].claims: expected patterns by claim"),
        (16, "identity.ci[lab].rules[b].account: it is required"),
        (16, "identity.ci[lab].rules[b].claims: it is required"),
        (18, "identity.ci[lab].rules[b].user: unknown setting"),
    ] {
        let start = format!("my.toml:{line}: {path}");
        assert!(found.iter().any(|told| told.starts_with(&start)), "{start}: {found:#?}");
    }
}

#[test]
fn clouds_need_what_their_kind_needs_and_nothing_else() {
    let provider = |more: &str| format!("[[provider]]\nname = \"p\"\n{more}\n");
    for (text, expected) in [
        ("kind = \"bedrock\"", "provider[p].region: it is required"),
        ("kind = \"bedrock\"\nregion = \"us east\"", "provider[p].region: expected a region such as"),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"env:A\"",
            "provider[p].secret_access_key: it is required beside access_key_id",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\napi_key = \"env:A\"\nrole_arn = \"arn:x\"",
            "provider[p].api_key: there are access keys, a profile or a role as well",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nweb_identity_token_file = \"/t\"",
            "provider[p].role_arn: it is required beside web_identity_token_file",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\nproject = \"x\"",
            "provider[p].project: unknown setting",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"AKIACANARY\"\nsecret_access_key = \"env:A\"",
            "provider[p].access_key_id: a key does not belong into the configuration",
        ),
        (
            "kind = \"bedrock\"\nregion = \"us-east-1\"\naccess_key_id = \"sealed:\"\nsecret_access_key = \"env:A\"",
            "provider[p].access_key_id: it cannot be sealed",
        ),
        ("kind = \"claude-platform-aws\"\nregion = \"us-east-1\"", "provider[p].workspace: it is required"),
        ("kind = \"vertex\"\nregion = \"us-east5\"", "provider[p].project: it is required"),
        (
            "kind = \"vertex\"\nregion = \"us-east5\"\nproject = \"a\"",
            "provider[p].credentials: it is required: the credential file",
        ),
        ("kind = \"foundry\"\napi_key = \"env:A\"", "provider[p].base_url: it is required"),
        ("kind = \"foundry\"\nbase_url = \"https://x\"", "provider[p].api_key: it is required"),
        ("api_key = \"env:A\"\nmodels = [\"x\"]", "provider[p].models: expected names in { }, found a list"),
        ("api_key = \"env:A\"\nproject = \"x\"", "provider[p].project: unknown setting"),
    ] {
        let found = mistakes(&provider(text), &[]);
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{text}: {found:?}");
        assert!(!found.join("").contains("AKIACANARY"), "{found:?}");
    }
    let good = "kind = \"bedrock\"\nregion = \"eu-west-1\"";
    let config = load_text(&provider(good), &[], &[]).unwrap();
    assert_eq!(config.providers[0].base_url, "https://bedrock-runtime.eu-west-1.amazonaws.com");
}
