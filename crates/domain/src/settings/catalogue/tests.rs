use super::*;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

#[test]
fn the_builtin_catalogue_reads() {
    let catalogue = Catalogue::builtin();
    assert!(catalogue.keys().count() > 250);
    for key in catalogue.keys() {
        for text in [&key.help.en, &key.help.zh_cn, &key.help.zh_tw] {
            assert!(!text.is_empty() && text.chars().count() < 120, "help of {}", key.path);
        }
        assert!(
            key.help.en.ends_with('.') && key.help.zh_cn.ends_with('。') && key.help.zh_tw.ends_with('。')
        );
        let instead = key.instead.as_deref();
        assert!(instead.is_none_or(|key| catalogue.key(&path(key)).is_some()), "{instead:?}");
    }
}

#[test]
fn every_list_that_forbids_grows() {
    for key in Catalogue::builtin().keys() {
        let name = key.path.last_key().unwrap().to_lowercase();
        // Hooks are named for events, which forbid nothing.
        let forbids = matches!(key.kind, Kind::List(..))
            && !path("hooks").covers(&key.path)
            && ["deny", "denied", "blocked", "disabled"].iter().any(|word| name.contains(word));
        assert!(!forbids || key.grows, "{}", key.path);
    }
}

#[test]
fn merge_rules() {
    let catalogue = Catalogue::builtin();
    for (text, whole) in [
        ("fallbackModel", true),
        ("availableModels", true),
        ("extraKnownMarketplaces", false),
        ("extraKnownMarketplaces.corp", true),
        ("permissions.allow", false),
        ("env", false),
        ("somethingNew", false),
    ] {
        assert_eq!(catalogue.replaces_whole(&path(text)), whole, "{text}");
    }
    assert!(
        catalogue.only_grows(&path("permissions.deny")) && !catalogue.only_grows(&path("permissions.allow"))
    );
}

#[test]
fn what_runs_programs() {
    let catalogue = Catalogue::builtin();
    for (text, runs) in [
        ("hooks", true),
        ("hooks.PreToolUse", true),
        ("hooks.SomeNewEvent", true),
        ("apiKeyHelper", true),
        ("sandbox", true),
        ("sandbox.ripgrep.command", true),
        ("sandbox.enabled", false),
        ("statusLine", true),
        ("extraKnownMarketplaces.corp", true),
        ("env", false),
        ("env.GIT_SSH_COMMAND", true),
        ("env.CLAUDE_CODE_ENABLE_TELEMETRY", false),
        ("model", false),
    ] {
        assert_eq!(catalogue.runs_programs(&path(text)), runs, "{text}");
    }
}

#[test]
fn variables_by_pattern() {
    let catalogue = Catalogue::builtin();
    let env = catalogue.env();
    assert!(env.is_secret("ANTHROPIC_API_KEY") && env.is_secret("OTEL_EXPORTER_OTLP_LOGS_HEADERS"));
    assert!(!env.is_secret("CLAUDE_CODE_MAX_OUTPUT_TOKENS") && !env.is_secret("MAX_THINKING_TOKENS"));
    assert!(env.redirects("ANTHROPIC_BEDROCK_BASE_URL") && !env.redirects("AWS_REGION"));
    assert_eq!(env.values("CLAUDE_CODE_DISABLE_THINKING"), EnvValues::Switch);
    assert!(catalogue.is_model_alias("opus[1m]") && !catalogue.is_model_alias("claude-opus-5-5"));
}

#[test]
fn broken_catalogues_are_refused() {
    let head = r#"as_of = "2.1.0"
aliases = []
tools = []
[env]
quiet = []
secret = []
redirect = []
runs = []
content = []
model = []
switch = []
values = {}
[shape.s]
is = "bool"
"#;
    let help = "en = \"A.\"\nzh-cn = \"A。\"\nzh-tw = \"A。\"";
    let with = |key: &str| Catalogue::parse(&format!("{head}{key}\n{help}"));
    assert!(with("[key.a]\ntype = \"s\"").is_ok());
    for key in [
        "[key.a]\ntype = \"list\"",
        "[key.a]\ntype = \"list of missing-shape\"",
        "[key.a]\ntype = \"integer 1\"",
        "[key.a]\ntype = \"text 1..2\"",
        "[key.a]\ntype = \"bool\"\nmerge = \"unite\"",
        "[key.a]\ntype = \"bool\"\ncolor = \"red\"",
        "[key.a]\ntype = \"bool\"\nsince = \"2\"",
        "[key.a]\ntype = \"bool\"\ngrows = true",
        "[key.\"a.b\"]\ntype = \"bool\"",
        "[key.\"a..b\"]\ntype = \"bool\"",
        "[shape.t]\nis = \"bool\"\ntag = \"x\"\n[key.a]\ntype = \"bool\"",
    ] {
        assert!(with(key).is_err(), "{key}");
    }
}
