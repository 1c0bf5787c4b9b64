-- Daily sums of what clients say beside the hourly ones, written in the same transaction; and a way to find one person's
-- days, for their budget and their own view of it.

CREATE TABLE client_daily_rollups (
    org_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    model TEXT NOT NULL,
    cost_nanos INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    active_user_ms INTEGER NOT NULL,
    active_client_ms INTEGER NOT NULL,
    lines_added INTEGER NOT NULL,
    lines_removed INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    pull_requests INTEGER NOT NULL,
    edits_accepted INTEGER NOT NULL,
    edits_rejected INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    request_cost_nanos INTEGER NOT NULL,
    request_ms INTEGER NOT NULL,
    prompts INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    tool_failures INTEGER NOT NULL,
    surveys_shown INTEGER NOT NULL,
    surveys_answered INTEGER NOT NULL,
    PRIMARY KEY (org_id, day, user_id, team_id, model)
) STRICT, WITHOUT ROWID;

-- An absurd amount in an hour is cut, so that it does not keep the migration from being applied.
INSERT INTO client_daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, model,
    CAST(SUM(MIN(cost_nanos, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(input_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(output_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cache_read_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(cache_write_tokens, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(sessions, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(active_user_ms, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(active_client_ms, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(lines_added, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(lines_removed, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(commits, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(pull_requests, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(edits_accepted, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(edits_rejected, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(requests, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(errors, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(request_cost_nanos, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(request_ms, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(prompts, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(tool_calls, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(tool_failures, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(surveys_shown, 1000000000000000)) AS INTEGER),
    CAST(SUM(MIN(surveys_answered, 1000000000000000)) AS INTEGER)
FROM client_rollups
GROUP BY org_id, hour - hour % 86400000, user_id, team_id, model;

CREATE INDEX daily_rollups_by_user ON daily_rollups (org_id, user_id, day);
