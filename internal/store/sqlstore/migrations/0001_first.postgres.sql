-- facts and fences are numbered by sequences. turns holds one row for whoever
-- numbers facts to lock until it commits; see the dialect's Number.
CREATE SEQUENCE facts_seq;
CREATE SEQUENCE fences_seq;
CREATE TABLE turns (
  name TEXT PRIMARY KEY
);
INSERT INTO turns (name) VALUES ('facts');
