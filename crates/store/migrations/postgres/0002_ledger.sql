-- Finished exchanges, hourly sums of them, and how far each node's journal has been brought in.

-- `record` is the exchange, as JSON, and what the audit log's hashes cover; the other columns repeat parts of it for
-- searching. Identifiers sort by time, so the primary key serves for lists by time. What was not recognized has no user.
-- A key has one holder, so its exchanges are found among theirs.
CREATE TABLE exchanges (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    key_id TEXT COLLATE "C",
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    model TEXT COLLATE "C",
    status BIGINT NOT NULL,
    ended TEXT COLLATE "C" NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX exchanges_by_user ON exchanges (user_id, id);

-- Empty texts stand for "none": a primary key takes no NULL.
CREATE TABLE rollups (
    org_id TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
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

-- Up to which entry a node's journal is in the database; written in the transaction that brought the entries in. `run` is
-- the number that the last run of that journal left in its files: of a copied data directory each copy has its own row.
CREATE TABLE journal_positions (
    node_id TEXT COLLATE "C" NOT NULL,
    run BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    "offset" BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (node_id, run)
);
