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
    stream BIGINT NOT NULL,
    status BIGINT NOT NULL,
    ended TEXT NOT NULL,
    reason TEXT,
    usage TEXT NOT NULL,
    estimated BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    price_basis TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    first_byte_ms BIGINT,
    duration_ms BIGINT NOT NULL,
    overhead_us BIGINT NOT NULL,
    bytes_in BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    peer TEXT,
    session TEXT,
    client TEXT,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX exchanges_by_user ON exchanges (org_id, user_id, id);

-- Empty texts stand for "none": a primary key takes no NULL.
CREATE TABLE rollups (
    org_id TEXT NOT NULL,
    hour BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    mode TEXT NOT NULL,
    requests BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    refusals BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    first_byte_ms BIGINT NOT NULL,
    first_bytes BIGINT NOT NULL,
    PRIMARY KEY (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode)
);

-- Up to which entry a node's journal is in the database; written in the transaction that brought the entries in.
CREATE TABLE journal_positions (
    node_id TEXT NOT NULL PRIMARY KEY,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    seq BIGINT NOT NULL
);
