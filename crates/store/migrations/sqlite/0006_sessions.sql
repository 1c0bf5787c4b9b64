-- Sign-ins of people: their sessions, the device grants and sign-ins at identity providers that lead to them, and the
-- passwords of local accounts.

-- A session lasts until it is ended or its time is over. Its refresh tokens are a family: `seed` is this database's half of
-- each (the other is not in it), `generation` the place of the one that has not been used, `used` the times of the last
-- uses between commas. `source_token` is the identity provider's refresh token, sealed; `asking_at` says that a node is
-- asking there. A team that is removed stays named here.
CREATE TABLE sessions (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT,
    source TEXT NOT NULL,
    subject TEXT,
    surface TEXT,
    client TEXT,
    peer TEXT,
    seed BLOB NOT NULL,
    generation INTEGER NOT NULL,
    used TEXT NOT NULL,
    source_token TEXT,
    asking_at INTEGER,
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    ended_why TEXT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;
CREATE INDEX sessions_by_user ON sessions (org_id, user_id, id);
CREATE INDEX sessions_open ON sessions (org_id, id) WHERE ended_at IS NULL;

-- `device` is the SHA-256 of the code that the client polls with. `approval` is what was found out about the person who
-- approved it, in JSON.
CREATE TABLE device_grants (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    device BLOB NOT NULL,
    user_code TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'delivered')),
    approval TEXT,
    poll_seconds INTEGER NOT NULL,
    polled_at INTEGER,
    surface TEXT,
    client TEXT,
    peer TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, device),
    UNIQUE (org_id, user_code)
) STRICT;

-- Sign-ins that wait for a browser to come back from an identity provider; `state` is the SHA-256 of what it brings.
CREATE TABLE pending_logins (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    state BLOB NOT NULL,
    device BLOB NOT NULL,
    sealed TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, state)
) STRICT;

-- `hash` is Argon2id in the PHC form.
CREATE TABLE local_passwords (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;

-- What one person has used is asked for by their client.
CREATE INDEX rollups_by_user ON rollups (org_id, user_id, hour);
