-- Budgets in the calendar of a time zone, their grace, requests to raise a limit for a while; how far old records are deleted.

ALTER TABLE budgets ADD COLUMN zone TEXT NOT NULL DEFAULT 'UTC';
-- Percent of the limit.
ALTER TABLE budgets ADD COLUMN grace INTEGER NOT NULL DEFAULT 0;

CREATE TABLE budget_raises (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    amount_nanos INTEGER NOT NULL,
    reason TEXT NOT NULL,
    -- NULL: to the end of the period in which it is decided.
    until_at INTEGER,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, budget_id) REFERENCES budgets (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
-- One request at a time of a person about a budget.
CREATE UNIQUE INDEX budget_raises_asked ON budget_raises (org_id, user_id, budget_id) WHERE state = 'asked';
CREATE INDEX budget_raises_by_state ON budget_raises (org_id, state, until_at);

-- Up to which entry of the audit log the records of its exchanges are deleted, and up to which entry the log says so.
CREATE TABLE deletions (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
    done_seq INTEGER NOT NULL,
    through_seq INTEGER NOT NULL
) STRICT;
