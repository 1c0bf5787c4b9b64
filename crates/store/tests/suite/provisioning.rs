//! Accounts, groups, provisioning tokens, sync runs and leases, on both engines.

use crate::engines::{NOW, World, act, email, name, new_key, node, on_both, pepper, secret, unique};
use gatehouse_domain::audit::Draft;
use gatehouse_domain::directory::{KeyState, UserState};
use gatehouse_domain::id::{GroupId, ProvisioningTokenId, SyncRunId, UserId};
use gatehouse_domain::key::KeyKind;
use gatehouse_domain::session::SessionEnd;
use gatehouse_domain::source::Source;
use gatehouse_store::account::{
    Account, AccountData, AccountOrder, AccountWanted, Entry, MAX_DOCUMENT, Step,
};
use gatehouse_store::group::{Group, GroupData, GroupOrder, GroupWanted};
use gatehouse_store::identity::{Identity, Others};
use gatehouse_store::provisioning_token::NewProvisioningToken;
use gatehouse_store::sync_run::{KEPT, SyncOutcome, SyncRun};
use gatehouse_store::{Page, StoreError};

on_both!(
    accounts_are_made_with_their_users,
    accounts_are_found_by_what_tells_them_apart,
    who_changes_an_old_version_is_told,
    the_house_follows_the_source_and_the_administrator_has_the_last_word,
    an_account_that_is_let_go_can_come_back,
    users_that_are_there_are_adopted,
    however_a_directory_disables_somebody_their_sessions_end,
    an_address_that_is_given_out_again_takes_no_keys_along,
    who_comes_back_has_what_they_had,
    an_address_that_is_taken_does_not_keep_a_change_away,
    several_changes_are_made_together_or_not_at_all,
    an_overlong_document_is_refused,
    members_are_those_that_exist,
    groups_put_people_into_teams,
    groups_within_groups_end,
    big_groups_are_changed_in_parts,
    sources_do_not_see_each_other,
    provisioning_tokens_live_and_end,
    runs_are_listed_and_the_oldest_forgotten,
    one_holds_a_lease,
);

fn source() -> Source {
    "scim:okta".parse().unwrap()
}

fn data(user_name: &str) -> AccountData {
    AccountData {
        name_key: user_name.to_lowercase(),
        user_name: user_name.to_owned(),
        external_id: Some(format!("x-{user_name}")),
        display_key: Some(format!("{user_name} shown").to_lowercase()),
        document: format!("{{\"userName\":\"{user_name}\"}}"),
        emails: vec![user_name.to_lowercase()],
        email: gatehouse_domain::name::Email::parse(user_name).ok(),
        name: Some(name("Ada")),
        active: true,
    }
}

fn fresh_user() -> UserId {
    UserId::new(NOW, u128::from(unique()))
}

async fn account(w: &World, user_name: &str) -> Account {
    let user = fresh_user();
    w.store
        .create_account(w.org, &source(), user, Entry::New, &data(user_name), &act("user.add"))
        .await
        .unwrap()
}

async fn change(w: &World, account: &Account, data: &AccountData) -> Account {
    let changed = w
        .store
        .change_account(w.org, &account.source, account.user, account.version, data, &act("user.update"))
        .await;
    changed.unwrap().unwrap()
}

async fn group(w: &World, display_name: &str, members: &[String]) -> Group {
    let id = GroupId::new(NOW, u128::from(unique()));
    let act = act("group.add");
    w.store.create_group(w.org, &source(), id, &group_data(display_name), members, &act).await.unwrap()
}

fn group_data(display_name: &str) -> GroupData {
    GroupData {
        name_key: display_name.to_lowercase(),
        display_name: display_name.to_owned(),
        external_id: Some(format!("x-{display_name}")),
    }
}

async fn regroup(w: &World, group: &Group, added: &[String], removed: &[String]) -> Group {
    let (data, act) = (group_data(&group.display_name), act("group.update"));
    let now = w.store.group(w.org, &source(), group.id).await.unwrap();
    let done =
        w.store.change_group(w.org, &source(), group.id, now.version, &data, added, removed, &act).await;
    done.unwrap().unwrap()
}

