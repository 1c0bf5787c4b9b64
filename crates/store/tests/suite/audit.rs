//! The audit log, exports, and tampering with the database, on both engines.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engines::{NOW, World, act, node, on_both, secret, signer};
use gatehouse_domain::audit::{
    Actor, Draft, EXCHANGES, Hash, Head, Object, Outcome, Report, Signer, Wrong, verify, verify_against,
};
use gatehouse_domain::id::OrgId;
use gatehouse_domain::key::KeyKind;
use gatehouse_store::audit::{
    Altered, AuditFilter, AuditKind, CheckpointError, CheckpointRule, Notary, append,
};
use gatehouse_store::{Page, StoreError};

on_both!(
    what_is_appended_is_listed,
    entries_are_found_by_who_what_and_when,
    hostile_texts_are_kept_and_verified,
    an_export_verifies,
    an_empty_range_verifies,
    a_part_can_be_exported,
    checkpoints_come_when_due,
    nodes_appending_at_once_make_one_chain,
    what_is_rolled_back_leaves_no_gap,
    tampering_is_named,
    a_removed_tail_is_noticed,
    a_log_that_was_rewritten_is_not_signed,
    a_log_that_was_put_back_is_not_signed,
    a_forged_checkpoint_is_not_taken_over,
    a_node_follows_what_others_sign,
);

async fn log(w: &World, count: usize) {
    let mut tx = w.store.begin().await.unwrap();
    let acts: Vec<_> = (0..count).map(|_| act("key.create")).collect();
    append(&mut tx, w.org, &acts).await.unwrap();
    tx.commit().await.unwrap();
}

async fn export(w: &World) -> Vec<u8> {
    let mut file = Vec::new();
    w.store.export_audit(w.org, 1, &w.notary(), NOW, &mut file).await.unwrap();
    file
}

/// Exports the log and checks it.
pub(crate) async fn check(w: &World) -> Report {
    verify(export(w).await.as_slice(), &[signer().public()]).unwrap()
}

fn acts(actor: Option<&str>, action: Option<&str>, object: Option<&str>) -> AuditFilter {
    let own = |text: Option<&str>| text.map(str::to_owned);
    AuditFilter { actor: own(actor), action: own(action), object: own(object), ..AuditFilter::default() }
}

async fn found(w: &World, filter: AuditFilter) -> Vec<u64> {
    let listed = w.store.audit_entries(w.org, &filter, &Page::first(100)).await.unwrap();
    listed.items.into_iter().map(|entry| entry.seq).collect()
}

async fn what_is_appended_is_listed(w: World) {
    let mut draft = act("key.rotate").with("overlap_ms", 5_i64).ended(Outcome::Failed, "why");
    draft.from = Some("192.0.2.1".parse().unwrap());
    draft.request_id = Some("req_1".to_owned());
    w.store.record(w.org, &draft).await.unwrap();
    let listed = w.store.audit_entries(w.org, &AuditFilter::default(), &Page::first(1)).await.unwrap();
    let entry = &listed.items[0];
    assert_eq!((entry.seq, entry.org, &entry.act), (2, w.org, &draft));
    let head = w.store.audit_head(w.org).await.unwrap();
    assert_eq!(head, Head { seq: 2, hash: entry.hash });
    let rest = w
        .store
        .audit_entries(w.org, &AuditFilter::default(), &Page::after(listed.next.unwrap(), 10))
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.items[0].hash), (1, entry.prev_hash));
}

