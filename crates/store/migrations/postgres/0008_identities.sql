-- Who people are at the issuers where they sign in, from their first sign-in there on: an issuer's subject is one user, and
-- a user has one subject at an issuer. `issuer` is an OpenID Connect issuer's identifier, or `ldap:` and a directory's name.
CREATE TABLE identities (
    org_id TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, issuer, subject),
    UNIQUE (org_id, user_id, issuer),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

-- Who approved a grant, so that what ends their sessions also ends what has not been collected.
ALTER TABLE device_grants ADD COLUMN user_id TEXT COLLATE "C";

-- A grant has one sign-in that waits at a time.
CREATE INDEX pending_logins_by_device ON pending_logins (org_id, device);
