-- Keys of the server itself come in generations. `pepper` says under which one a hash was made.
ALTER TABLE keys ADD COLUMN pepper INTEGER NOT NULL DEFAULT 1;
ALTER TABLE admin_tokens ADD COLUMN pepper INTEGER NOT NULL DEFAULT 1;
ALTER TABLE provisioning_tokens ADD COLUMN pepper INTEGER NOT NULL DEFAULT 1;

-- The public names of the master keys that a node knows, between spaces.
ALTER TABLE nodes ADD COLUMN master_keys TEXT NOT NULL DEFAULT '';

-- Whose a token is: a user's id, `service:NAME`, or, of tokens older than this column, nothing; such a token stands for itself.
-- Two tokens of one person are one when it is judged who wrote and who approves.
ALTER TABLE admin_tokens ADD COLUMN person TEXT;
