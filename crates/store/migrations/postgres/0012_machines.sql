-- What was last exchanged about a user's settings with each of their machines. A machine is known where the program
-- that asks for the settings names it. Meant as in `settings_receipts`.
CREATE TABLE settings_machines (
    org_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    machine TEXT COLLATE "C" NOT NULL,
    platform TEXT COLLATE "C" NOT NULL,
    offered TEXT COLLATE "C",
    offered_at BIGINT,
    before_offer TEXT COLLATE "C",
    reported TEXT COLLATE "C",
    reported_at BIGINT,
    client TEXT COLLATE "C",
    first_seen_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id, machine),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
);
CREATE INDEX settings_machines_by_seen ON settings_machines (org_id, seen_at);
