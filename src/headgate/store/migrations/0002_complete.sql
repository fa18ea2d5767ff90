-- Kinds that came with complete collection, fields that were appended, and what a source remembers between calls.

ALTER TABLE workflow ADD COLUMN "partial_rerun" INTEGER;
ALTER TABLE workflow ADD COLUMN "credits_estimated" INTEGER;
ALTER TABLE job ADD COLUMN "artifacts" TEXT;
ALTER TABLE job ADD COLUMN "tests" INTEGER;
ALTER TABLE job ADD COLUMN "tests_failed" INTEGER;
ALTER TABLE job ADD COLUMN "tests_skipped" INTEGER;
ALTER TABLE deployment ADD COLUMN "origin" INTEGER;
ALTER TABLE deployment ADD COLUMN "url" TEXT;
ALTER TABLE usage ADD COLUMN "status" INTEGER;
ALTER TABLE usage ADD COLUMN "queued_at" INTEGER;
ALTER TABLE usage ADD COLUMN "started_at" INTEGER;
ALTER TABLE usage ADD COLUMN "number" INTEGER;
ALTER TABLE usage ADD COLUMN "job_name" INTEGER;
ALTER TABLE usage ADD COLUMN "workflow_name" INTEGER;
ALTER TABLE usage ADD COLUMN "pipeline_id" ANY;
ALTER TABLE usage ADD COLUMN "pipeline_number" INTEGER;
ALTER TABLE usage ADD COLUMN "ref_name" INTEGER;
ALTER TABLE usage ADD COLUMN "executor" INTEGER;
ALTER TABLE usage ADD COLUMN "parallelism" INTEGER;
ALTER TABLE usage ADD COLUMN "trigger_source" INTEGER;
ALTER TABLE usage ADD COLUMN "trigger_user" INTEGER;
ALTER TABLE usage ADD COLUMN "unregistered_user" INTEGER;
ALTER TABLE usage ADD COLUMN "other" TEXT;

-- Never written by the first schema: audits are facts.
DROP TABLE audit;
CREATE TABLE insight (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL,
  "subject" INTEGER, "window" INTEGER, "workflow_name" INTEGER, "job_name" INTEGER, "ref_name" INTEGER,
  "window_start" INTEGER, "window_end" INTEGER, "delay_ms" INTEGER, "numbers" TEXT
) STRICT;
CREATE UNIQUE INDEX insight_key ON insight (_key, _host);
CREATE TABLE flaky_test (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL,
  "name" TEXT, "class_name" INTEGER, "file" INTEGER, "source" INTEGER, "times_flaked" INTEGER,
  "time_wasted_ms" INTEGER, "job_name" INTEGER, "job_number" INTEGER, "workflow_id" ANY, "workflow_name" INTEGER,
  "workflow_created_at" INTEGER, "pipeline_number" INTEGER
) STRICT;
CREATE UNIQUE INDEX flaky_test_key ON flaky_test (_key, _host);
CREATE TABLE audit (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL,
  "what" INTEGER, "hour" INTEGER, "expected" INTEGER, "present" INTEGER, "repaired" INTEGER, "unrepairable" INTEGER,
  "unannounced" INTEGER
) STRICT;
CREATE UNIQUE INDEX audit_key ON audit (_key, _host);
CREATE INDEX step_end ON step (stopped_at);
CREATE INDEX usage_end ON usage (stopped_at);
CREATE INDEX deployment_end ON deployment (stopped_at);

-- What a source remembers between calls, such as how far a backfill got; written with the facts it speaks of.
CREATE TABLE source_mark (
  source TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
