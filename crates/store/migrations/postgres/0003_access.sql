-- Who may use which model: the models of teams, and policies in the Cedar language.

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
