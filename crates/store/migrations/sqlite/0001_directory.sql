-- Organizations, their people and keys, administrators' tokens, sealed secrets, and the audit log.

CREATE TABLE orgs (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Counts up in the same transaction as every change that matters to the data path.
CREATE TABLE policy_versions (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
    version INTEGER NOT NULL
) STRICT;

-- `folded` is the name in lower case: names that differ only in case are the same name.
CREATE TABLE teams (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded)
) STRICT;

-- `search` is e-mail address and name in lower case, for searching in both at once.
CREATE TABLE users (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    email TEXT NOT NULL,
    name TEXT,
    search TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, email)
) STRICT;

CREATE TABLE memberships (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    PRIMARY KEY (org_id, user_id, team_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id)
) STRICT;
CREATE INDEX memberships_by_team ON memberships (org_id, team_id, user_id);

CREATE TABLE projects (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded)
) STRICT;

-- `hash` is keyed, with a secret that is not in the database. `models` is a list of patterns between commas; NULL is every model.
CREATE TABLE keys (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    name TEXT,
    user_id TEXT NOT NULL,
    team_id TEXT,
    project_id TEXT,
    models TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
    expires_at INTEGER,
    replaced_by TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, replaced_by) REFERENCES keys (org_id, id)
) STRICT;
CREATE INDEX keys_by_user ON keys (org_id, user_id, id);
CREATE INDEX keys_by_team ON keys (org_id, team_id, id) WHERE team_id IS NOT NULL;
CREATE INDEX keys_by_project ON keys (org_id, project_id, id) WHERE project_id IS NOT NULL;

CREATE TABLE admin_tokens (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (org_id, id)
) STRICT;

-- Sealed before they come here; `key_id` names the key they are sealed with, so that a rotation finds what to reseal.
CREATE TABLE secrets (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

-- The end of each organization's audit chain. Who appends updates this row first, so that appends take turns.
CREATE TABLE audit_heads (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- `entry` is the canonical JSON that is hashed; the columns before it repeat parts of it for searching. An entry for a batch
-- of exchanges has the list of their hashes in `leaves`, and the hash of that list in `entry`.
CREATE TABLE audit_entries (
    org_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    entry TEXT NOT NULL,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    leaves BLOB,
    PRIMARY KEY (org_id, seq)
) STRICT;
-- Exchanges are looked for in their own table; these serve the few acts of management among them.
CREATE INDEX audit_acts ON audit_entries (org_id, seq) WHERE action <> 'exchange.batch';
CREATE INDEX audit_acts_by_actor ON audit_entries (org_id, actor, seq) WHERE action <> 'exchange.batch';
CREATE INDEX audit_acts_by_object ON audit_entries (org_id, object, seq) WHERE action <> 'exchange.batch';

-- `count` is the number of entries after the checkpoint before it.
CREATE TABLE audit_checkpoints (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    hash BLOB NOT NULL,
    node TEXT NOT NULL,
    public_key BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (org_id, seq)
) STRICT;