async fn teams(w: &World, user: UserId) -> Vec<String> {
    w.store.user(w.org, user).await.unwrap().teams
}

async fn find(w: &World, wanted: AccountWanted) -> Vec<String> {
    let found = w.store.accounts(w.org, &source(), &wanted, AccountOrder::NameKey, 0, 100).await.unwrap();
    let count = w.store.count_accounts(w.org, &source(), &wanted).await.unwrap();
    assert_eq!(count, found.len() as u64);
    found.into_iter().map(|account| account.user_name).collect()
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Conflict { .. }) => {}
        other => panic!("expected a conflict, got {other:?}"),
    }
}

fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::NotFound { .. }) => {}
        other => panic!("expected that nothing is found, got {other:?}"),
    }
}

async fn accounts_are_made_with_their_users(w: World) {
    let made = account(&w, "Ada@Example.com").await;
    assert_eq!((made.version, made.active, made.state), (1, true, UserState::Active));
    assert_eq!(w.store.account(w.org, &source(), made.user).await.unwrap(), made);
    let user = w.store.user(w.org, made.user).await.unwrap();
    assert_eq!((user.email.as_str(), user.name.as_deref()), ("ada@example.com", Some("Ada")));

    let again = data("ADA@example.com");
    let act = || act("user.add");
    conflict(w.store.create_account(w.org, &source(), fresh_user(), Entry::New, &again, &act()).await);
    // A name that is no address gets one that cannot exist.
    let nameless = account(&w, "grace").await;
    let user = w.store.user(w.org, nameless.user).await.unwrap();
    assert_eq!(user.email, format!("{}@no-address.invalid", nameless.user).to_lowercase());
    assert_eq!(w.store.user_by_email(w.org, &email(&user.email)).await.unwrap().id, nameless.user);
}

async fn accounts_are_found_by_what_tells_them_apart(w: World) {
    let ada = account(&w, "Ada@Example.com").await;
    account(&w, "bob@example.com").await;
    let ada_only = ["Ada@Example.com"];
    assert_eq!(find(&w, AccountWanted::All).await, ["Ada@Example.com", "bob@example.com"]);
    assert_eq!(find(&w, AccountWanted::User(ada.user.to_string())).await, ada_only);
    assert_eq!(find(&w, AccountWanted::NameKey("ada@example.com".into())).await, ada_only);
    assert_eq!(find(&w, AccountWanted::ExternalId("x-Ada@Example.com".into())).await, ada_only);
    assert_eq!(find(&w, AccountWanted::DisplayKey("ada@example.com shown".into())).await, ada_only);
    assert_eq!(find(&w, AccountWanted::Email("ada@example.com".into())).await, ada_only);
    for hostile in ["", "\0", "' OR '1'='1", "%", "usr_x"] {
        for wanted in [
            AccountWanted::User(hostile.into()),
            AccountWanted::NameKey(hostile.into()),
            AccountWanted::ExternalId(hostile.into()),
            AccountWanted::Email(hostile.into()),
        ] {
            assert!(find(&w, wanted).await.is_empty(), "{hostile}");
        }
    }
    let order = AccountOrder::NameKeyDescending;
    let last = w.store.accounts(w.org, &source(), &AccountWanted::All, order, 1, 1).await.unwrap();
    assert_eq!(last[0].user, ada.user);
    let after =
        w.store.accounts_after(w.org, &source(), &AccountWanted::All, Some(ada.user), 9).await.unwrap();
    assert_eq!(after.len(), 1);
}

