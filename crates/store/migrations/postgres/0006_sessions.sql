-- Sign-ins of people: their sessions, the device grants and sign-ins at identity providers that lead to them, and the
-- passwords of local accounts.

-- A session lasts until it is ended or its time is over. Its refresh tokens are a family: `seed` is this database's half of
-- each (the other is not in it), `generation` the place of the one that has not been used, `used` the times of the last
-- uses between commas. `source_token` is the identity provider's refresh token, sealed; `asking_at` says that a node is
-- asking there. A team that is removed stays named here.
CREATE TABLE sessions (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    source TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C",
    surface TEXT COLLATE "C",
    client TEXT COLLATE "C",
    peer TEXT COLLATE "C",
    seed BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    used TEXT COLLATE "C" NOT NULL,
    source_token TEXT COLLATE "C",
    asking_at BIGINT,
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_why TEXT COLLATE "C",
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);
CREATE INDEX sessions_by_user ON sessions (org_id, user_id, id);
CREATE INDEX sessions_open ON sessions (org_id, id) WHERE ended_at IS NULL;

-- `device` is the SHA-256 of the code that the client polls with. `approval` is what was found out about the person who
-- approved it, in JSON.
CREATE TABLE device_grants (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    device BYTEA NOT NULL,
    user_code TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'delivered')),
    approval TEXT COLLATE "C",
    poll_seconds BIGINT NOT NULL,
    polled_at BIGINT,
    surface TEXT COLLATE "C",
    client TEXT COLLATE "C",
    peer TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, device),
    UNIQUE (org_id, user_code)
);

-- Sign-ins that wait for a browser to come back from an identity provider; `state` is the SHA-256 of what it brings.
CREATE TABLE pending_logins (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    state BYTEA NOT NULL,
    device BYTEA NOT NULL,
    sealed TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, state)
);

-- `hash` is Argon2id in the PHC form.
CREATE TABLE local_passwords (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

-- What one person has used is asked for by their client.
CREATE INDEX rollups_by_user ON rollups (org_id, user_id, hour);
