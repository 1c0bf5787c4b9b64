-- What may be spent in a period. Whose: at most one of the four is given; none of them is the whole organization's.

CREATE TABLE budgets (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    team_id TEXT,
    project_id TEXT,
    user_id TEXT,
    key_id TEXT,
    -- A list of patterns between commas; NULL is every model.
    models TEXT,
    -- NULL is every provider.
    provider TEXT,
    period TEXT NOT NULL,
    limit_nanos INTEGER NOT NULL,
    mode TEXT NOT NULL,
    -- Percents between commas, ascending; may be empty.
    thresholds TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, key_id) REFERENCES keys (org_id, id)
) STRICT;
