-- Settings profiles: what parts of the organization contribute to their people's clients, version by version.

-- `target` says whose: everybody's, or those of the one team, project or user that is named.
CREATE TABLE settings_profiles (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    target TEXT NOT NULL CHECK (target IN ('organization', 'team', 'project', 'user')),
    team_id TEXT,
    project_id TEXT,
    user_id TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    CHECK ((target = 'team') = (team_id IS NOT NULL)),
    CHECK ((target = 'project') = (project_id IS NOT NULL)),
    CHECK ((target = 'user') = (user_id IS NOT NULL))
) STRICT;
CREATE INDEX settings_profiles_by_user ON settings_profiles (org_id, user_id) WHERE user_id IS NOT NULL;

-- Never changed. `checksum` is of everything in the row but the time, so that a change behind our back is noticed.
-- `locks` is a list of paths, a line each.
CREATE TABLE settings_contents (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    checksum TEXT NOT NULL,
    settings TEXT NOT NULL,
    locks TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, checksum)
) STRICT;

-- `approvals` is how many people must agree, known once it was submitted.
CREATE TABLE settings_versions (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'review', 'approved', 'published', 'retired')),
    approvals INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, profile_id, number),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_profiles (org_id, id),
    FOREIGN KEY (org_id, checksum) REFERENCES settings_contents (org_id, checksum)
) STRICT;
-- Of a profile, one version is with clients and one on its way there.
CREATE UNIQUE INDEX settings_versions_published ON settings_versions (org_id, profile_id) WHERE state = 'published';
CREATE UNIQUE INDEX settings_versions_open ON settings_versions (org_id, profile_id)
    WHERE state IN ('draft', 'review', 'approved');

-- Who did what with a version: wrote, submitted, approved, returned, published, retired.
CREATE TABLE settings_steps (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    step INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    at INTEGER NOT NULL,
    note TEXT,
    PRIMARY KEY (org_id, profile_id, number, step),
    FOREIGN KEY (org_id, profile_id, number) REFERENCES settings_versions (org_id, profile_id, number)
) STRICT;

-- What was last exchanged with a user's client about its settings: what it was given (and what it had then), and what it
-- said it has, by checksum.
CREATE TABLE settings_receipts (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    offered TEXT,
    offered_at INTEGER,
    before_offer TEXT,
    reported TEXT,
    reported_at INTEGER,
    client TEXT,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
