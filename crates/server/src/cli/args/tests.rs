use clap::CommandFactory as _;

use super::*;

#[test]
fn the_words_do_not_contradict_each_other() {
    Args::command().debug_assert();
}

#[test]
#[expect(clippy::too_many_lines, reason = "a line a command")]
fn the_stable_words_are_understood() {
    for line in [
        "serve --config FILE --data-dir DIR",
        "demo --data-dir DIR",
        "config check --config FILE",
        "--server http://h --token T --json user add a@b.c --team t --team u",
        "team add core",
        "key create --user a@b.c --team t --models a,b --expires 30d",
        "key revoke key_1",
        "usage --by key --since 7d",
        "exchanges --since 2026-11-01",
        "usage --source client --by model",
        "usage --source analytics --by terminal",
        "analytics import FILE",
        "mode plan hybrid --team core",
        "mode set inherit --team core",
        "onboarding a@b.c --os windows --shell fish --lang zh-TW",
        "import-env -",
        "plan create --answers FILE --choose hybrid --because why",
        "plan task monitoring --plan pln_1 --owner a --due 14d --state underway --note n",
        "plan export DIR --lang zh-TW",
        "log-forward list",
        "maintenance --within 90d --ical",
        "telemetry events --name api_request --since 1d",
        "audit export FILE",
        "audit verify FILE --key K --checkpoint C",
        "client token --server http://h --from env:ID_TOKEN",
        "client token --from -",
        "settings new base --for team:core -f FILE --lock model --lock env --priority 3",
        "settings approve base 2 --note fine --checksum S",
        "settings explain a@b.c permissions.deny",
        "settings publish base 2 --at 2h",
        "settings unschedule base",
        "settings audience assign pilot --user a@b.c --team core --percent 10 --starts 1h --ends 2w",
        "settings audience widen pilot --percent 25",
        "settings schema import FILE --client 2.1.340 --dry-run",
        "proxy rule add claude allow --preset core --host *.corp.example --port 443,8443 --team t --before x",
        "proxy rule list",
        "proxy rule remove claude",
        "proxy explain a@b.c host.example:443",
        "proxy tunnels --json --since 1h",
        "key create --user a@b.c --for proxy",
        "client proxy-token --gateway g.example",
        "settings lint FILE --schema FILE",
        "settings export --format bundle --team core -o DIR",
        "bundle verify FILE --key K",
        "report chargeback --month 2026-10 --by team --format focus",
        "report close 2026-10",
        "report unused --days 30",
        "reconcile --source aws-cur2 --file F --month 2026-10",
    ] {
        let words = std::iter::once("gatehouse").chain(line.split(' '));
        let parsed = Args::try_parse_from(words);
        assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|e| e.to_string()).unwrap_or_default());
    }
    let Command::Key(KeyCommand::Create(create)) =
        Args::try_parse_from(["gatehouse", "key", "create", "--user", "u", "--models", "a,b"])
            .unwrap()
            .command
    else {
        panic!("key create")
    };
    assert_eq!(create.models, ["a", "b"]);
}

#[test]
fn the_days_of_the_figures_are_asked_for_below_the_figures() {
    for (line, is_understood) in [
        ("metrics --scope mode:proxy --window 7d --json", true),
        ("metrics history --scope team:core --since 90d --until 2026-11-01 --json", true),
        ("--json --token T metrics history", true),
        ("metrics --window 7d history", false),
        ("metrics history --window 7d", false),
    ] {
        let words = std::iter::once("gatehouse").chain(line.split(' '));
        assert_eq!(Args::try_parse_from(words).is_ok(), is_understood, "{line}");
    }
}
