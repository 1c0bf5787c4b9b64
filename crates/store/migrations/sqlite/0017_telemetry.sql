-- What coding clients say of their own use, apart from the ledger; and the deployment mode of organization and teams.

-- Requests that were counted, so that one that comes again is not. Kept for two days.
CREATE TABLE client_batches (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    digest BLOB NOT NULL,
    came_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, digest)
) STRICT;

CREATE INDEX client_batches_came ON client_batches (org_id, came_at);

-- Sums that run on: what is known of each. Kept for thirty days after they were last heard of.
CREATE TABLE client_streams (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    user_id TEXT NOT NULL,
    stream BLOB NOT NULL,
    nanos INTEGER NOT NULL,
    total INTEGER NOT NULL,
    heard_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id, stream)
) STRICT;

CREATE INDEX client_streams_heard ON client_streams (org_id, heard_at);

-- Hourly sums. No references, as in the ledger: sums outlive what they are of. No team and no model are ''.
CREATE TABLE client_rollups (
    org_id TEXT NOT NULL,
    hour INTEGER NOT NULL,
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
    PRIMARY KEY (org_id, hour, user_id, team_id, model)
) STRICT;

-- Single events, for a while. Never what a person or a model wrote, unless the configuration says so.
CREATE TABLE client_events (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    session TEXT NOT NULL,
    -- A JSON object.
    attributes TEXT NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;

CREATE INDEX client_events_user ON client_events (org_id, user_id, id);

-- Every change of the mode. The newest of a team decides for it, unless it gave its own up (mode is NULL); else the newest
-- of the organization (team is NULL).
CREATE TABLE mode_changes (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    team_id TEXT,
    mode TEXT,
    actor TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;

CREATE INDEX mode_changes_team ON mode_changes (org_id, team_id, id);
