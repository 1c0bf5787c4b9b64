-- How many requests the forward proxy saw in a tunnel that it looked into; NULL where it did not look.
ALTER TABLE tunnels ADD COLUMN inspected INTEGER;
