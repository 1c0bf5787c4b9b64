-- Who may use which model (the models of teams, and policies in the Cedar language), and what administrators may do.

-- A list of patterns between commas; NULL is every model.
ALTER TABLE teams ADD COLUMN models TEXT COLLATE "C";

CREATE TABLE access_policies (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
);

-- Roles that the organization wrote; those that are there from the beginning are in the program. `permissions` is a list of
-- names between commas.
CREATE TABLE roles (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    permissions TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
);

-- For whom a token's role holds: a team, a user, or, when both are NULL, the whole organization.
ALTER TABLE admin_tokens ADD COLUMN team_id TEXT COLLATE "C";
ALTER TABLE admin_tokens ADD COLUMN user_id TEXT COLLATE "C";
