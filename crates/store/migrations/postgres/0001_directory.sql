-- Organizations, their people and keys, administrators' tokens, sealed secrets, and the audit log.

CREATE TABLE orgs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

-- Counts up in the same transaction as every change that matters to the data path.
CREATE TABLE policy_versions (
    org_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES orgs (id),
    version BIGINT NOT NULL
);

-- `folded` is the name in lower case: names that differ only in case are the same name.
CREATE TABLE teams (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    folded TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded)
);

-- `search` is e-mail address and name in lower case, for searching in both at once.
CREATE TABLE users (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C",
    search TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, email)
);

CREATE TABLE memberships (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, user_id, team_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id)
);
CREATE INDEX memberships_by_team ON memberships (org_id, team_id, user_id);

CREATE TABLE projects (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    folded TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded)
);

-- `hash` is keyed, with a secret that is not in the database. `models` is a list of patterns between commas; NULL is every model.
CREATE TABLE keys (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    public_id TEXT COLLATE "C" NOT NULL UNIQUE,
    hash BYTEA NOT NULL,
    name TEXT COLLATE "C",
    user_id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    models TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
    expires_at BIGINT,
    replaced_by TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, replaced_by) REFERENCES keys (org_id, id)
);
CREATE INDEX keys_by_user ON keys (org_id, user_id, id);
CREATE INDEX keys_by_team ON keys (org_id, team_id, id) WHERE team_id IS NOT NULL;
CREATE INDEX keys_by_project ON keys (org_id, project_id, id) WHERE project_id IS NOT NULL;

CREATE TABLE admin_tokens (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    public_id TEXT COLLATE "C" NOT NULL UNIQUE,
    hash BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (org_id, id)
);

-- Sealed before they come here; `key_id` names the key they are sealed with, so that a rotation finds what to reseal.
CREATE TABLE secrets (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    sealed TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
);

CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- The end of each organization's audit chain. Who appends updates this row first, so that appends take turns.
CREATE TABLE audit_heads (
    org_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES orgs (id),
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

-- `entry` is the canonical JSON that is hashed; the columns before it repeat parts of it for searching. An entry for a batch
-- of exchanges has the list of their hashes in `leaves`, and the hash of that list in `entry`.
CREATE TABLE audit_entries (
    org_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    prev BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    leaves BYTEA,
    PRIMARY KEY (org_id, seq)
);
-- Exchanges are looked for in their own table; these serve the few acts of management among them.
CREATE INDEX audit_acts ON audit_entries (org_id, seq) WHERE action <> 'exchange.batch';
CREATE INDEX audit_acts_by_actor ON audit_entries (org_id, actor, seq) WHERE action <> 'exchange.batch';
CREATE INDEX audit_acts_by_object ON audit_entries (org_id, object, seq) WHERE action <> 'exchange.batch';

-- `count` is the number of entries after the checkpoint before it.
CREATE TABLE audit_checkpoints (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    count BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (org_id, seq)
);
