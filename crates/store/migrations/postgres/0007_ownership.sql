-- Objects that were written from files. `digest` is the SHA-256 of what was written, in hex. The object need not exist any
-- more, so nothing refers to it.
CREATE TABLE owned_objects (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES orgs (id),
    noun TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, noun, name)
);
