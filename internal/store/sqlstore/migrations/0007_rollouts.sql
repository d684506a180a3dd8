-- How releases go through environments. A train's id is the project, a slash
-- and the name; a release's is the train's, a slash and the version.
CREATE TABLE trains (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX trains_project ON trains (project, name);

CREATE TABLE releases (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  train    TEXT COLLATE "C" NOT NULL,
  version  TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX releases_train ON releases (project, train, version);

CREATE TABLE rollouts (
  id       TEXT COLLATE "C" PRIMARY KEY,
  project  TEXT COLLATE "C" NOT NULL,
  train    TEXT COLLATE "C" NOT NULL,
  ended    INTEGER NOT NULL,
  revision BIGINT NOT NULL,
  doc      TEXT NOT NULL
);
CREATE INDEX rollouts_train ON rollouts (project, train, ended);

ALTER TABLE facts ADD COLUMN rollout TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX facts_rollout ON facts (rollout, seq) WHERE rollout <> '';
