-- A table that is found by its text key alone is kept in that order, and facts
-- in the order of their numbers: one tree less to write to for each row, and to
-- search. PostgreSQL has no such choice.
ALTER TABLE work RENAME TO old_work;
DROP INDEX work_ready;
CREATE TABLE work (
  key      TEXT PRIMARY KEY,
  ready_at BIGINT NOT NULL,
  owner    TEXT NOT NULL,
  fence    BIGINT NOT NULL,
  wake_seq BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO work (key, ready_at, owner, fence, wake_seq) SELECT key, ready_at, owner, fence, wake_seq FROM old_work ORDER BY key;
DROP TABLE old_work;
CREATE INDEX work_ready ON work (ready_at, key);

ALTER TABLE claims RENAME TO old_claims;
DROP INDEX claims_run;
CREATE TABLE claims (
  key TEXT PRIMARY KEY,
  run TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO claims (key, run) SELECT key, run FROM old_claims ORDER BY key;
DROP TABLE old_claims;
CREATE INDEX claims_run ON claims (run, key);

ALTER TABLE agents RENAME TO old_agents;
CREATE TABLE agents (
  target    TEXT PRIMARY KEY,
  key       TEXT NOT NULL,
  version   TEXT NOT NULL,
  last_seen BIGINT NOT NULL,
  expires   BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO agents (target, key, version, last_seen, expires) SELECT target, key, version, last_seen, expires FROM old_agents ORDER BY target;
DROP TABLE old_agents;

ALTER TABLE facts RENAME TO old_facts;
DROP INDEX facts_project;
DROP INDEX facts_target;
DROP INDEX facts_run;
CREATE TABLE facts (
  seq     INTEGER PRIMARY KEY,
  at      BIGINT NOT NULL,
  who     TEXT NOT NULL,
  project TEXT NOT NULL,
  target  TEXT NOT NULL,
  run     TEXT NOT NULL,
  step    TEXT NOT NULL,
  kind    TEXT NOT NULL,
  text    TEXT NOT NULL
);
INSERT INTO facts (seq, at, who, project, target, run, step, kind, text) SELECT seq, at, who, project, target, run, step, kind, text FROM old_facts ORDER BY seq;
DROP TABLE old_facts;
CREATE INDEX facts_project ON facts (project, seq);
CREATE INDEX facts_target ON facts (target, seq);
CREATE INDEX facts_run ON facts (run, seq);
