//! Organizations, teams, users, projects, administrators' tokens, secrets and nodes, on both engines.

use crate::engines::{
    NOW, World, act, email, name, new_key, new_user, node, on_both, pepper, secret, unique,
};
use gatehouse_domain::directory::UserState;
use gatehouse_domain::id::{AdminTokenId, NodeId, OrgId, ProjectId, TeamId, UserId};
use gatehouse_domain::key::KeyKind;
use gatehouse_domain::role::{Role, Scope};
use gatehouse_domain::time::UnixMillis;
use gatehouse_store::admin_token::{AdminToken, NewAdminToken};
use gatehouse_store::node::Tells;
use gatehouse_store::user::{MAX_TEAMS, UserFilter};
use gatehouse_store::{Page, StoreError};

on_both!(
    organizations_are_found_and_unique,
    teams_have_one_name_each,
    only_empty_teams_are_removed,
    users_are_added_and_found,
    users_change_state_and_teams,
    users_are_found_by_text_team_and_state,
    projects_have_one_name_each,
    tenants_do_not_see_each_other,
    admin_tokens_live_and_end,
    the_last_owner_stays,
    two_owners_cannot_revoke_each_other_at_once,
    secrets_are_written_over_and_removed,
    nodes_are_noted,
    bad_pages_are_refused,
    names_that_look_like_statements_are_names,
    a_refused_change_leaves_no_audit_entry,
);

fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>, noun: &str) {
    match result {
        Err(StoreError::NotFound { noun: told, .. }) => assert_eq!(told, noun),
        other => panic!("expected that no {noun} is found, got {other:?}"),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, noun: &str) {
    match result {
        Err(StoreError::Conflict { noun: told, .. }) => assert_eq!(told, noun),
        other => panic!("expected that a {noun} exists already, got {other:?}"),
    }
}

async fn organizations_are_found_and_unique(w: World) {
    let found = w.store.org(w.org).await.unwrap();
    assert_eq!((found.name.as_str(), found.created_at), ("Acme", NOW));
    assert_eq!(w.store.orgs().await.unwrap(), [found]);
    conflict(w.store.create_org(w.org, &name("Other"), &act("org.create")).await, "organization");
    not_found(w.store.org(OrgId::from_bits(1)).await, "organization");
    not_found(w.store.record(OrgId::from_bits(1), &act("x")).await, "organization");
}

async fn teams_have_one_name_each(w: World) {
    let core = w.team("Core").await;
    assert_eq!(w.store.team(w.org, core.id).await.unwrap(), core);
    assert_eq!(w.store.team_by_name(w.org, &name("CORE")).await.unwrap(), core);
    let again = TeamId::new(NOW, u128::from(unique()));
    conflict(w.store.create_team(w.org, again, &name("core"), &act("team.create")).await, "team");
    not_found(w.store.team(w.org, again).await, "team");
    not_found(w.store.team_by_name(w.org, &name("nobody")).await, "team");
    w.team("Über").await;
    w.team("alpha").await;
    let names: Vec<_> =
        w.store.teams(w.org, &Page::first(10)).await.unwrap().items.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["alpha", "Core", "Über"]);
}

async fn only_empty_teams_are_removed(w: World) {
    let team = w.team("Core").await;
    let user = w.user("ada@example.com", &[team.id]).await;
    let refused = w.store.remove_team(w.org, team.id, &act("team.remove")).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    w.store.set_user_teams(w.org, user.id, &[], &act("user.teams")).await.unwrap();
    w.store.remove_team(w.org, team.id, &act("team.remove")).await.unwrap();
    not_found(w.store.remove_team(w.org, team.id, &act("team.remove")).await, "team");
}

