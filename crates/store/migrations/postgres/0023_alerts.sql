-- Alerts: what was seen, what fires, who is told.

-- What nodes saw lately, and what was found out now and then: each value counts until `until_at`. `labels` is JSON, `value` a
-- decimal number.
CREATE TABLE alert_readings (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    source TEXT COLLATE "C" NOT NULL,
    signal TEXT COLLATE "C" NOT NULL,
    labels TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, source, signal, labels)
);

-- Alerts that are pending or fire, by their labels as text. `body` is the alert as JSON.
CREATE TABLE alerts (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    key TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, key)
);

-- What happened to alerts: `kind` is `fired` or `resolved`. Identifiers sort by time.
CREATE TABLE alert_events (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- Alerts that are told together to one receiver, and what it was told last, as JSON.
CREATE TABLE alert_groups (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    key TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, key)
);

-- Messages to receivers: written in the transaction that decided on them, sent afterwards. `state` is `waiting`, `sending`,
-- `sent`, `failed` or `dropped`; one that is being sent is tried again at `next_at` when nothing was heard of it.
CREATE TABLE alert_deliveries (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    receiver TEXT COLLATE "C" NOT NULL,
    is_test BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    tried_at BIGINT,
    ended_at BIGINT,
    error TEXT COLLATE "C",
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX alert_deliveries_by_receiver ON alert_deliveries (org_id, receiver, state, id);

-- Silences. `matchers` is a JSON list of conditions.
CREATE TABLE alert_silences (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    matchers TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);