async fn who_changes_an_old_version_is_told(w: World) {
    let first = account(&w, "ada@example.com").await;
    let second = change(&w, &first, &data("ada.l@example.com")).await;
    assert_eq!((second.version, second.user_name.as_str()), (2, "ada.l@example.com"));
    let (data, act) = (data("eve@example.com"), act("user.update"));
    let stale = w.store.change_account(w.org, &source(), first.user, 1, &data, &act).await;
    assert_eq!(stale.unwrap(), None);
    let stale = w.store.remove_account(w.org, &source(), first.user, Some(1), &act).await;
    assert_eq!(stale.unwrap(), None);
    assert_eq!(w.store.account(w.org, &source(), first.user).await.unwrap(), second);
    account(&w, "bob@example.com").await;
    let taken = AccountData { name_key: "bob@example.com".into(), ..data };
    conflict(w.store.change_account(w.org, &source(), first.user, 2, &taken, &act).await);
}

async fn state(w: &World, user: UserId) -> UserState {
    w.store.user(w.org, user).await.unwrap().state
}

async fn the_house_follows_the_source_and_the_administrator_has_the_last_word(w: World) {
    let on = data("ada@example.com");
    let off = AccountData { active: false, ..on.clone() };
    let made = account(&w, "ada@example.com").await;
    w.store
        .create_key(w.org, &new_key(made.user, &secret(KeyKind::Virtual)), &act("key.create"))
        .await
        .unwrap();
    let version = w.store.policy_version(w.org).await.unwrap();

    let disabled = change(&w, &made, &off).await;
    assert_eq!(state(&w, made.user).await, UserState::Disabled);
    assert!(w.store.policy_version(w.org).await.unwrap() > version, "the data path learns of it");
    let enable = w.store.set_user_state(w.org, made.user, UserState::Active, &act("user.enable")).await;
    assert!(matches!(enable, Err(StoreError::Refused { .. })), "{enable:?}");
    assert_eq!(state(&w, made.user).await, UserState::Disabled);

    let enabled = change(&w, &disabled, &on).await;
    assert_eq!(state(&w, made.user).await, UserState::Active);
    w.store.set_user_state(w.org, made.user, UserState::Disabled, &act("user.disable")).await.unwrap();
    let renamed = AccountData { name: Some(name("Ada L.")), ..on.clone() };
    let renamed = change(&w, &enabled, &renamed).await;
    assert!(renamed.active);
    assert_eq!(state(&w, made.user).await, UserState::Disabled, "what an administrator disabled stays so");
    w.store.set_user_state(w.org, made.user, UserState::Active, &act("user.enable")).await.unwrap();
}

async fn an_account_that_is_let_go_can_come_back(w: World) {
    let made = account(&w, "ada@example.com").await;
    let crew = group(&w, "Crew", &[made.user.to_string()]).await;
    let gone = w.store.remove_account(w.org, &source(), made.user, Some(2), &act("user.remove")).await;
    assert_eq!(gone.unwrap(), Some(()), "joining the group counted the version up");
    assert_eq!(state(&w, made.user).await, UserState::Disabled);
    not_found(w.store.account(w.org, &source(), made.user).await);
    not_found(w.store.remove_account(w.org, &source(), made.user, None, &act("user.remove")).await);
    assert_eq!(w.store.group(w.org, &source(), crew.id).await.unwrap().members, 0);
    assert!(find(&w, AccountWanted::All).await.is_empty());

    let (data, act) = (data("ada@example.com"), act("user.adopt"));
    let back =
        w.store.create_account(w.org, &source(), made.user, Entry::Adopted, &data, &act).await.unwrap();
    assert_eq!((back.user, back.state), (made.user, UserState::Active));
    assert!(back.version > 2, "an old entity tag does not fit the new account");
}

