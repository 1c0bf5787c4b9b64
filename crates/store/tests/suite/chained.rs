//! Exchanges in the audit log: tampering with their rows and with the list of their hashes, on both engines.

use gatehouse_domain::audit::{Wrong, verify};
use gatehouse_domain::exchange::Exchange;

use crate::audit::check;
use crate::engines::{NOW, World, node, on_both, signer};
use crate::ledger::exchange;

on_both!(tampering_with_exchanges_is_named);

/// Exchanges are chained in batches; what is changed in one of their rows, or in the list of their hashes, is named.
async fn tampering_with_exchanges_is_named(w: World) {
    let ada = w.somebody("ada@example.com").await;
    let before = w.store.audit_head(w.org).await.unwrap().seq;
    let all: Vec<Exchange> = (0..200).map(|at| Exchange { principal: Some(ada), ..exchange(at) }).collect();
    for (n, batch) in (0..).zip([&all[..1], &all[1..131], &all[131..200]]) {
        w.bring(node(), batch, n).await;
    }
    let mut file = Vec::new();
    let exported = w.store.export_audit(w.org, 1, &w.notary(), NOW, &mut file).await.unwrap();
    let report = verify(file.as_slice(), &[signer().public()]).unwrap();
    assert_eq!((report.fault, report.exchanges, exported.exchanges), (None, 200, 200));
    for table in ["exchanges", "audit_entries"] {
        w.behind_its_back(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    let (one, two) = (all[70].id, all[71].id);
    let second = before + 2;
    let exchange = |n| Wrong::Exchange { n, id: Some(all[usize::try_from(n).unwrap()].id) };
    for (expected, tampering) in [
        (exchange(70), format!("UPDATE exchanges SET record = REPLACE(record, '\"cost_nanos\":1000', '\"cost_nanos\":1') WHERE id = '{one}'")),
        (exchange(70), format!("UPDATE exchanges SET user_id = NULL WHERE id = '{one}'")),
        (exchange(70), format!("UPDATE exchanges SET status = 500 WHERE id = '{one}'")),
        (exchange(70), format!("UPDATE exchanges SET model = 'x' WHERE id = '{one}'")),
        (exchange(70), format!("UPDATE exchanges SET record = '' WHERE id = '{one}'")),
        (exchange(70), format!("DELETE FROM exchanges WHERE id = '{one}'")),
        (exchange(70), format!("UPDATE exchanges SET id = 'x' WHERE id = '{one}'; UPDATE exchanges SET id = '{one}' WHERE id = '{two}';
              UPDATE exchanges SET id = '{two}' WHERE id = 'x'")),
        (Wrong::Altered, format!("UPDATE audit_entries SET leaves = NULL WHERE seq = {second}")),
        (Wrong::Altered, format!("UPDATE audit_entries SET leaves = (SELECT leaves FROM kept_audit_entries WHERE seq = {second} + 1) WHERE seq = {second}")),
    ] {
        w.behind_its_back(&tampering).await;
        let fault = check(&w).await.fault.unwrap_or_else(|| panic!("unnoticed: {tampering}"));
        assert_eq!((fault.seq, &fault.wrong), (Some(second), &expected), "{tampering}");
        for table in ["exchanges", "audit_entries"] {
            w.behind_its_back(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        assert_eq!(check(&w).await.fault, None, "after {tampering} was undone");
    }
}
