-- Objects that were written from files. `digest` is the SHA-256 of what was written, in hex. The object need not exist any
-- more, so nothing refers to it.
CREATE TABLE owned_objects (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    noun TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, noun, name)
) STRICT;