async fn however_a_directory_disables_somebody_their_sessions_end(w: World) {
    let off = |user_name: &str| AccountData { active: false, ..data(user_name) };
    let names = ["changed@example.com", "removed@example.com", "stepped@example.com", "replaced@example.com"];
    let mut people = Vec::new();
    for (n, user_name) in (1..).zip(names) {
        let made = account(&w, user_name).await;
        people.push((w.session(n, made.user).await.id, made));
    }
    let local = w.user("adopted@example.com", &[]).await;
    let adopted = w.session(9, local.id).await.id;

    change(&w, &people[0].1, &off(names[0])).await;
    w.store.remove_account(w.org, &source(), people[1].1.user, None, &act("user.remove")).await.unwrap();
    let steps = [
        (Step::Disable { user: people[2].1.user }, act("sync")),
        (Step::Change { user: people[3].1.user, data: off(names[3]) }, act("sync")),
    ];
    w.store.apply_accounts(w.org, &source(), &steps).await.unwrap();
    let (data, act) = (off("adopted@example.com"), act("user.adopt"));
    w.store.create_account(w.org, &source(), local.id, Entry::Adopted, &data, &act).await.unwrap();
    for id in people.iter().map(|(id, _)| *id).chain([adopted]) {
        let session = w.store.session(w.org, id).await.unwrap();
        let ended = (session.ended_at, session.ended_why);
        assert_eq!(ended, (Some(NOW), Some(SessionEnd::UserDisabled)), "{}", session.email);
    }
}

async fn an_address_that_is_given_out_again_takes_no_keys_along(w: World) {
    let who = Identity { issuer: "https://idp.example".into(), subject: "u-1".into() };
    let again = async |external_id: &str| {
        let made = account(&w, "ada@example.com").await;
        let (key, _) = w.key(made.user).await;
        w.store.set_password(w.org, made.user, Some("$hash"), &act("x")).await.unwrap();
        w.store.join_identity(w.org, made.user, &who, Others::Refused, &act("x")).await.unwrap();
        w.store.remove_account(w.org, &source(), made.user, None, &act("user.remove")).await.unwrap();
        let (data, act) = (
            AccountData { external_id: Some(external_id.into()), ..data("ada@example.com") },
            act("user.adopt"),
        );
        w.store.create_account(w.org, &source(), made.user, Entry::Adopted, &data, &act).await.unwrap();
        let key = w.store.key(w.org, key.id).await.unwrap();
        let password = w.store.password(w.org, made.user).await.unwrap();
        let identities = w.store.identities(w.org, made.user).await.unwrap();
        (key.state, password.is_some(), identities.len())
    };
    assert_eq!(again("another person").await, (KeyState::Revoked, false, 0));
}

async fn who_comes_back_has_what_they_had(w: World) {
    let made = account(&w, "ada@example.com").await;
    let (key, _) = w.key(made.user).await;
    w.store.remove_account(w.org, &source(), made.user, None, &act("user.remove")).await.unwrap();
    let (data, act) = (data("ada@example.com"), act("user.adopt"));
    w.store.create_account(w.org, &source(), made.user, Entry::Adopted, &data, &act).await.unwrap();
    assert_eq!(w.store.key(w.org, key.id).await.unwrap().state, KeyState::Active);
}

async fn users_that_are_there_are_adopted(w: World) {
    let local = w.user("ada@example.com", &[]).await;
    let data = data("ada@example.com");
    let adopt = async |user| {
        w.store.create_account(w.org, &source(), user, Entry::Adopted, &data, &act("user.adopt")).await
    };
    w.store.set_user_state(w.org, local.id, UserState::Disabled, &act("user.disable")).await.unwrap();
    let refused = adopt(local.id).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    w.store.set_user_state(w.org, local.id, UserState::Active, &act("user.enable")).await.unwrap();
    assert_eq!(adopt(local.id).await.unwrap().user, local.id);
    conflict(adopt(local.id).await);
    not_found(adopt(fresh_user()).await);
    assert_eq!(w.store.account_of_user(w.org, local.id).await.unwrap().unwrap().source, source());
}

async fn an_address_that_is_taken_does_not_keep_a_change_away(w: World) {
    w.user("taken@example.com", &[]).await;
    let made = account(&w, "ada@example.com").await;
    let wanted =
        AccountData { email: Some(email("taken@example.com")), active: false, ..data("ada@example.com") };
    change(&w, &made, &wanted).await;
    let user = w.store.user(w.org, made.user).await.unwrap();
    assert_eq!((user.email.as_str(), user.state), ("ada@example.com", UserState::Disabled));
    let new = AccountData { email: Some(email("taken@example.com")), ..data("new") };
    conflict(
        w.store.create_account(w.org, &source(), fresh_user(), Entry::New, &new, &act("user.add")).await,
    );
}

