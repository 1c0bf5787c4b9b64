-- What the provider says of people's use of the coding client (its client analytics), apart from the ledger and from what clients
-- say. A day of an organization there is replaced whole. No references: figures outlive people.
CREATE TABLE client_analytics (
    org_id TEXT NOT NULL,
    -- The start of the UTC day.
    day INTEGER NOT NULL,
    -- The provider's identifier of the organization.
    provider_org TEXT NOT NULL,
    -- 'person' or 'key', and the address in lower case or the key's name there.
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    customer TEXT NOT NULL,
    terminal TEXT NOT NULL,
    -- '' for what belongs to no model.
    model TEXT NOT NULL,
    -- '' where the actor is none of our users.
    user_id TEXT NOT NULL,
    -- The configured report it came by; '' for one imported by hand.
    source TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    lines_added INTEGER NOT NULL,
    lines_removed INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    pull_requests INTEGER NOT NULL,
    edits_accepted INTEGER NOT NULL,
    edits_rejected INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    PRIMARY KEY (org_id, day, provider_org, actor_kind, actor, customer, terminal, model)
) STRICT;

CREATE INDEX client_analytics_user ON client_analytics (org_id, user_id, day);
