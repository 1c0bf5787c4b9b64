-- The figures of each day of UTC, as they were when it was over. A day counts as kept when it is in `metric_days`; what of it
-- is in `metric_snapshots` before that is not shown, and is written anew.

CREATE TABLE metric_days (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    day BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    from_rollups BIGINT NOT NULL,
    scopes BIGINT NOT NULL,
    PRIMARY KEY (org_id, day)
);

-- `kind` is org, team, phase or mode; `scope_id` does not change when what it names is renamed, `name` is what it was called.
-- Each figure of a row is a quotient of two columns; where the lower one is zero, there is no data.
CREATE TABLE metric_snapshots (
    org_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    scope_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    taken_at BIGINT NOT NULL,
    total_users BIGINT NOT NULL,
    active_users BIGINT NOT NULL,
    total_requests BIGINT NOT NULL,
    failed_requests BIGINT NOT NULL,
    refused_requests BIGINT NOT NULL,
    retried_requests BIGINT NOT NULL,
    abandoned_requests BIGINT NOT NULL,
    total_time_ms BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    score_sum BIGINT NOT NULL,
    answers BIGINT NOT NULL,
    active_days BIGINT NOT NULL,
    active_7d BIGINT NOT NULL,
    active_30d BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    edits_accepted BIGINT NOT NULL,
    edits_rejected BIGINT NOT NULL,
    told_users BIGINT NOT NULL,
    told_days BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    timed BIGINT NOT NULL,
    p50_ms BIGINT NOT NULL,
    p95_ms BIGINT NOT NULL,
    p99_ms BIGINT NOT NULL,
    first_timed BIGINT NOT NULL,
    first_p50_ms BIGINT NOT NULL,
    first_p95_ms BIGINT NOT NULL,
    first_p99_ms BIGINT NOT NULL,
    PRIMARY KEY (org_id, kind, scope_id, day)
);

CREATE INDEX metric_snapshots_by_day ON metric_snapshots (org_id, day);
CREATE INDEX metric_snapshots_by_name ON metric_snapshots (org_id, kind, name, day);
