-- People and groups that a directory brings in (by SCIM or LDAP), its tokens, and its runs.

-- What a source says of a user. Users without a row are local. `name_key` tells accounts of a source apart: the folded
-- user name (SCIM) or the directory's stable id (LDAP). `document` is what has to be given back, as JSON. `active` is
-- the source's word; whether the user may do anything is `users.state`. A row with `deleted_at` is history: the source
-- has let go of the user.
CREATE TABLE accounts (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    source TEXT NOT NULL,
    name_key TEXT NOT NULL,
    user_name TEXT NOT NULL,
    external_id TEXT,
    display_key TEXT,
    document TEXT NOT NULL,
    active INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;
CREATE UNIQUE INDEX accounts_by_name ON accounts (org_id, source, name_key) WHERE deleted_at IS NULL;
CREATE INDEX accounts_by_user ON accounts (org_id, source, user_id);
CREATE INDEX accounts_by_external ON accounts (org_id, source, external_id);
CREATE INDEX accounts_by_display ON accounts (org_id, source, display_key);

-- All addresses of an account, folded, for looking them up.
CREATE TABLE account_emails (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    email TEXT NOT NULL,
    PRIMARY KEY (org_id, user_id, email),
    FOREIGN KEY (org_id, user_id) REFERENCES accounts (org_id, user_id)
) STRICT;
CREATE INDEX account_emails_by_email ON account_emails (org_id, email, user_id);

-- `name_key` tells groups of a source apart: the folded name (SCIM) or the folded distinguished name (LDAP). Members of a
-- group with a `team_id` are members of that team.
CREATE TABLE directory_groups (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    name_key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    external_id TEXT,
    team_id TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, source, name_key),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id)
) STRICT;
CREATE INDEX directory_groups_by_source ON directory_groups (org_id, source, id);
CREATE INDEX directory_groups_by_external ON directory_groups (org_id, source, external_id);
CREATE INDEX directory_groups_by_team ON directory_groups (org_id, team_id) WHERE team_id IS NOT NULL;

CREATE TABLE directory_members (
    org_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'group')),
    PRIMARY KEY (org_id, group_id, member_id),
    FOREIGN KEY (org_id, group_id) REFERENCES directory_groups (org_id, id)
) STRICT;
CREATE INDEX directory_members_by_member ON directory_members (org_id, member_id, group_id);

-- As `admin_tokens`, for directories: good for SCIM only, and for one source.
CREATE TABLE provisioning_tokens (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (org_id, id)
) STRICT;

-- Finished runs of the synchronization of a directory. The newest are kept.
CREATE TABLE sync_runs (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    node TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    people INTEGER NOT NULL,
    added INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX sync_runs_by_source ON sync_runs (org_id, source, id);

-- What one node at a time may do, who does it, and until when it counts as doing it.
CREATE TABLE leases (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    until_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;
