-- What people say of the readiness checklist. What machines find is asked for anew each time and kept nowhere.
CREATE TABLE readiness_items (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    item TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C",
    due_at BIGINT,
    stated TEXT COLLATE "C",
    stated_by TEXT COLLATE "C",
    stated_at BIGINT,
    waived TEXT COLLATE "C",
    waived_by TEXT COLLATE "C",
    waived_until BIGINT,
    PRIMARY KEY (org_id, item)
);
