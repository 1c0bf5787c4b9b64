-- Who may use which model: the models of teams, and policies in the Cedar language.

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
