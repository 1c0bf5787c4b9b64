-- The forward proxy: where people may go, and every tunnel.

-- Where a key is good: gateway, proxy or both.
ALTER TABLE keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'gateway';

-- Whose: at most one of the two is given; none of them is everybody's.
CREATE TABLE proxy_rules (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    -- The first rule that fits decides.
    position INTEGER NOT NULL,
    action TEXT NOT NULL,
    team_id TEXT,
    user_id TEXT,
    -- Patterns between commas.
    hosts TEXT NOT NULL,
    -- Numbers between commas; none are all ports.
    ports TEXT NOT NULL,
    -- 1 if plain HTTP goes through as well.
    plain INTEGER NOT NULL,
    -- Networks between commas.
    internal TEXT NOT NULL,
    -- Days and hours; NULL is always.
    times TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
) STRICT;

CREATE TABLE tunnels (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    user_id TEXT,
    -- certificate, network, or the identifier of a key or session.
    via TEXT,
    client TEXT NOT NULL,
    form TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    pinned TEXT,
    rule TEXT NOT NULL,
    verdict TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    resolve_ms INTEGER,
    connect_ms INTEGER,
    -- NULL while it is open.
    ended_at INTEGER,
    -- NULL where they are not known.
    bytes_up INTEGER,
    bytes_down INTEGER,
    ended TEXT,
    PRIMARY KEY (org_id, id)
) STRICT;

CREATE INDEX tunnels_by_user ON tunnels (org_id, user_id, id);
CREATE INDEX tunnels_open ON tunnels (org_id, node_id) WHERE ended_at IS NULL;
