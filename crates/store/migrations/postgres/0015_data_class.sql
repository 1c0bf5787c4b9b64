-- How sensitive the data of a team or project is: the name of a class of the configured order; NULL says nothing of it.
ALTER TABLE teams ADD COLUMN data_class TEXT COLLATE "C";
ALTER TABLE projects ADD COLUMN data_class TEXT COLLATE "C";

-- The source whose groups put somebody into a team when they signed in or refreshed; NULL for all others. It takes out only
-- whom it put in.
ALTER TABLE memberships ADD COLUMN source TEXT COLLATE "C";
