-- Locked statements of months, the rules by which overhead is shared, exchange rates for display, and daily sums.

-- A statement is never changed. `digest` covers its lines and stands in the audit log too.
CREATE TABLE statements (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    month_at BIGINT NOT NULL,
    closed_at BIGINT NOT NULL,
    closed_by TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    lines BIGINT NOT NULL,
    total_nanos BIGINT NOT NULL,
    PRIMARY KEY (org_id, month_at)
);

-- `usage_at` is the month in which it was used: an earlier one for adjustments. Names are those of the time of closing;
-- empty texts stand for "none".
CREATE TABLE statement_lines (
    org_id TEXT COLLATE "C" NOT NULL,
    month_at BIGINT NOT NULL,
    n BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    usage_at BIGINT NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    team_name TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    project_name TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    user_name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    key_name TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    PRIMARY KEY (org_id, month_at, n),
    FOREIGN KEY (org_id, month_at) REFERENCES statements (org_id, month_at)
);
-- What was stated of a month before is looked up when a later one is closed.
CREATE INDEX statement_lines_by_usage ON statement_lines (org_id, usage_at);

-- `amount_nanos` is NULL where what is charged to no team is shared. `shares` are a team's id, a colon and a weight,
-- between commas; only `fixed` has any.
CREATE TABLE allocations (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    amount_nanos BIGINT,
    method TEXT COLLATE "C" NOT NULL,
    shares TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, name)
);

-- Units of a currency for one dollar, in thousand-millionths, from a day on.
CREATE TABLE exchange_rates (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    currency TEXT COLLATE "C" NOT NULL,
    from_at BIGINT NOT NULL,
    per_dollar BIGINT NOT NULL,
    PRIMARY KEY (org_id, currency, from_at)
);

-- Daily sums beside the hourly ones, written in the same transaction: reports of a month read a tenth as many rows.
CREATE TABLE daily_rollups (
    org_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
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
    PRIMARY KEY (org_id, day, user_id, team_id, project_id, key_id, provider, model, kind, mode)
);

-- An absurd amount in an hour (a million dollars) is cut, so that it does not keep the migration from being applied.
INSERT INTO daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode,
    CAST(SUM(LEAST(requests, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(errors, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(refusals, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(estimated, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(input_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cache_write_5m_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cache_write_1h_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cache_read_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(output_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(web_searches, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cost_nanos, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(duration_ms, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(first_byte_ms, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(first_bytes, 1000000000000000)) AS BIGINT)
FROM rollups
GROUP BY org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode;
