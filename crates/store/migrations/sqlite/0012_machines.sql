-- What was last exchanged about a user's settings with each of their machines. A machine is known where the program
-- that asks for the settings names it. Meant as in `settings_receipts`.
CREATE TABLE settings_machines (
    org_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    machine TEXT NOT NULL,
    platform TEXT NOT NULL,
    offered TEXT,
    offered_at INTEGER,
    before_offer TEXT,
    reported TEXT,
    reported_at INTEGER,
    client TEXT,
    first_seen_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id, machine),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX settings_machines_by_seen ON settings_machines (org_id, seen_at);
