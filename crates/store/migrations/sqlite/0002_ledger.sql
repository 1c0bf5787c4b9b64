-- Finished exchanges, hourly sums of them, and how far each node's journal has been brought in.

-- `record` is the exchange, as JSON, and what the audit log's hashes cover; the other columns repeat parts of it for
-- searching. Identifiers sort by time, so the primary key serves for lists by time. What was not recognized has no user.
-- A key has one holder, so its exchanges are found among theirs.
CREATE TABLE exchanges (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT,
    key_id TEXT,
    team_id TEXT,
    project_id TEXT,
    model TEXT,
    status INTEGER NOT NULL,
    ended TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX exchanges_by_user ON exchanges (user_id, id);

-- Empty texts stand for "none": a primary key takes no NULL.
CREATE TABLE rollups (
    org_id TEXT NOT NULL,
    hour INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    mode TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    first_byte_ms INTEGER NOT NULL,
    first_bytes INTEGER NOT NULL,
    PRIMARY KEY (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode)
) STRICT, WITHOUT ROWID;

-- Up to which entry a node's journal is in the database; written in the transaction that brought the entries in. `run` is
-- the number that the last run of that journal left in its files: of a copied data directory each copy has its own row.
CREATE TABLE journal_positions (
    node_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (node_id, run)
) STRICT, WITHOUT ROWID;
