-- What people say of the readiness checklist. What machines find is asked for anew each time and kept nowhere.
CREATE TABLE readiness_items (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    item TEXT NOT NULL,
    owner TEXT,
    due_at INTEGER,
    stated TEXT,
    stated_by TEXT,
    stated_at INTEGER,
    waived TEXT,
    waived_by TEXT,
    waived_until INTEGER,
    PRIMARY KEY (org_id, item)
) STRICT;
