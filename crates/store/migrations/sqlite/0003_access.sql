-- Who may use which model (the models of teams, and policies in the Cedar language), and what administrators may do.

-- A list of patterns between commas; NULL is every model.
ALTER TABLE teams ADD COLUMN models TEXT;

CREATE TABLE access_policies (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;

-- Roles that the organization wrote; those that are there from the beginning are in the program. `permissions` is a list of
-- names between commas.
CREATE TABLE roles (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;

-- For whom a token's role holds: a team, a user, or, when both are NULL, the whole organization.
ALTER TABLE admin_tokens ADD COLUMN team_id TEXT;
ALTER TABLE admin_tokens ADD COLUMN user_id TEXT;
