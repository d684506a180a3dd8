-- What is done to services. id is the project, a slash and the name.
CREATE TABLE runbooks (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX runbooks_project ON runbooks (project, name);

ALTER TABLE targets ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'server';
