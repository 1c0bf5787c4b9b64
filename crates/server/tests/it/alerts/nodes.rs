//! Two nodes on one database.

use gatehouse_testkit::bot::{FakeBot, Vendor};
use gatehouse_testkit::postgres;

use super::{ALWAYS, FAST, SECRET, end_it, only_it, receiver, wait_sent};
use crate::world::{configured, echo};

#[test]
fn two_nodes_tell_once_and_one_goes_on_alone() {
    let Some(store) = postgres::fresh() else { return };
    let bot = FakeBot::start(Vendor::Webhook, SECRET);
    let config =
        format!("{FAST}{ALWAYS}{}{}", receiver("ops", &bot, Vendor::Webhook, SECRET), only_it(&["ops"]));
    let mut one = configured(&config, &store, echo(1, 1));
    let master = std::fs::read(one.gatehouse.dir().join("data/master.key")).unwrap();
    let other =
        gatehouse_testkit::gatehouse::Builder::new(env!("CARGO_BIN_EXE_gatehouse"), &one.provider.url)
            .store(&store)
            .config(&config)
            .start_after(|dir| {
                std::fs::create_dir_all(dir.join("data")).unwrap();
                let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                std::fs::set_permissions(dir.join("data"), closed).unwrap();
                let key = dir.join("data/master.key");
                std::fs::write(&key, master).unwrap();
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(key, private).unwrap();
            });
    assert_eq!(bot.wait_for(1).len(), 1);
    let token = std::fs::read(one.gatehouse.dir().join("data/admin.token")).unwrap();
    std::fs::write(other.dir().join("data/admin.token"), token).unwrap();
    wait_sent(&other, 1);
    one.gatehouse.kill();
    end_it(&other);
    let both = bot.wait_for(2);
    assert_eq!(
        (both.len(), both[0]["status"].as_str(), both[1]["status"].as_str()),
        (2, Some("firing"), Some("resolved"))
    );
}
