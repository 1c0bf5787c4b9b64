-- The figures of each day of UTC, as they were when it was over. A day counts as kept when it is in `metric_days`; what of it
-- is in `metric_snapshots` before that is not shown, and is written anew.

CREATE TABLE metric_days (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    day INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    from_rollups INTEGER NOT NULL,
    scopes INTEGER NOT NULL,
    PRIMARY KEY (org_id, day)
) STRICT;

-- `kind` is org, team, phase or mode; `scope_id` does not change when what it names is renamed, `name` is what it was called.
-- Each figure of a row is a quotient of two columns; where the lower one is zero, there is no data.
CREATE TABLE metric_snapshots (
    org_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    total_users INTEGER NOT NULL,
    active_users INTEGER NOT NULL,
    total_requests INTEGER NOT NULL,
    failed_requests INTEGER NOT NULL,
    refused_requests INTEGER NOT NULL,
    retried_requests INTEGER NOT NULL,
    abandoned_requests INTEGER NOT NULL,
    total_time_ms INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    score_sum INTEGER NOT NULL,
    answers INTEGER NOT NULL,
    active_days INTEGER NOT NULL,
    active_7d INTEGER NOT NULL,
    active_30d INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    edits_accepted INTEGER NOT NULL,
    edits_rejected INTEGER NOT NULL,
    told_users INTEGER NOT NULL,
    told_days INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    timed INTEGER NOT NULL,
    p50_ms INTEGER NOT NULL,
    p95_ms INTEGER NOT NULL,
    p99_ms INTEGER NOT NULL,
    first_timed INTEGER NOT NULL,
    first_p50_ms INTEGER NOT NULL,
    first_p95_ms INTEGER NOT NULL,
    first_p99_ms INTEGER NOT NULL,
    PRIMARY KEY (org_id, kind, scope_id, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX metric_snapshots_by_day ON metric_snapshots (org_id, day);
CREATE INDEX metric_snapshots_by_name ON metric_snapshots (org_id, kind, name, day);
