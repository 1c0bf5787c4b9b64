-- People and groups that a directory brings in (by SCIM or LDAP), its tokens, and its runs.

-- What a source says of a user. Users without a row are local. `name_key` tells accounts of a source apart: the folded
-- user name (SCIM) or the directory's stable id (LDAP). `document` is what has to be given back, as JSON. `active` is
-- the source's word; whether the user may do anything is `users.state`. A row with `deleted_at` is history: the source
-- has let go of the user.
CREATE TABLE accounts (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    user_name TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    display_key TEXT COLLATE "C",
    document TEXT COLLATE "C" NOT NULL,
    active BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);
CREATE UNIQUE INDEX accounts_by_name ON accounts (org_id, source, name_key) WHERE deleted_at IS NULL;
CREATE INDEX accounts_by_user ON accounts (org_id, source, user_id);
CREATE INDEX accounts_by_external ON accounts (org_id, source, external_id);
CREATE INDEX accounts_by_display ON accounts (org_id, source, display_key);

-- All addresses of an account, folded, for looking them up.
CREATE TABLE account_emails (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, user_id, email),
    FOREIGN KEY (org_id, user_id) REFERENCES accounts (org_id, user_id)
);
CREATE INDEX account_emails_by_email ON account_emails (org_id, email, user_id);

-- `name_key` tells groups of a source apart: the folded name (SCIM) or the folded distinguished name (LDAP). Members of a
-- group with a `team_id` are members of that team.
CREATE TABLE directory_groups (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    team_id TEXT COLLATE "C",
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, source, name_key),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id)
);
CREATE INDEX directory_groups_by_source ON directory_groups (org_id, source, id);
CREATE INDEX directory_groups_by_external ON directory_groups (org_id, source, external_id);
CREATE INDEX directory_groups_by_team ON directory_groups (org_id, team_id) WHERE team_id IS NOT NULL;

CREATE TABLE directory_members (
    org_id TEXT COLLATE "C" NOT NULL,
    group_id TEXT COLLATE "C" NOT NULL,
    member_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'group')),
    PRIMARY KEY (org_id, group_id, member_id),
    FOREIGN KEY (org_id, group_id) REFERENCES directory_groups (org_id, id)
);
CREATE INDEX directory_members_by_member ON directory_members (org_id, member_id, group_id);

-- As `admin_tokens`, for directories: good for SCIM only, and for one source.
CREATE TABLE provisioning_tokens (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    public_id TEXT COLLATE "C" NOT NULL UNIQUE,
    hash BYTEA NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (org_id, id)
);

-- Finished runs of the synchronization of a directory. The newest are kept.
CREATE TABLE sync_runs (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    people BIGINT NOT NULL,
    added BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX sync_runs_by_source ON sync_runs (org_id, source, id);

-- What one node at a time may do, who does it, and until when it counts as doing it.
CREATE TABLE leases (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
);
