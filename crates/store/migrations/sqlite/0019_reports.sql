-- Locked statements of months, the rules by which overhead is shared, exchange rates for display, and daily sums.

-- A statement is never changed. `digest` covers its lines and stands in the audit log too.
CREATE TABLE statements (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    month_at INTEGER NOT NULL,
    closed_at INTEGER NOT NULL,
    closed_by TEXT NOT NULL,
    digest TEXT NOT NULL,
    lines INTEGER NOT NULL,
    total_nanos INTEGER NOT NULL,
    PRIMARY KEY (org_id, month_at)
) STRICT;

-- `usage_at` is the month in which it was used: an earlier one for adjustments. Names are those of the time of closing;
-- empty texts stand for "none".
CREATE TABLE statement_lines (
    org_id TEXT NOT NULL,
    month_at INTEGER NOT NULL,
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    usage_at INTEGER NOT NULL,
    team_id TEXT NOT NULL,
    team_name TEXT NOT NULL,
    project_id TEXT NOT NULL,
    project_name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    PRIMARY KEY (org_id, month_at, n),
    FOREIGN KEY (org_id, month_at) REFERENCES statements (org_id, month_at)
) STRICT, WITHOUT ROWID;
-- What was stated of a month before is looked up when a later one is closed.
CREATE INDEX statement_lines_by_usage ON statement_lines (org_id, usage_at);

-- `amount_nanos` is NULL where what is charged to no team is shared. `shares` are a team's id, a colon and a weight,
-- between commas; only `fixed` has any.
CREATE TABLE allocations (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    amount_nanos INTEGER,
    method TEXT NOT NULL,
    shares TEXT NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;

-- Units of a currency for one dollar, in thousand-millionths, from a day on.
CREATE TABLE exchange_rates (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    currency TEXT NOT NULL,
    from_at INTEGER NOT NULL,
    per_dollar INTEGER NOT NULL,
    PRIMARY KEY (org_id, currency, from_at)
) STRICT;

-- Daily sums beside the hourly ones, written in the same transaction: reports of a month read a tenth as many rows.
CREATE TABLE daily_rollups (
    org_id TEXT NOT NULL,
    day INTEGER NOT NULL,
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
    PRIMARY KEY (org_id, day, user_id, team_id, project_id, key_id, provider, model, kind, mode)
) STRICT, WITHOUT ROWID;

-- An absurd amount in an hour (a million dollars) is cut, so that it does not keep the migration from being applied.
INSERT INTO daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode,
    CAST(SUM(MIN(requests, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(errors, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(refusals, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(estimated, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(input_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cache_write_5m_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cache_write_1h_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cache_read_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(output_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(web_searches, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cost_nanos, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(duration_ms, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(first_byte_ms, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(first_bytes, 1000000000000000)) AS INTEGER)
FROM rollups
GROUP BY org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode;
