-- Rollouts of settings in phases, what people say of them, and what people are to be told.

-- `definition` is what was applied, as JSON, and never changes; `progress` is how far it is, as JSON. Each step of the
-- controller counts `revision` up in the transaction that does it, so that no step is done twice. `next_at` is when it is
-- to be looked at again; none for one that is over. `active` holds the name while it is under way.
CREATE TABLE rollouts (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    state TEXT NOT NULL,
    progress TEXT NOT NULL,
    revision INTEGER NOT NULL,
    author_id TEXT NOT NULL,
    author_name TEXT NOT NULL,
    active TEXT,
    next_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, active)
) STRICT;
CREATE INDEX rollouts_by_next ON rollouts (org_id, next_at) WHERE next_at IS NOT NULL;

-- The overlays that a rollout under way gives to people: one rollout at a time has one.
CREATE TABLE rollout_overlays (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (org_id, profile_id),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_profiles (org_id, id)
) STRICT;

-- Who got a rollout, in which phase and at which place. `from_checksum` names the settings that they had before, none for
-- somebody without; `to_checksum` those that they have with it.
CREATE TABLE rollout_assignments (
    org_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    phase INTEGER NOT NULL,
    place INTEGER NOT NULL,
    state TEXT NOT NULL,
    credential TEXT NOT NULL,
    from_checksum TEXT,
    to_checksum TEXT,
    assigned_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    active_at INTEGER,
    undone_at INTEGER,
    restored_at INTEGER,
    PRIMARY KEY (org_id, rollout_id, user_id),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX rollout_assignments_by_place ON rollout_assignments (org_id, rollout_id, phase, place);

-- What happened to a rollout. Nothing is changed or removed.
CREATE TABLE rollout_events (
    org_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    node TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (org_id, rollout_id, revision),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id)
) STRICT;

-- Who agreed that a phase is done with. `person` is the human or service behind the token.
CREATE TABLE rollout_approvals (
    org_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    phase INTEGER NOT NULL,
    person TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    at INTEGER NOT NULL,
    comment TEXT NOT NULL,
    PRIMARY KEY (org_id, rollout_id, phase, person),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id)
) STRICT;

-- People who want to be among the first.
CREATE TABLE rollout_volunteers (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    since_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;

-- One survey that one person may answer once. The address that was sent is proved by a key of the server and not kept.
CREATE TABLE surveys (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    rollout_id TEXT,
    phase TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answered_at INTEGER,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;

-- What people said. `named` is 1 where the person wants to be named. `score` is 1 to 5, `nps` 0 to 10.
CREATE TABLE feedback (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    source TEXT NOT NULL,
    score INTEGER NOT NULL CHECK (score BETWEEN 1 AND 5),
    nps INTEGER CHECK (nps BETWEEN 0 AND 10),
    comment TEXT,
    named INTEGER NOT NULL,
    rollout_id TEXT,
    phase TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX feedback_by_time ON feedback (org_id, at);

-- What people are to be told, for whatever carries it to them. `detail` is JSON and holds no secret.
CREATE TABLE notifications (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sent_at INTEGER,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX notifications_unsent ON notifications (org_id, id) WHERE sent_at IS NULL;
