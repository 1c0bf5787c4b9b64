-- What coding clients say of their own use, apart from the ledger; and the deployment mode of organization and teams.

-- Requests that were counted, so that one that comes again is not. Kept for two days.
CREATE TABLE client_batches (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    digest BYTEA NOT NULL,
    came_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, digest)
);

CREATE INDEX client_batches_came ON client_batches (org_id, came_at);

-- Sums that run on: what is known of each. Kept for thirty days after they were last heard of.
CREATE TABLE client_streams (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    user_id TEXT COLLATE "C" NOT NULL,
    stream BYTEA NOT NULL,
    nanos BIGINT NOT NULL,
    total BIGINT NOT NULL,
    heard_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id, stream)
);

CREATE INDEX client_streams_heard ON client_streams (org_id, heard_at);

-- Hourly sums. No references, as in the ledger: sums outlive what they are of. No team and no model are ''.
CREATE TABLE client_rollups (
    org_id TEXT COLLATE "C" NOT NULL,
    hour BIGINT NOT NULL,
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
    PRIMARY KEY (org_id, hour, user_id, team_id, model)
);

-- Single events, for a while. Never what a person or a model wrote, unless the configuration says so.
CREATE TABLE client_events (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    name TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    -- A JSON object.
    attributes TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE INDEX client_events_user ON client_events (org_id, user_id, id);

-- Every change of the mode. The newest of a team decides for it, unless it gave its own up (mode is NULL); else the newest
-- of the organization (team is NULL).
CREATE TABLE mode_changes (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    mode TEXT COLLATE "C",
    actor TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE INDEX mode_changes_team ON mode_changes (org_id, team_id, id);
