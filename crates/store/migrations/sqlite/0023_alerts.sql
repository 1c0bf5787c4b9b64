-- Alerts: what was seen, what fires, who is told.

-- What nodes saw lately, and what was found out now and then: each value counts until `until_at`. `labels` is JSON, `value` a
-- decimal number.
CREATE TABLE alert_readings (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    source TEXT NOT NULL,
    signal TEXT NOT NULL,
    labels TEXT NOT NULL,
    value TEXT NOT NULL,
    at INTEGER NOT NULL,
    until_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, source, signal, labels)
) STRICT;

-- Alerts that are pending or fire, by their labels as text. `body` is the alert as JSON.
CREATE TABLE alerts (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org_id, key)
) STRICT;

-- What happened to alerts: `kind` is `fired` or `resolved`. Identifiers sort by time.
CREATE TABLE alert_events (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;

-- Alerts that are told together to one receiver, and what it was told last, as JSON.
CREATE TABLE alert_groups (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (org_id, key)
) STRICT;

-- Messages to receivers: written in the transaction that decided on them, sent afterwards. `state` is `waiting`, `sending`,
-- `sent`, `failed` or `dropped`; one that is being sent is tried again at `next_at` when nothing was heard of it.
CREATE TABLE alert_deliveries (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    is_test INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    tried_at INTEGER,
    ended_at INTEGER,
    error TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX alert_deliveries_by_receiver ON alert_deliveries (org_id, receiver, state, id);

-- Silences. `matchers` is a JSON list of conditions.
CREATE TABLE alert_silences (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    matchers TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;
