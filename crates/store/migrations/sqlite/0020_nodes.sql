-- What nodes tell of themselves, what happens to a budget while nodes cannot count together, and limits on rates.

ALTER TABLE nodes ADD COLUMN ready INTEGER NOT NULL DEFAULT 1;
-- How it counts: memory, or reached or away where it counts together with others.
ALTER TABLE nodes ADD COLUMN counters TEXT NOT NULL DEFAULT '';
-- The version of the policy that it decides by.
ALTER TABLE nodes ADD COLUMN policy_version INTEGER NOT NULL DEFAULT 0;
-- When it stopped in good order; NULL while it runs.
ALTER TABLE nodes ADD COLUMN stopped_at INTEGER;

ALTER TABLE budgets ADD COLUMN when_away TEXT NOT NULL DEFAULT 'closed';

-- How much may be asked in a minute, or at the same time. Whose: at most one of the four is given; none of them is the whole
-- organization's.
CREATE TABLE limits (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    team_id TEXT,
    project_id TEXT,
    user_id TEXT,
    key_id TEXT,
    -- A list of patterns between commas; NULL is every model.
    models TEXT,
    measure TEXT NOT NULL,
    amount INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, key_id) REFERENCES keys (org_id, id)
) STRICT;