async fn entries_are_found_by_who_what_and_when(w: World) {
    let by = |who: &str, action: &'static str, id: &str, at: i64| {
        let actor = Actor { id: who.to_owned(), ..Actor::system("x") };
        Draft::new(NOW.plus_millis(at), actor, action, Object::new("key", id, ""))
    };
    let all = [
        by("ada", "key.create", "key_1", 1),
        by("bob", "key.revoke", "key_1", 2),
        by("ada", "user.create", "usr_1", 3),
        by("ada", EXCHANGES, "exc_1", 4),
    ];
    let mut tx = w.store.begin().await.unwrap();
    append(&mut tx, w.org, &all).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found(&w, acts(None, None, None)).await, [4, 3, 2, 1]);
    assert_eq!(found(&w, acts(Some("ada"), None, None)).await, [4, 2]);
    assert_eq!(found(&w, acts(None, Some("key.revoke"), None)).await, [3]);
    assert_eq!(found(&w, acts(None, Some("key."), None)).await, [3, 2]);
    assert_eq!(found(&w, acts(None, None, Some("key_1"))).await, [3, 2]);
    assert_eq!(found(&w, acts(Some("%"), Some("' OR 1=1 --"), None)).await, [0; 0]);
    let during = AuditFilter {
        since: Some(NOW.plus_millis(2)),
        until: Some(NOW.plus_millis(3)),
        ..AuditFilter::default()
    };
    assert_eq!(found(&w, during).await, [3]);
    assert_eq!(found(&w, AuditFilter { kind: AuditKind::Exchanges, ..AuditFilter::default() }).await, [5]);
    assert_eq!(found(&w, AuditFilter { kind: AuditKind::All, ..AuditFilter::default() }).await.len(), 5);
    let zero = w.store.audit_entries(w.org, &acts(Some("a\0"), None, None), &Page::first(1)).await;
    assert!(matches!(zero, Err(StoreError::Invalid { field: "actor", .. })), "{zero:?}");
    let cursor = w.store.audit_entries(w.org, &AuditFilter::default(), &Page::after("x".to_owned(), 1)).await;
    assert!(matches!(cursor, Err(StoreError::Invalid { field: "after", .. })), "{cursor:?}");
}

async fn hostile_texts_are_kept_and_verified(w: World) {
    for text in ["\0", "a\nb\r\n", "\"}\\", "\u{202e}", "'; DROP TABLE audit_entries; --", &"名".repeat(5000)]
    {
        let actor = Actor { id: text.to_owned(), name: text.to_owned(), ..Actor::anonymous() };
        let draft = Draft::new(NOW, actor, "sign_in", Object::new("path", text, text)).with("text", text);
        w.store.record(w.org, &draft.ended(Outcome::Refused, text)).await.unwrap();
    }
    let listed = w.store.audit_entries(w.org, &AuditFilter::default(), &Page::first(10)).await.unwrap();
    assert_eq!(listed.items[5].act.actor.name, "\0");
    let report = check(&w).await;
    assert_eq!((report.fault, report.entries), (None, 7));
}

async fn an_export_verifies(w: World) {
    log(&w, 700).await;
    w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    log(&w, 800).await;
    let report = check(&w).await;
    assert_eq!((report.fault, report.first, report.last), (None, Some(1), Some(1501)));
    assert_eq!((report.org, report.checkpoints, report.keys), (Some(w.org), 2, vec![signer().public()]));
    let forger = Signer::new(&[9; 32]).public();
    let report = verify(export(&w).await.as_slice(), &[forger]).unwrap();
    assert_eq!(report.fault.unwrap().wrong, Wrong::UntrustedKey(signer().public()));
}

async fn an_empty_range_verifies(w: World) {
    let mut file = Vec::new();
    let written = w.store.export_audit(w.org, 2, &w.notary(), NOW, &mut file).await.unwrap();
    assert_eq!(written.entries, 0);
    assert_eq!(verify(file.as_slice(), &[]).unwrap().fault, None);
    for first in [0, 3, u64::MAX] {
        let refused = w.store.export_audit(w.org, first, &w.notary(), NOW, &mut Vec::new()).await;
        assert!(refused.unwrap_err().to_string().contains("`first`"));
    }
}

async fn a_part_can_be_exported(w: World) {
    log(&w, 30).await;
    w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    log(&w, 5).await;
    let mut file = Vec::new();
    let written = w.store.export_audit(w.org, 20, &w.notary(), NOW, &mut file).await.unwrap();
    assert_eq!((written.entries, written.closing.checkpoint.seq), (17, 36));
    let report = verify(file.as_slice(), &[signer().public()]).unwrap();
    assert_eq!((report.fault, report.first, report.checkpoints), (None, Some(20), 2));
}

async fn checkpoints_come_when_due(w: World) {
    let rule = CheckpointRule { entries: 10, millis: 1000 };
    let due = async |at| {
        let made = w.store.checkpoint_if_due(w.org, rule, &w.notary(), NOW.plus_millis(at)).await.unwrap();
        made.map(|made| (made.checkpoint.seq, made.checkpoint.count))
    };
    assert_eq!(due(0).await, Some((1, 1)));
    assert_eq!(due(5000).await, None, "nothing is new");
    log(&w, 9).await;
    assert_eq!(due(999).await, None);
    assert_eq!(due(1000).await, Some((10, 9)));
    log(&w, 10).await;
    assert_eq!(due(1001).await, Some((20, 10)));
    let again = w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    assert_eq!(Some(again), w.store.newest_checkpoint(w.org).await.unwrap());
    assert_eq!(check(&w).await.checkpoints, 3);
    let nowhere = w.store.checkpoint_if_due(OrgId::from_bits(1), rule, &w.notary(), NOW).await;
    assert!(matches!(nowhere, Err(CheckpointError::Store(StoreError::NotFound { .. }))), "{nowhere:?}");
}