async fn users_are_added_and_found(w: World) {
    let (core, web) = (w.team("Core").await, w.team("Web").await);
    let mut new = new_user("ada@example.com", &[web.id, core.id, web.id]);
    new.name = Some(name("Ada Lovelace"));
    let ada = w.store.create_user(w.org, &new, &act("user.create")).await.unwrap();
    assert_eq!(ada.teams, ["Core", "Web"]);
    assert_eq!(ada.name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(w.store.user(w.org, ada.id).await.unwrap(), ada);
    assert_eq!(w.store.user_by_email(w.org, &email("ADA@example.com")).await.unwrap(), ada);
    assert_eq!(w.store.team(w.org, core.id).await.unwrap().members, 1);
    conflict(w.store.create_user(w.org, &new_user("ada@example.com", &[]), &act("x")).await, "user");
    not_found(w.store.user(w.org, UserId::from_bits(1)).await, "user");
    not_found(w.store.user_by_email(w.org, &email("no@example.com")).await, "user");
    let stray = new_user("bob@example.com", &[TeamId::from_bits(1)]);
    not_found(w.store.create_user(w.org, &stray, &act("x")).await, "team");
    not_found(w.store.user(w.org, stray.id).await, "user");
    let many = new_user("bob@example.com", &vec![core.id; MAX_TEAMS + 1]);
    let refused = w.store.create_user(w.org, &many, &act("x")).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "teams", .. })), "{refused:?}");
}

async fn users_change_state_and_teams(w: World) {
    let (core, web) = (w.team("Core").await, w.team("Web").await);
    let ada = w.user("ada@example.com", &[core.id]).await;
    let off = w.store.set_user_state(w.org, ada.id, UserState::Disabled, &act("user.disable")).await.unwrap();
    assert_eq!(off.state, UserState::Disabled);
    let on = w.store.set_user_state(w.org, ada.id, UserState::Active, &act("user.enable")).await.unwrap();
    assert_eq!(on.state, UserState::Active);
    let moved = w.store.set_user_teams(w.org, ada.id, &[web.id], &act("user.teams")).await.unwrap();
    assert_eq!(moved.teams, ["Web"]);
    let stray = w.store.set_user_teams(w.org, ada.id, &[TeamId::from_bits(1)], &act("user.teams")).await;
    not_found(stray, "team");
    assert_eq!(w.store.user(w.org, ada.id).await.unwrap().teams, ["Web"]);
    let nobody = UserId::from_bits(1);
    not_found(w.store.set_user_state(w.org, nobody, UserState::Active, &act("x")).await, "user");
    not_found(w.store.set_user_teams(w.org, nobody, &[], &act("x")).await, "user");
}

async fn users_are_found_by_text_team_and_state(w: World) {
    let core = w.team("Core").await;
    let mut ada = new_user("ada@example.com", &[core.id]);
    ada.name = Some(name("Ada Lovelace"));
    w.store.create_user(w.org, &ada, &act("user.create")).await.unwrap();
    let bob = w.user("bob_100%@example.com", &[]).await;
    w.store.set_user_state(w.org, bob.id, UserState::Disabled, &act("user.disable")).await.unwrap();
    let find = async |filter: UserFilter| -> Vec<String> {
        let found = w.store.users(w.org, &filter, &Page::first(10)).await.unwrap();
        found.items.into_iter().map(|user| user.email).collect()
    };
    let text = |text: &str| UserFilter { text: Some(text.to_owned()), ..UserFilter::default() };
    assert_eq!(find(UserFilter::default()).await, ["ada@example.com", "bob_100%@example.com"]);
    assert_eq!(find(text("LOVE")).await, ["ada@example.com"]);
    assert_eq!(find(text("_100%")).await, ["bob_100%@example.com"]);
    assert_eq!(find(text("a_a")).await, [""; 0]);
    assert_eq!(find(UserFilter { team: Some(core.id), ..UserFilter::default() }).await, ["ada@example.com"]);
    let off = UserFilter { state: Some(UserState::Disabled), ..UserFilter::default() };
    assert_eq!(find(off).await, ["bob_100%@example.com"]);
    for bad in ["a\0b", &"x".repeat(600)] {
        let refused = w.store.users(w.org, &text(bad), &Page::first(10)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "text", .. })), "{refused:?}");
    }
}

async fn projects_have_one_name_each(w: World) {
    let id = ProjectId::new(NOW, u128::from(unique()));
    let made = w.store.create_project(w.org, id, &name("Apollo"), &act("project.create")).await.unwrap();
    assert_eq!(w.store.project(w.org, id).await.unwrap(), made);
    assert_eq!(w.store.project_by_name(w.org, &name("apollo")).await.unwrap(), made);
    let again = ProjectId::new(NOW, u128::from(unique()));
    conflict(w.store.create_project(w.org, again, &name("APOLLO"), &act("x")).await, "project");
    not_found(w.store.project(w.org, again).await, "project");
    not_found(w.store.project_by_name(w.org, &name("gemini")).await, "project");
    assert_eq!(w.store.projects(w.org, &Page::first(1)).await.unwrap().items, [made]);
}

