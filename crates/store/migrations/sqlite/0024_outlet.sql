-- Deployment plans with their tasks, and how far logs were forwarded.

-- `answers` is what the assessment started from and `result` what it gave, both as JSON; neither ever changes. `mode` is
-- what was decided, `because` the recorded reason when somebody decided.
CREATE TABLE deployment_plans (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    mode TEXT NOT NULL,
    because TEXT,
    answers TEXT NOT NULL,
    result TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id)
) STRICT;

-- `task` is the step's name, which does not change from release to release.
CREATE TABLE plan_tasks (
    org_id TEXT NOT NULL,
    plan_id TEXT NOT NULL,
    task TEXT NOT NULL,
    place INTEGER NOT NULL,
    because TEXT,
    owner TEXT,
    due_at INTEGER,
    state TEXT NOT NULL,
    note TEXT,
    noted_by TEXT,
    noted_at INTEGER,
    PRIMARY KEY (org_id, plan_id, task),
    FOREIGN KEY (org_id, plan_id) REFERENCES deployment_plans (org_id, id)
) STRICT;

-- How far a destination has been given the log: all audit entries up to `seq`, and so many records of the one after it.
CREATE TABLE log_forwards (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    destination TEXT NOT NULL,
    seq INTEGER NOT NULL,
    records INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    failing_since INTEGER,
    failure TEXT,
    PRIMARY KEY (org_id, destination)
) STRICT;
