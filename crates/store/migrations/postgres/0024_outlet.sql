-- Deployment plans with their tasks, and how far logs were forwarded.

-- `answers` is what the assessment started from and `result` what it gave, both as JSON; neither ever changes. `mode` is
-- what was decided, `because` the recorded reason when somebody decided.
CREATE TABLE deployment_plans (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    because TEXT COLLATE "C",
    answers TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- `task` is the step's name, which does not change from release to release.
CREATE TABLE plan_tasks (
    org_id TEXT COLLATE "C" NOT NULL,
    plan_id TEXT COLLATE "C" NOT NULL,
    task TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    because TEXT COLLATE "C",
    owner TEXT COLLATE "C",
    due_at BIGINT,
    state TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C",
    noted_by TEXT COLLATE "C",
    noted_at BIGINT,
    PRIMARY KEY (org_id, plan_id, task),
    FOREIGN KEY (org_id, plan_id) REFERENCES deployment_plans (org_id, id)
);

-- How far a destination has been given the log: all audit entries up to `seq`, and so many records of the one after it.
CREATE TABLE log_forwards (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    destination TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    records BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    moved_at BIGINT NOT NULL,
    failing_since BIGINT,
    failure TEXT COLLATE "C",
    PRIMARY KEY (org_id, destination)
);