async fn tenants_do_not_see_each_other(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[team.id]).await;
    let (key, _) = w.key(ada.id).await;
    let other = OrgId::new(NOW, u128::from(unique()));
    w.store.create_org(other, &name("Other"), &act("org.create")).await.unwrap();
    not_found(w.store.user(other, ada.id).await, "user");
    not_found(w.store.team(other, team.id).await, "team");
    not_found(w.store.key(other, key.id).await, "key");
    not_found(w.store.set_user_state(other, ada.id, UserState::Disabled, &act("x")).await, "user");
    let foreign = new_key(ada.id, &secret(KeyKind::Virtual));
    not_found(w.store.create_key(other, &foreign, &act("x")).await, "user");
    assert!(w.store.users(other, &UserFilter::default(), &Page::first(10)).await.unwrap().items.is_empty());
    assert!(w.store.load_snapshot(other).await.unwrap().is_empty());
    assert_eq!(w.store.audit_head(other).await.unwrap().seq, 1);
}

async fn token(w: &World, role: Role, expires_at: Option<UnixMillis>) -> AdminToken {
    let text = secret(KeyKind::Admin);
    let id = AdminTokenId::new(NOW, u128::from(unique()));
    let (public, hash, scope) = (text.public(), text.hash(&pepper()), Scope::Organization);
    let new = NewAdminToken {
        id,
        public,
        hash,
        name: name("Grace"),
        role: role.into(),
        scope,
        person: None,
        expires_at,
    };
    let token = w.store.create_admin_token(w.org, &new, &act("admin_token.create")).await.unwrap();
    assert_eq!(token.hint, text.hint());
    let grant = w.store.admin_grant(public).await.unwrap().unwrap();
    assert_eq!((grant.org, &grant.token), (w.org, &token));
    assert!(text.matches(&pepper().into(), &grant.hash));
    token
}

async fn admin_tokens_live_and_end(w: World) {
    token(&w, Role::Owner, None).await;
    let auditor = token(&w, Role::Auditor, Some(NOW.plus_millis(10))).await;
    assert!(auditor.usable(NOW) && !auditor.usable(NOW.plus_millis(10)));
    w.store.touch_admin_token(w.org, auditor.id, NOW.plus_millis(61_000)).await.unwrap();
    w.store.touch_admin_token(w.org, auditor.id, NOW).await.unwrap();
    let revoked = w.store.revoke_admin_token(w.org, auditor.id, &act("admin_token.revoke")).await.unwrap();
    assert_eq!((revoked.revoked_at, revoked.usable(NOW)), (Some(NOW), false));
    assert_eq!(revoked.last_used_at, Some(NOW.plus_millis(60_000)));
    let mut later = act("admin_token.revoke");
    later.at = NOW.plus_millis(5);
    assert_eq!(w.store.revoke_admin_token(w.org, auditor.id, &later).await.unwrap().revoked_at, Some(NOW));
    assert_eq!(w.store.admin_token(w.org, auditor.id).await.unwrap(), revoked);
    let listed = w.store.admin_tokens(w.org, &Page::first(1)).await.unwrap();
    assert_eq!(listed.items, [revoked]);
    let rest = w.store.admin_tokens(w.org, &Page::after(listed.next.unwrap(), 5)).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    not_found(w.store.revoke_admin_token(w.org, AdminTokenId::from_bits(1), &act("x")).await, "admin token");
    assert_eq!(w.store.admin_grant(secret(KeyKind::Admin).public()).await.unwrap(), None);
}

async fn the_last_owner_stays(w: World) {
    let (first, second) = (token(&w, Role::Owner, None).await, token(&w, Role::Owner, None).await);
    token(&w, Role::Owner, Some(NOW.plus_millis(1))).await;
    token(&w, Role::Admin, None).await;
    let mut later = act("admin_token.revoke");
    later.at = NOW.plus_millis(1);
    w.store.revoke_admin_token(w.org, first.id, &later).await.unwrap();
    let refused = w.store.revoke_admin_token(w.org, second.id, &later).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
}

async fn two_owners_cannot_revoke_each_other_at_once(w: World) {
    let (first, second) = (token(&w, Role::Owner, None).await, token(&w, Role::Owner, None).await);
    let revoke = async |id| w.store.revoke_admin_token(w.org, id, &act("admin_token.revoke")).await;
    let (a, b) = tokio::join!(revoke(first.id), revoke(second.id));
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1, "{a:?} {b:?}");
}

