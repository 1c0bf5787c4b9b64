-- Finished exchanges, hourly sums of them, and how far each node's journal has been brought in.

-- Identifiers sort by time, so the primary key serves for lists by time. What was not recognized has no principal.
CREATE TABLE exchanges (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    user_id TEXT,
    key_id TEXT,
    team_id TEXT,
    project_id TEXT,
    provider TEXT,
    model TEXT,
    served_model TEXT,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    ended TEXT NOT NULL,
    reason TEXT,
    usage TEXT NOT NULL,
    estimated INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    price_basis TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    first_byte_ms INTEGER,
    duration_ms INTEGER NOT NULL,
    overhead_us INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    peer TEXT,
    session TEXT,
    client TEXT,
    PRIMARY KEY (org_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX exchanges_by_user ON exchanges (org_id, user_id, id);
CREATE INDEX exchanges_by_key ON exchanges (org_id, key_id, id);

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