async fn nodes_appending_at_once_make_one_chain(w: World) {
    let other = w.another_node().await;
    let notaries = ["one", "other"]
        .map(|name| Arc::new(Notary::open(node(), signer(), w.config.data_dir.join(name)).unwrap()));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, org) = (if n % 2 == 0 { w.store.clone() } else { other.clone() }, w.org);
        let notary = Arc::clone(&notaries[n % 2]);
        tasks.spawn(async move {
            for size in 0..12 {
                let mut tx = store.begin().await.unwrap();
                let acts: Vec<_> = (0..size).map(|_| act("exchange")).collect();
                append(&mut tx, org, &acts).await.unwrap();
                tx.commit().await.unwrap();
                store.checkpoint(org, &notary, NOW).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let report = check(&w).await;
    assert_eq!((report.fault, report.entries), (None, 8 * 66 + 1));
}

async fn what_is_rolled_back_leaves_no_gap(w: World) {
    for _ in 0..3 {
        let mut tx = w.store.begin().await.unwrap();
        append(&mut tx, w.org, &[act("x"), act("y")]).await.unwrap();
        tx.rollback().await.unwrap();
        let mut dropped = w.store.begin().await.unwrap();
        append(&mut dropped, w.org, &[act("z")]).await.unwrap();
        drop(dropped);
        log(&w, 2).await;
    }
    let report = check(&w).await;
    assert_eq!((report.fault, report.entries), (None, 7));
    let mut tx = w.store.begin().await.unwrap();
    assert!(matches!(
        append(&mut tx, OrgId::from_bits(1), &[act("x")]).await,
        Err(StoreError::NotFound { .. })
    ));
}

async fn tampering_is_named(w: World) {
    log(&w, 20).await;
    w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    log(&w, 4).await;
    w.behind_its_back("CREATE TABLE kept AS SELECT * FROM audit_entries").await;
    w.behind_its_back("CREATE TABLE kept_points AS SELECT * FROM audit_checkpoints").await;
    let hash = if w.config.url == "sqlite" { "ZEROBLOB(32)" } else { "DECODE(REPEAT('00', 32), 'hex')" };
    for (seq, tampering) in [
        (7, "UPDATE audit_entries SET entry = REPLACE(entry, 'thing', 'thinG') WHERE seq = 7".to_owned()),
        (8, format!("UPDATE audit_entries SET hash = {hash} WHERE seq = 8")),
        (9, format!("UPDATE audit_entries SET prev = {hash} WHERE seq = 9")),
        (9, "DELETE FROM audit_entries WHERE seq = 9".to_owned()),
        (21, "DELETE FROM audit_entries WHERE seq = 21".to_owned()),
        (11, "UPDATE audit_entries SET seq = -1 WHERE seq = 11; UPDATE audit_entries SET seq = 11 WHERE seq = 12;
              UPDATE audit_entries SET seq = 12 WHERE seq = -1".to_owned()),
        (3, "UPDATE audit_entries SET action = 'exchange.batch' WHERE seq = 3".to_owned()),
        (4, "UPDATE audit_entries SET actor = 'x' WHERE seq = 4".to_owned()),
        (5, "UPDATE audit_entries SET object = 'x' WHERE seq = 5".to_owned()),
        (6, "UPDATE audit_entries SET at = 0 WHERE seq = 6".to_owned()),
        (2, "UPDATE audit_entries SET entry = '' WHERE seq = 2".to_owned()),
        (20, "UPDATE audit_checkpoints SET seq = 20 WHERE seq = 21".to_owned()),
        (21, "UPDATE audit_checkpoints SET node = 'x' WHERE seq = 21".to_owned()),
    ] {
        w.behind_its_back(&tampering).await;
        let fault = check(&w).await.fault;
        assert_eq!(fault.as_ref().and_then(|fault| fault.seq), Some(seq), "{tampering}: {fault:?}");
        w.behind_its_back(
            "DELETE FROM audit_entries; INSERT INTO audit_entries SELECT * FROM kept;
             DELETE FROM audit_checkpoints; INSERT INTO audit_checkpoints SELECT * FROM kept_points",
        )
        .await;
        assert_eq!(check(&w).await.fault, None, "after {tampering} was undone");
    }
}

async fn a_removed_tail_is_noticed(w: World) {
    log(&w, 20).await;
    let head = w.store.audit_head(w.org).await.unwrap();
    w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    let hash = w
        .store
        .audit_entries(w.org, &AuditFilter::default(), &Page::after("16".to_owned(), 1))
        .await
        .unwrap()
        .items[0]
        .hash;
    let blob =
        if w.config.url == "sqlite" { format!("x'{hash}'") } else { format!("DECODE('{hash}', 'hex')") };
    w.behind_its_back("DELETE FROM audit_entries WHERE seq > 15").await;
    w.behind_its_back(&format!("UPDATE audit_heads SET seq = 15, hash = {blob}")).await;
    let fault = check(&w).await.fault.unwrap();
    assert_eq!((fault.seq, fault.wrong), (Some(16), Wrong::Missing { until: head.seq }));
}

/// What went wrong, as the caller sees it.
fn altered<T: std::fmt::Debug>(done: Result<T, CheckpointError>) -> Altered {
    match done {
        Err(CheckpointError::Altered { what, .. }) => what,
        other => panic!("it should be found altered: {other:?}"),
    }
}

impl World {
    fn blob(&self, hash: &Hash) -> String {
        if self.config.url == "sqlite" { format!("x'{hash}'") } else { format!("DECODE('{hash}', 'hex')") }
    }

    /// Does what somebody does who can write the database: changes an entry, makes all hashes from there on anew, and
    /// removes every checkpoint.
    async fn rewrite(&self, from: u64) {
        let all = AuditFilter { kind: AuditKind::All, ..AuditFilter::default() };
        let mut entries = self.store.audit_entries(self.org, &all, &Page::first(1000)).await.unwrap().items;
        entries.reverse();
        let mut head = Head::empty(self.org);
        for entry in entries {
            let mut act = entry.act;
            if entry.seq == from {
                "another thing".clone_into(&mut act.object.name);
            }
            let linked = head.append(self.org, &act);
            let text = linked.canonical.replace('\'', "''");
            let (prev, hash) = (self.blob(&linked.prev_hash), self.blob(&linked.hash));
            self.behind_its_back(&format!(
                "UPDATE audit_entries SET entry = '{text}', prev = {prev}, hash = {hash} WHERE seq = {}",
                entry.seq
            ))
            .await;
        }
        self.behind_its_back(&format!("UPDATE audit_heads SET hash = {}", self.blob(&head.hash))).await;
        self.behind_its_back("DELETE FROM audit_checkpoints").await;
    }
}

/// The server once signed whatever the database held, so that a log which was rewritten as a whole verified.
async fn a_log_that_was_rewritten_is_not_signed(w: World) {
    let rule = CheckpointRule { entries: 1, millis: 0 };
    log(&w, 20).await;
    let kept = w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap().checkpoint;
    log(&w, 3).await;
    w.rewrite(7).await;
    let refused = w.store.checkpoint(w.org, &w.notary(), NOW).await;
    assert!(refused.as_ref().unwrap_err().to_string().contains("audit.checkpoint"), "{refused:?}");
    assert_eq!(altered(refused), Altered::Rewritten(21));
    let due = w.store.checkpoint_if_due(w.org, rule, &w.notary(), NOW).await;
    assert_eq!(altered(due), Altered::Rewritten(21));
    assert_eq!(w.store.newest_checkpoint(w.org).await.unwrap(), None, "nothing was signed");
    let fault = check(&w).await.fault.expect("the export shows it");
    assert_eq!(fault.wrong, Wrong::Rewritten { until: 21 });

    // A node that remembers nothing signs it; a checkpoint kept elsewhere tells.
    let blind = Notary::open(node(), signer(), w.config.data_dir.join("elsewhere")).unwrap();
    let mut file = Vec::new();
    w.store.export_audit(w.org, 1, &blind, NOW, &mut file).await.unwrap();
    assert_eq!(verify(file.as_slice(), &[signer().public()]).unwrap().fault, None);
    let told = verify_against(file.as_slice(), &[signer().public()], &[kept]).unwrap().fault.unwrap();
    assert_eq!((told.seq, told.wrong), (Some(21), Wrong::NotAsKept));
}

async fn a_log_that_was_put_back_is_not_signed(w: World) {
    let rule = CheckpointRule { entries: 1000, millis: i64::MAX };
    log(&w, 4).await;
    let before = w.store.audit_head(w.org).await.unwrap();
    log(&w, 4).await;
    w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    w.behind_its_back("DELETE FROM audit_entries WHERE seq > 5; DELETE FROM audit_checkpoints").await;
    let head = format!("UPDATE audit_heads SET seq = 5, hash = {}", w.blob(&before.hash));
    w.behind_its_back(&head).await;
    let cut = Altered::CutOff { ends: 5, covered: 9 };
    assert_eq!(altered(w.store.checkpoint(w.org, &w.notary(), NOW).await), cut);
    assert_eq!(altered(w.store.checkpoint_if_due(w.org, rule, &w.notary(), NOW).await), cut);
    // Also when it has grown again.
    log(&w, 10).await;
    assert_eq!(altered(w.store.checkpoint(w.org, &w.notary(), NOW).await), Altered::Rewritten(9));
    // Whoever put it back on purpose removes the file.
    w.forget_checkpoint();
    assert_eq!(w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap().checkpoint.seq, 15);
}

async fn a_forged_checkpoint_is_not_taken_over(w: World) {
    log(&w, 4).await;
    let path = w.config.data_dir.join("forger");
    let forger = Notary::open(node(), Signer::new(&[9; 32]), path).unwrap();
    w.store.checkpoint(w.org, &forger, NOW).await.unwrap();
    assert_eq!(altered(w.store.checkpoint(w.org, &w.notary(), NOW).await), Altered::Forged(5));
    // One far ahead does not stop the signing unseen.
    w.behind_its_back("UPDATE audit_checkpoints SET seq = 1000000").await;
    let rule = CheckpointRule { entries: 1, millis: 0 };
    assert_eq!(
        altered(w.store.checkpoint_if_due(w.org, rule, &w.notary(), NOW).await),
        Altered::Forged(1_000_000)
    );
}

async fn a_node_follows_what_others_sign(w: World) {
    let rule = CheckpointRule { entries: 1000, millis: i64::MAX };
    let other = Notary::open(node(), signer(), w.config.data_dir.join("other")).unwrap();
    w.store.checkpoint(w.org, &other, NOW).await.unwrap();
    log(&w, 600).await;
    let signed = w.store.checkpoint(w.org, &w.notary(), NOW).await.unwrap();
    assert_eq!(w.store.checkpoint_if_due(w.org, rule, &other, NOW).await.unwrap(), None);
    let line = std::fs::read_to_string(other.path()).unwrap();
    assert_eq!(line.trim_end(), signed.checkpoint.line(&signed.signature));
    for garbage in ["", "{}", "null", &line[1..], &line.replace("nod_", "nox_"), &"x".repeat(100_000)] {
        std::fs::write(other.path(), garbage).unwrap();
        let told = Notary::open(node(), signer(), other.path()).err().unwrap().to_string();
        assert!(told.contains("does not hold an audit checkpoint"), "{told}");
    }
}

/// Every way to change something leaves an entry with its action.
async fn every_change_is_recorded(w: World) {
    let team = w.team("Core").await;
    let ada = w.user("ada@example.com", &[team.id]).await;
    let (key, _) = w.key(ada.id).await;
    let fresh = secret(KeyKind::Virtual);
    let by = gatehouse_store::key::Replacement {
        id: gatehouse_domain::id::KeyId::new(NOW, 77),
        public: fresh.public(),
        hash: fresh.hash(&crate::engines::pepper()),
        expires_at: None,
    };
    w.store.rotate_key(w.org, key.id, &by, 0, &act("key.rotate")).await.unwrap();
    w.store.set_key_expiry(w.org, by.id, Some(NOW), &act("key.expire")).await.unwrap();
    w.store.set_user_teams(w.org, ada.id, &[], &act("user.teams")).await.unwrap();
    w.store.remove_team(w.org, team.id, &act("team.remove")).await.unwrap();
    let listed = w.store.audit_entries(w.org, &AuditFilter::default(), &Page::first(100)).await.unwrap();
    let actions: BTreeSet<_> = listed.items.iter().map(|entry| entry.act.action.as_ref()).collect();
    let expected = [
        "key.create",
        "key.expire",
        "key.rotate",
        "org.create",
        "team.create",
        "team.remove",
        "user.create",
        "user.teams",
    ];
    assert_eq!(actions, BTreeSet::from(expected));
}

on_both!(every_change_is_recorded);