async fn several_changes_are_made_together_or_not_at_all(w: World) {
    let bob = account(&w, "bob@example.com").await;
    let cy = account(&w, "cy@example.com").await;
    let ada = fresh_user();
    let add = |user, user_name: &str| Step::Add { user, entry: Entry::New, data: data(user_name) };
    let all =
        |steps: Vec<Step>| steps.into_iter().map(|step| (step, act("sync"))).collect::<Vec<(Step, Draft)>>();
    let bad = all(vec![
        Step::Disable { user: bob.user },
        add(ada, "ada@example.com"),
        add(fresh_user(), "cy@example.com"),
    ]);
    conflict(w.store.apply_accounts(w.org, &source(), &bad).await);
    assert_eq!(state(&w, bob.user).await, UserState::Active);
    let change = Step::Change {
        user: cy.user,
        data: AccountData { name: Some(name("Cy")), ..data("cy@example.com") },
    };
    let good = all(vec![Step::Disable { user: bob.user }, add(ada, "ada@example.com"), change]);
    w.store.apply_accounts(w.org, &source(), &good).await.unwrap();
    assert_eq!(state(&w, bob.user).await, UserState::Disabled);
    assert_eq!(w.store.user(w.org, cy.user).await.unwrap().name.as_deref(), Some("Cy"));
    assert_eq!(find(&w, AccountWanted::All).await.len(), 3);
}

async fn an_overlong_document_is_refused(w: World) {
    let data = AccountData { document: "x".repeat(MAX_DOCUMENT + 1), ..data("ada@example.com") };
    let made =
        w.store.create_account(w.org, &source(), fresh_user(), Entry::New, &data, &act("user.add")).await;
    assert!(matches!(made, Err(StoreError::Invalid { field: "document", .. })), "{made:?}");
    assert!(find(&w, AccountWanted::All).await.is_empty());
}

async fn members_are_those_that_exist(w: World) {
    let ada = account(&w, "ada@example.com").await.user;
    let local = w.user("local@example.com", &[]).await;
    let crew = group(&w, "Crew", &[ada.to_string()]).await;
    assert_eq!((crew.members, crew.version), (1, 1));
    for stranger in [local.id.to_string(), fresh_user().to_string(), "x\0".into(), String::new()] {
        let data = group_data("Crew");
        let done =
            w.store.change_group(w.org, &source(), crew.id, 1, &data, &[stranger], &[], &act("g")).await;
        not_found(done);
    }
    let groups = w.store.groups_of(w.org, &[ada, local.id]).await.unwrap();
    assert_eq!((groups.len(), groups[&ada][0].display_name.as_str()), (1, "Crew"));
    let wanted = GroupWanted::Member(ada.to_string());
    let found = w.store.groups(w.org, &source(), &wanted, GroupOrder::Group, 0, 9).await.unwrap();
    assert_eq!((found.len(), w.store.count_groups(w.org, &source(), &wanted).await.unwrap()), (1, 1));
    let left = regroup(&w, &crew, &[], &[ada.to_string(), "nobody".into()]).await;
    assert_eq!((left.members, left.version), (0, 2));
    let again = GroupId::new(NOW, u128::from(unique()));
    conflict(w.store.create_group(w.org, &source(), again, &group_data("CREW"), &[], &act("g")).await);
    let stale =
        w.store.change_group(w.org, &source(), crew.id, 1, &group_data("x"), &[], &[], &act("g")).await;
    assert_eq!(stale.unwrap(), None);
    assert_eq!(w.store.remove_group(w.org, &source(), crew.id, Some(1), &act("g")).await.unwrap(), None);
    w.store.remove_group(w.org, &source(), crew.id, Some(2), &act("g")).await.unwrap().unwrap();
    not_found(w.store.group(w.org, &source(), crew.id).await);
}

