-- What may be spent in a period. Whose: at most one of the four is given; none of them is the whole organization's.

CREATE TABLE budgets (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    project_id TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    key_id TEXT COLLATE "C",
    -- A list of patterns between commas; NULL is every model.
    models TEXT COLLATE "C",
    -- NULL is every provider.
    provider TEXT COLLATE "C",
    period TEXT COLLATE "C" NOT NULL,
    limit_nanos BIGINT NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    -- Percents between commas, ascending; may be empty.
    thresholds TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id),
    FOREIGN KEY (org_id, key_id) REFERENCES keys (org_id, id)
);
