-- Daily sums of what clients say beside the hourly ones, written in the same transaction; and a way to find one person's
-- days, for their budget and their own view of it.

CREATE TABLE client_daily_rollups (
    org_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    cost_nanos BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    active_user_ms BIGINT NOT NULL,
    active_client_ms BIGINT NOT NULL,
    lines_added BIGINT NOT NULL,
    lines_removed BIGINT NOT NULL,
    commits BIGINT NOT NULL,
    pull_requests BIGINT NOT NULL,
    edits_accepted BIGINT NOT NULL,
    edits_rejected BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    request_cost_nanos BIGINT NOT NULL,
    request_ms BIGINT NOT NULL,
    prompts BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    tool_failures BIGINT NOT NULL,
    surveys_shown BIGINT NOT NULL,
    surveys_answered BIGINT NOT NULL,
    PRIMARY KEY (org_id, day, user_id, team_id, model)
);

-- An absurd amount in an hour is cut, so that it does not keep the migration from being applied.
INSERT INTO client_daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, model,
    CAST(SUM(LEAST(cost_nanos, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(input_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(output_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cache_read_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(cache_write_tokens, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(sessions, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(active_user_ms, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(active_client_ms, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(lines_added, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(lines_removed, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(commits, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(pull_requests, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(edits_accepted, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(edits_rejected, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(requests, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(errors, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(request_cost_nanos, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(request_ms, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(prompts, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(tool_calls, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(tool_failures, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(surveys_shown, 1000000000000000)) AS BIGINT),
    CAST(SUM(LEAST(surveys_answered, 1000000000000000)) AS BIGINT)
FROM client_rollups
GROUP BY org_id, hour - hour % 86400000, user_id, team_id, model;

CREATE INDEX daily_rollups_by_user ON daily_rollups (org_id, user_id, day);