async fn groups_put_people_into_teams(w: World) {
    let (core, other) = (w.team("Core").await, w.team("Other").await);
    let local = w.user("local@example.com", &[core.id]).await.id;
    let (ada, bob) = (account(&w, "ada@example.com").await.user, account(&w, "bob@example.com").await.user);
    w.store.set_user_teams(w.org, ada, &[other.id], &act("user.set_teams")).await.unwrap();
    let inner = group(&w, "Inner", &[bob.to_string()]).await;
    let crew = group(&w, "Crew", &[ada.to_string(), inner.id.to_string()]).await;
    assert!(teams(&w, bob).await.is_empty());

    let map = async |group, team| w.store.map_group(w.org, group, team, &act("group.map")).await.unwrap();
    assert_eq!(map(crew.id, Some(core.id)).await.team, Some(core.id));
    assert_eq!(teams(&w, ada).await, ["Core", "Other"], "other teams are not touched");
    assert_eq!(teams(&w, bob).await, ["Core"], "a group within the group counts");
    let version = w.store.policy_version(w.org).await.unwrap();
    regroup(&w, &inner, &[], &[bob.to_string()]).await;
    assert!(teams(&w, bob).await.is_empty());
    assert!(w.store.policy_version(w.org).await.unwrap() > version, "the data path learns of it");
    regroup(&w, &crew, &[bob.to_string()], &[ada.to_string()]).await;
    assert_eq!((teams(&w, ada).await, teams(&w, bob).await), (vec!["Other".into()], vec!["Core".into()]));
    assert_eq!(teams(&w, local).await, ["Core"], "local members stay");

    map(crew.id, Some(other.id)).await;
    assert_eq!((teams(&w, ada).await, teams(&w, bob).await), (vec![], vec!["Other".into()]));
    w.store.remove_group(w.org, &source(), crew.id, None, &act("group.remove")).await.unwrap().unwrap();
    assert!(teams(&w, bob).await.is_empty());
    assert_eq!(teams(&w, local).await, ["Core"]);
}

async fn groups_within_groups_end(w: World) {
    let core = w.team("Core").await;
    let ada = account(&w, "ada@example.com").await.user;
    let one = group(&w, "One", &[ada.to_string()]).await;
    let two = group(&w, "Two", &[one.id.to_string()]).await;
    regroup(&w, &one, &[two.id.to_string(), one.id.to_string()], &[]).await;
    w.store.map_group(w.org, two.id, Some(core.id), &act("group.map")).await.unwrap();
    assert_eq!(teams(&w, ada).await, ["Core"]);
    regroup(&w, &two, &[], &[one.id.to_string()]).await;
    assert!(teams(&w, ada).await.is_empty());
}

async fn big_groups_are_changed_in_parts(w: World) {
    let mut ids = Vec::new();
    for n in 0..250 {
        ids.push(account(&w, &format!("user{n}@example.com")).await.user.to_string());
    }
    let crew = group(&w, "Crew", &ids).await;
    assert_eq!(crew.members, 250);
    assert_eq!(w.store.group_members(w.org, crew.id, 1000).await.unwrap().len(), 250);
    assert_eq!(regroup(&w, &crew, &ids[..5], &ids[5..]).await.members, 5);
}

async fn sources_do_not_see_each_other(w: World) {
    let other: Source = "ldap:okta".parse().unwrap();
    let ada = account(&w, "ada@example.com").await;
    let crew = group(&w, "Crew", &[ada.user.to_string()]).await;
    not_found(w.store.account(w.org, &other, ada.user).await);
    not_found(w.store.group(w.org, &other, crew.id).await);
    let act = act("x");
    not_found(w.store.change_account(w.org, &other, ada.user, 1, &data("x"), &act).await);
    not_found(w.store.remove_account(w.org, &other, ada.user, None, &act).await);
    not_found(w.store.remove_group(w.org, &other, crew.id, None, &act).await);
    let stale = w.store.change_group(w.org, &other, crew.id, 1, &group_data("x"), &[], &[], &act).await;
    assert_eq!(stale.unwrap(), None);
    let id = GroupId::new(NOW, u128::from(unique()));
    let stranger = [ada.user.to_string()];
    not_found(w.store.create_group(w.org, &other, id, &group_data("Crew"), &stranger, &act).await);
    // The same name is another account there, and the address stays with whom it belongs to.
    let mut data = data("ada@example.com");
    data.email = None;
    w.store.create_account(w.org, &other, fresh_user(), Entry::New, &data, &act).await.unwrap();
}

