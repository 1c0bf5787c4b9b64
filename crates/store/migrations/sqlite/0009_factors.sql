-- Second factors of people who sign in with what is kept here.

-- One-time passwords by time: one authenticator a person. `secret` is sealed, `last_step` the newest time step that was
-- used.
CREATE TABLE totp_factors (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret TEXT NOT NULL,
    last_step INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;

-- `id` is the device's name for it, `public_key` a COSE_Key, `counter` how often the device has signed.
CREATE TABLE passkeys (
    org_id TEXT NOT NULL,
    id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    public_key BLOB NOT NULL,
    counter INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;
CREATE INDEX passkeys_by_user ON passkeys (org_id, user_id, created_at);

-- `hash` is a SHA-256 over 80 random bits and the account. A code that was used is gone.
CREATE TABLE recovery_codes (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (org_id, user_id, hash),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;

-- Links by which a person may add a factor, once. `link` is the SHA-256 of what the link holds.
CREATE TABLE factor_links (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    link BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id),
    UNIQUE (org_id, link),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;

-- Local sign-ins under way. `ticket` and `browser` are the SHA-256 of what the form and the cookie hold; `device` is the
-- grant that will be approved; `challenge` is what a passkey must sign, `secret` the sealed secret of an authenticator that
-- is being added.
CREATE TABLE local_sign_ins (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    ticket BLOB NOT NULL,
    browser BLOB NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('passkey', 'factor', 'open')),
    user_id TEXT,
    device BLOB,
    challenge BLOB,
    secret TEXT,
    tries INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, ticket)
) STRICT;
