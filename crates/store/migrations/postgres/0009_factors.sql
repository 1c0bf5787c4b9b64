-- Second factors of people who sign in with what is kept here.

-- One-time passwords by time: one authenticator a person. `secret` is sealed, `last_step` the newest time step that was
-- used.
CREATE TABLE totp_factors (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

-- `id` is the device's name for it, `public_key` a COSE_Key, `counter` how often the device has signed.
CREATE TABLE passkeys (
    org_id TEXT COLLATE "C" NOT NULL,
    id BYTEA NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);
CREATE INDEX passkeys_by_user ON passkeys (org_id, user_id, created_at);

-- `hash` is a SHA-256 over 80 random bits and the account. A code that was used is gone.
CREATE TABLE recovery_codes (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (org_id, user_id, hash),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

-- Links by which a person may add a factor, once. `link` is the SHA-256 of what the link holds.
CREATE TABLE factor_links (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    link BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id),
    UNIQUE (org_id, link),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

-- Local sign-ins under way. `ticket` and `browser` are the SHA-256 of what the form and the cookie hold; `device` is the
-- grant that will be approved; `challenge` is what a passkey must sign, `secret` the sealed secret of an authenticator that
-- is being added.
CREATE TABLE local_sign_ins (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    ticket BYTEA NOT NULL,
    browser BYTEA NOT NULL,
    stage TEXT COLLATE "C" NOT NULL CHECK (stage IN ('passkey', 'factor', 'open')),
    user_id TEXT COLLATE "C",
    device BYTEA,
    challenge BYTEA,
    secret TEXT COLLATE "C",
    tries BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, ticket)
);