async fn secrets_are_written_over_and_removed(w: World) {
    let main = name("provider/main");
    assert!(w.store.secret(w.org, &main).await.unwrap().is_none());
    w.store.put_secret(w.org, &main, "k1", "sealed-1", &act("secret.put")).await.unwrap();
    w.store.put_secret(w.org, &main, "k2", "sealed-2", &act("secret.put")).await.unwrap();
    let found = w.store.secret(w.org, &main).await.unwrap().unwrap();
    assert_eq!((found.key_id.as_str(), found.sealed.as_str(), found.updated_at), ("k2", "sealed-2", NOW));
    let listed = w.store.secrets(w.org).await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "provider/main"));
    let long = w.store.put_secret(w.org, &main, "k", &"x".repeat(70_000), &act("x")).await;
    assert!(matches!(long, Err(StoreError::Invalid { field: "sealed", .. })), "{long:?}");
    w.store.remove_secret(w.org, &main, &act("secret.remove")).await.unwrap();
    not_found(w.store.remove_secret(w.org, &main, &act("x")).await, "secret");
}

async fn nodes_are_noted(w: World) {
    w.store.register_node(node(), "0.1.0", "k1", NOW).await.unwrap();
    w.store.register_node(node(), "0.1.1", "k1 k2", NOW.plus_millis(1)).await.unwrap();
    w.store.touch_node(node(), "k2", &Tells::default(), NOW.plus_millis(2)).await.unwrap();
    let nodes = w.store.nodes(NOW).await.unwrap();
    assert_eq!((nodes.len(), nodes[0].version.as_str()), (1, "0.1.1"));
    assert_eq!((nodes[0].started_at, nodes[0].seen_at), (NOW.plus_millis(1), NOW.plus_millis(2)));
    assert!(w.store.nodes(NOW.plus_millis(3)).await.unwrap().is_empty());
    not_found(w.store.touch_node(NodeId::from_bits(99), "", &Tells::default(), NOW).await, "node");
}

async fn bad_pages_are_refused(w: World) {
    for limit in [0, 1001, u32::MAX] {
        let refused = w.store.teams(w.org, &Page::first(limit)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "limit", .. })), "{refused:?}");
    }
    for cursor in ["a\0b", "\n", &"x".repeat(600)] {
        let refused = w.store.teams(w.org, &Page::after(cursor.to_owned(), 10)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "after", .. })), "{refused:?}");
    }
    for cursor in ["", "tok_", "0", "tok_' OR 1=1 --", "key_01JD8X4R6V3Q2M9KZB7T5W0C1E"] {
        let refused = w.store.admin_tokens(w.org, &Page::after(cursor.to_owned(), 10)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "after", .. })), "{refused:?}");
    }
}

async fn names_that_look_like_statements_are_names(w: World) {
    for hostile in ["'; DROP TABLE teams; --", "\\", "$1", "?", "%", "\"", "名前 \u{1F600}", "' OR ''='"] {
        let team = w.team(hostile).await;
        assert_eq!(w.store.team_by_name(w.org, &name(hostile)).await.unwrap().id, team.id);
        let filter = UserFilter { text: Some(hostile.to_owned()), ..UserFilter::default() };
        assert!(w.store.users(w.org, &filter, &Page::first(10)).await.unwrap().items.is_empty());
        w.store.teams(w.org, &Page::after(hostile.to_owned(), 10)).await.unwrap();
    }
    assert_eq!(w.store.teams(w.org, &Page::first(100)).await.unwrap().items.len(), 8);
}

async fn a_refused_change_leaves_no_audit_entry(w: World) {
    w.team("Core").await;
    let before = w.store.audit_head(w.org).await.unwrap();
    let version = w.store.policy_version(w.org).await.unwrap();
    let id = TeamId::new(NOW, u128::from(unique()));
    conflict(w.store.create_team(w.org, id, &name("Core"), &act("team.create")).await, "team");
    not_found(
        w.store.set_user_state(w.org, UserId::from_bits(1), UserState::Active, &act("x")).await,
        "user",
    );
    assert_eq!(w.store.audit_head(w.org).await.unwrap(), before);
    assert_eq!(w.store.policy_version(w.org).await.unwrap(), version);
}
