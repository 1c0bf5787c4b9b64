-- What the provider says of people's use of the coding client (its client analytics), apart from the ledger and from what clients
-- say. A day of an organization there is replaced whole. No references: figures outlive people.
CREATE TABLE client_analytics (
    org_id TEXT COLLATE "C" NOT NULL,
    -- The start of the UTC day.
    day BIGINT NOT NULL,
    -- The provider's identifier of the organization.
    provider_org TEXT COLLATE "C" NOT NULL,
    -- 'person' or 'key', and the address in lower case or the key's name there.
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    terminal TEXT COLLATE "C" NOT NULL,
    -- '' for what belongs to no model.
    model TEXT COLLATE "C" NOT NULL,
    -- '' where the actor is none of our users.
    user_id TEXT COLLATE "C" NOT NULL,
    -- The configured report it came by; '' for one imported by hand.
    source TEXT COLLATE "C" NOT NULL,
    sessions BIGINT NOT NULL,
    lines_added BIGINT NOT NULL,
    lines_removed BIGINT NOT NULL,
    commits BIGINT NOT NULL,
    pull_requests BIGINT NOT NULL,
    edits_accepted BIGINT NOT NULL,
    edits_rejected BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    PRIMARY KEY (org_id, day, provider_org, actor_kind, actor, customer, terminal, model)
);

CREATE INDEX client_analytics_user ON client_analytics (org_id, user_id, day);
