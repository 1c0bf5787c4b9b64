-- The forward proxy: where people may go, and every tunnel.

-- Where a key is good: gateway, proxy or both.
ALTER TABLE keys ADD COLUMN purpose TEXT COLLATE "C" NOT NULL DEFAULT 'gateway';

-- Whose: at most one of the two is given; none of them is everybody's.
CREATE TABLE proxy_rules (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    name TEXT COLLATE "C" NOT NULL,
    -- The first rule that fits decides.
    position BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    team_id TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    -- Patterns between commas.
    hosts TEXT COLLATE "C" NOT NULL,
    -- Numbers between commas; none are all ports.
    ports TEXT COLLATE "C" NOT NULL,
    -- 1 if plain HTTP goes through as well.
    plain BIGINT NOT NULL,
    -- Networks between commas.
    internal TEXT COLLATE "C" NOT NULL,
    -- Days and hours; NULL is always.
    times TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name),
    FOREIGN KEY (org_id, team_id) REFERENCES teams (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id)
);

CREATE TABLE tunnels (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    id TEXT COLLATE "C" NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    -- certificate, network, or the identifier of a key or session.
    via TEXT COLLATE "C",
    client TEXT COLLATE "C" NOT NULL,
    form TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    port BIGINT NOT NULL,
    pinned TEXT COLLATE "C",
    rule TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    resolve_ms BIGINT,
    connect_ms BIGINT,
    -- NULL while it is open.
    ended_at BIGINT,
    -- NULL where they are not known.
    bytes_up BIGINT,
    bytes_down BIGINT,
    ended TEXT COLLATE "C",
    PRIMARY KEY (org_id, id)
);

CREATE INDEX tunnels_by_user ON tunnels (org_id, user_id, id);
CREATE INDEX tunnels_open ON tunnels (org_id, node_id) WHERE ended_at IS NULL;
