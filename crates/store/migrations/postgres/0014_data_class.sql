-- How sensitive the data of a team or project is: the name of a class of the configured order; NULL says nothing of it.
ALTER TABLE teams ADD COLUMN data_class TEXT COLLATE "C";
ALTER TABLE projects ADD COLUMN data_class TEXT COLLATE "C";
