-- What a target has given: numbers of its schedules are never used again.
ALTER TABLE targets ADD COLUMN numbered BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE schedules SET number = (SELECT COUNT(*) FROM schedules o WHERE o.target = schedules.target AND o.id <= schedules.id);
UPDATE targets SET numbered = (SELECT COUNT(*) FROM schedules o WHERE o.target = targets.id);

-- Runs are never deleted, so that the next number is one more than the greatest.
ALTER TABLE runs ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE runs SET number = (SELECT COUNT(*) FROM runs o WHERE o.target = runs.target AND o.id <= runs.id);
CREATE INDEX runs_number ON runs (target, number);

CREATE TABLE templates (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE groups (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX groups_project ON groups (project, name);
