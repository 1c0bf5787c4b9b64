-- Settings profiles: what parts of the organization contribute to their people's clients, version by version.

-- `target` says whose: everybody's, or those of the one team, project or user that is named.
CREATE TABLE settings_profiles (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    folded TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL CHECK (target IN ('organization', 'team', 'project', 'user')),
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, folded),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    CHECK ((target = 'team') = (team_id IS NOT NULL)),
    CHECK ((target = 'project') = (project_id IS NOT NULL)),
    CHECK ((target = 'user') = (user_id IS NOT NULL))
);
CREATE INDEX settings_profiles_by_user ON settings_profiles (org_id, user_id) WHERE user_id IS NOT NULL;

-- Never changed. `checksum` is of everything in the row but the time, so that a change behind our back is noticed.
-- `locks` is a list of paths, a line each.
CREATE TABLE settings_contents (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    checksum TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,
    locks TEXT COLLATE "C" NOT NULL,
    priority BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, checksum)
);

-- `approvals` is how many people must agree, known once it was submitted.
CREATE TABLE settings_versions (
    org_id TEXT COLLATE "C" NOT NULL,
    profile_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    checksum TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('draft', 'review', 'approved', 'published', 'retired')),
    approvals BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, profile_id, number),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_profiles (org_id, id),
    FOREIGN KEY (org_id, checksum) REFERENCES settings_contents (org_id, checksum)
);
-- Of a profile, one version is with clients and one on its way there.
CREATE UNIQUE INDEX settings_versions_published ON settings_versions (org_id, profile_id) WHERE state = 'published';
CREATE UNIQUE INDEX settings_versions_open ON settings_versions (org_id, profile_id)
    WHERE state IN ('draft', 'review', 'approved');

-- Who did what with a version: wrote, submitted, approved, returned, published, retired.
CREATE TABLE settings_steps (
    org_id TEXT COLLATE "C" NOT NULL,
    profile_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    step BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor_id TEXT COLLATE "C" NOT NULL,
    actor_name TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    note TEXT COLLATE "C",
    PRIMARY KEY (org_id, profile_id, number, step),
    FOREIGN KEY (org_id, profile_id, number) REFERENCES settings_versions (org_id, profile_id, number)
);

-- What was last exchanged with a user's client about its settings: what it was given (and what it had then), and what it
-- said it has, by checksum.
CREATE TABLE settings_receipts (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    offered TEXT COLLATE "C",
    offered_at BIGINT,
    before_offer TEXT COLLATE "C",
    reported TEXT COLLATE "C",
    reported_at BIGINT,
    client TEXT COLLATE "C",
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