async fn provisioning_tokens_live_and_end(w: World) {
    let key = secret(KeyKind::Provisioning);
    let new = NewProvisioningToken {
        id: ProvisioningTokenId::new(NOW, u128::from(unique())),
        public: key.public(),
        hash: key.hash(&pepper()),
        name: name("Okta"),
        source: source(),
        expires_at: Some(NOW.plus_millis(1000)),
    };
    let made = w.store.create_provisioning_token(w.org, &new, &act("t")).await.unwrap();
    assert!(made.usable(NOW) && !made.usable(NOW.plus_millis(1000)));
    assert_eq!(made.hint, key.hint());
    let grant = w.store.provisioning_grant(key.public()).await.unwrap().unwrap();
    assert!(key.matches(&pepper().into(), &grant.hash) && grant.org == w.org && grant.token == made);
    assert!(w.store.admin_grant(key.public()).await.unwrap().is_none(), "it is no administrator's");
    w.store.touch_provisioning_token(w.org, new.id, NOW.plus_millis(61_000)).await.unwrap();
    let revoked = w.store.revoke_provisioning_token(w.org, new.id, &act("t")).await.unwrap();
    assert!(!revoked.usable(NOW) && revoked.last_used_at.is_some());
    assert_eq!(w.store.provisioning_tokens(w.org, &Page::first(10)).await.unwrap().items, [revoked]);
    let late = NewProvisioningToken { expires_at: Some(NOW), ..new };
    assert!(w.store.create_provisioning_token(w.org, &late, &act("t")).await.is_err());
}

async fn runs_are_listed_and_the_oldest_forgotten(w: World) {
    let run = |n: u32| SyncRun {
        id: SyncRunId::new(NOW.plus_millis(i64::from(n)), u128::from(unique())),
        source: source(),
        node: node(),
        started_at: NOW,
        ended_at: NOW,
        outcome: SyncOutcome::Failed,
        reason: Some("away\0".into()),
        people: 0,
        added: 0,
        updated: 0,
        disabled: 0,
        skipped: 0,
    };
    for n in 0..KEPT + 3 {
        let act = act("directory.sync");
        w.store.record_sync_run(w.org, &run(n), (n == 0).then_some(&act)).await.unwrap();
    }
    let listed = w.store.sync_runs(w.org, &source(), &Page::first(1000)).await.unwrap();
    assert_eq!(listed.items.len(), KEPT as usize);
    assert_eq!(listed.items[0].reason.as_deref(), Some("away\u{fffd}"));
    assert!(listed.items[0].id > listed.items[1].id);
}

async fn one_holds_a_lease(w: World) {
    let (one, two) = ("one", "two");
    let take = async |node: &'static str, now: i64, until: i64| {
        w.store.take_lease(w.org, "sync", node, NOW.plus_millis(now), NOW.plus_millis(until)).await.unwrap()
    };
    assert!(take(one, 0, 100).await);
    assert!(!take(two, 50, 150).await);
    assert!(take(one, 50, 200).await, "who has it extends it");
    assert!(!take(two, 199, 300).await);
    assert!(take(two, 200, 300).await, "its time is over");
    assert!(!take(one, 250, 350).await);
    w.store.give_lease_back(w.org, "sync", one).await.unwrap();
    assert!(!take(one, 250, 350).await, "only the holder gives it back");
    w.store.give_lease_back(w.org, "sync", two).await.unwrap();
    assert!(take(one, 250, 350).await);
}
