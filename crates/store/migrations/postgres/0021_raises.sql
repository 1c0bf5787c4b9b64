-- Budgets in the calendar of a time zone, their grace, requests to raise a limit for a while; how far old records are deleted.

ALTER TABLE budgets ADD COLUMN zone TEXT COLLATE "C" NOT NULL DEFAULT 'UTC';
-- Percent of the limit.
ALTER TABLE budgets ADD COLUMN grace BIGINT NOT NULL DEFAULT 0;

CREATE TABLE budget_raises (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    amount_nanos BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    -- NULL: to the end of the period in which it is decided.
    until_at BIGINT,
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT COLLATE "C",
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, budget_id) REFERENCES budgets (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
-- One request at a time of a person about a budget.
CREATE UNIQUE INDEX budget_raises_asked ON budget_raises (org_id, user_id, budget_id) WHERE state = 'asked';
CREATE INDEX budget_raises_by_state ON budget_raises (org_id, state, until_at);

-- Up to which entry of the audit log the records of its exchanges are deleted, and up to which entry the log says so.
CREATE TABLE deletions (
    org_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES orgs (id),
    done_seq BIGINT NOT NULL,
    through_seq BIGINT NOT NULL
);
