-- Rollouts of settings in phases, what people say of them, and what people are to be told.

-- `definition` is what was applied, as JSON, and never changes; `progress` is how far it is, as JSON. Each step of the
-- controller counts `revision` up in the transaction that does it, so that no step is done twice. `next_at` is when it is
-- to be looked at again; none for one that is over. `active` holds the name while it is under way.
CREATE TABLE rollouts (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    progress TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    author_id TEXT COLLATE "C" NOT NULL,
    author_name TEXT COLLATE "C" NOT NULL,
    active TEXT COLLATE "C",
    next_at BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, active)
);
CREATE INDEX rollouts_by_next ON rollouts (org_id, next_at) WHERE next_at IS NOT NULL;

-- The overlays that a rollout under way gives to people: one rollout at a time has one.
CREATE TABLE rollout_overlays (
    org_id TEXT COLLATE "C" NOT NULL,
    profile_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (org_id, profile_id),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_profiles (org_id, id)
);

-- Who got a rollout, in which phase and at which place. `from_checksum` names the settings that they had before, none for
-- somebody without; `to_checksum` those that they have with it.
CREATE TABLE rollout_assignments (
    org_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    phase BIGINT NOT NULL,
    place BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    credential TEXT COLLATE "C" NOT NULL,
    from_checksum TEXT COLLATE "C",
    to_checksum TEXT COLLATE "C",
    assigned_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    active_at BIGINT,
    undone_at BIGINT,
    restored_at BIGINT,
    PRIMARY KEY (org_id, rollout_id, user_id),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
CREATE INDEX rollout_assignments_by_place ON rollout_assignments (org_id, rollout_id, phase, place);

-- What happened to a rollout. Nothing is changed or removed.
CREATE TABLE rollout_events (
    org_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor_name TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, rollout_id, revision),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id)
);

-- Who agreed that a phase is done with. `person` is the human or service behind the token.
CREATE TABLE rollout_approvals (
    org_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C" NOT NULL,
    phase BIGINT NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    actor_name TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, rollout_id, phase, person),
    FOREIGN KEY (org_id, rollout_id) REFERENCES rollouts (org_id, id)
);

-- People who want to be among the first.
CREATE TABLE rollout_volunteers (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    since_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);

-- One survey that one person may answer once. The address that was sent is proved by a key of the server and not kept.
CREATE TABLE surveys (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C",
    phase TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    answered_at BIGINT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);

-- What people said. `named` is 1 where the person wants to be named. `score` is 1 to 5, `nps` 0 to 10.
CREATE TABLE feedback (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    score BIGINT NOT NULL CHECK (score BETWEEN 1 AND 5),
    nps BIGINT CHECK (nps BETWEEN 0 AND 10),
    comment TEXT COLLATE "C",
    named BIGINT NOT NULL,
    rollout_id TEXT COLLATE "C",
    phase TEXT COLLATE "C",
    at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
CREATE INDEX feedback_by_time ON feedback (org_id, at);

-- What people are to be told, for whatever carries it to them. `detail` is JSON and holds no secret.
CREATE TABLE notifications (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    sent_at BIGINT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
CREATE INDEX notifications_unsent ON notifications (org_id, id) WHERE sent_at IS NULL;
