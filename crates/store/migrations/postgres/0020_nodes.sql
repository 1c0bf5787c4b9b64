-- What nodes tell of themselves, what happens to a budget while nodes cannot count together, and limits on rates.

ALTER TABLE nodes ADD COLUMN ready BIGINT NOT NULL DEFAULT 1;
-- How it counts: memory, or reached or away where it counts together with others.
ALTER TABLE nodes ADD COLUMN counters TEXT COLLATE "C" NOT NULL DEFAULT '';
-- The version of the policy that it decides by.
ALTER TABLE nodes ADD COLUMN policy_version BIGINT NOT NULL DEFAULT 0;
-- When it stopped in good order; NULL while it runs.
ALTER TABLE nodes ADD COLUMN stopped_at BIGINT;

ALTER TABLE budgets ADD COLUMN when_away TEXT COLLATE "C" NOT NULL DEFAULT 'closed';

-- How much may be asked in a minute, or at the same time. Whose: at most one of the four is given; none of them is the whole
-- organization's.
CREATE TABLE limits (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    key_id TEXT COLLATE "C",
    -- A list of patterns between commas; NULL is every model.
    models TEXT COLLATE "C",
    measure TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, key_id) REFERENCES keys (org_id, id)
);
