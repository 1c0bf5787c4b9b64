-- Settings for some people over all others, publications at a time, and schemas of the client's settings.

-- A profile with `overlay` 1 concerns only those in its audience, and lies over the layers of teams and projects. A program
-- that does not know the column would give it to everybody.
ALTER TABLE settings_profiles ADD COLUMN overlay INTEGER NOT NULL DEFAULT 0
    CHECK (overlay = 0 OR (overlay = 1 AND target = 'organization'));

-- When an overlay holds, and for how many of all people by chance that sticks. Without a row it concerns nobody.
CREATE TABLE settings_audiences (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, profile_id),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_profiles (org_id, id)
) STRICT;

-- Who else is in the audience; `member` is the team or user.
CREATE TABLE settings_audience_members (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    member TEXT NOT NULL,
    team_id TEXT,
    user_id TEXT,
    PRIMARY KEY (org_id, profile_id, member),
    FOREIGN KEY (org_id, profile_id) REFERENCES settings_audiences (org_id, profile_id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE,
    CHECK ((team_id IS NULL) <> (user_id IS NULL))
) STRICT;
CREATE INDEX settings_audience_members_by_user ON settings_audience_members (org_id, user_id)
    WHERE user_id IS NOT NULL;
CREATE INDEX settings_audience_members_by_team ON settings_audience_members (org_id, team_id)
    WHERE team_id IS NOT NULL;

-- An approved version that is to be published later. `problem` says why that was not done when it was due.
CREATE TABLE settings_schedules (
    org_id TEXT NOT NULL,
    profile_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    publish_at INTEGER NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    problem TEXT,
    PRIMARY KEY (org_id, profile_id),
    FOREIGN KEY (org_id, profile_id, number) REFERENCES settings_versions (org_id, profile_id, number)
) STRICT;
CREATE INDEX settings_schedules_due ON settings_schedules (org_id, publish_at) WHERE problem IS NULL;

-- Published descriptions of the client's settings, as they were brought in. One without `text` puts all before it out of
-- force.
CREATE TABLE settings_schemas (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    client TEXT,
    text TEXT,
    actor_name TEXT NOT NULL,
    imported_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, number)
) STRICT;
