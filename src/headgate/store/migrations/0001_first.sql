-- The whole store. Columns of facts are those of core.facts.FIELDS (a test compares them); what the store itself keeps
-- about a fact begins with an underscore. Ids of a provider are 16 bytes, or text where they are not UUIDs.

CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

-- Figures kept up to date by the unit that changes them, so that nobody counts millions of rows.
CREATE TABLE counter (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Append only: an accepted delivery is settled by moving the mark `inbox:low` past it, not by touching its pages again.
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, arrived_ms INTEGER NOT NULL, event_type TEXT NOT NULL,
  content_type TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
-- Settled beyond the mark, out of order.
CREATE TABLE inbox_settled (id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE inbox_dead (id INTEGER PRIMARY KEY, reason TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;

-- family 0: words; 1: persons, so that a person can be erased without touching a branch of the same name.
CREATE TABLE dim (id INTEGER PRIMARY KEY, family INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE (family, text)) STRICT;
CREATE TABLE dim_project (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, provider_id TEXT, slug TEXT NOT NULL, slug_ms INTEGER NOT NULL,
  org TEXT NOT NULL, org_id TEXT, default_branch TEXT, UNIQUE (host, provider_id)
) STRICT;
CREATE TABLE dim_project_slug (
  host TEXT NOT NULL, slug TEXT NOT NULL, project INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (host, slug)
) STRICT, WITHOUT ROWID;

CREATE TABLE pipeline (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "number" INTEGER, "state" INTEGER, "created_at" INTEGER,
  "trigger_type" INTEGER, "ref_name" INTEGER, "ref_type" INTEGER, "revision" TEXT, "repository_url" INTEGER,
  "author_login" INTEGER, "author_name" INTEGER, "author_email" INTEGER, "commit_subject" TEXT, "errors" TEXT
) STRICT;
CREATE UNIQUE INDEX pipeline_key ON pipeline (_key, _host);
CREATE TABLE workflow (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "name" INTEGER, "status" INTEGER, "created_at" INTEGER,
  "stopped_at" INTEGER, "pipeline_id" ANY, "pipeline_number" INTEGER, "trigger_type" INTEGER,
  "ref_name" INTEGER, "ref_type" INTEGER, "revision" TEXT, "repository_url" INTEGER, "author_login" INTEGER,
  "author_name" INTEGER, "author_email" INTEGER, "commit_subject" TEXT, "started_by" INTEGER, "tag" INTEGER,
  "attempt" INTEGER, "rerun_of" ANY, "credits" INTEGER
) STRICT;
CREATE UNIQUE INDEX workflow_key ON workflow (_key, _host);
CREATE TABLE job (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "number" INTEGER, "name" INTEGER, "type" INTEGER,
  "status" INTEGER, "created_at" INTEGER, "queued_at" INTEGER, "started_at" INTEGER, "stopped_at" INTEGER,
  "workflow_id" ANY, "pipeline_id" ANY, "requires" TEXT, "resource_class" INTEGER, "executor" INTEGER,
  "parallelism" INTEGER, "contexts" TEXT, "messages" TEXT, "rerun_of" INTEGER, "credits" INTEGER
) STRICT;
CREATE UNIQUE INDEX job_key ON job (_key, _host);
CREATE TABLE step (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "job_id" ANY, "index" INTEGER, "node" INTEGER,
  "name" INTEGER, "type" INTEGER, "status" INTEGER, "started_at" INTEGER, "stopped_at" INTEGER,
  "exit_code" INTEGER, "output_tail" TEXT
) STRICT;
CREATE UNIQUE INDEX step_key ON step (_key, _host);
CREATE TABLE test_result (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "job_id" ANY, "suite" INTEGER, "class_name" INTEGER,
  "name" TEXT, "file" INTEGER, "parameters" TEXT, "source" INTEGER, "result" INTEGER, "run_ms" INTEGER,
  "message" TEXT, "node" INTEGER, "stopped_at" INTEGER
) STRICT;
CREATE UNIQUE INDEX test_result_key ON test_result (_key, _host);
CREATE TABLE usage (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "job_id" ANY, "workflow_id" ANY, "stopped_at" INTEGER,
  "resource_class" INTEGER, "operating_system" INTEGER, "run_seconds" INTEGER, "cpu_median_pct" REAL,
  "cpu_max_pct" REAL, "ram_median_pct" REAL, "ram_max_pct" REAL, "compute_credits" INTEGER,
  "dlc_credits" INTEGER, "user_credits" INTEGER, "storage_credits" INTEGER, "network_credits" INTEGER,
  "lease_credits" INTEGER, "lease_overage_credits" INTEGER, "ipranges_credits" INTEGER, "total_credits" INTEGER
) STRICT;
CREATE UNIQUE INDEX usage_key ON usage (_key, _host);
CREATE TABLE platform_event (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "action" INTEGER, "subject" TEXT, "user" INTEGER,
  "plugin" INTEGER, "occurred_at" INTEGER, "value" REAL, "properties" TEXT
) STRICT;
CREATE UNIQUE INDEX platform_event_key ON platform_event (_key, _host);
CREATE TABLE deployment (
  _id INTEGER PRIMARY KEY, _key ANY NOT NULL, _host INTEGER NOT NULL, _project INTEGER NOT NULL,
  _source INTEGER NOT NULL, _terminal INTEGER NOT NULL, _enriched INTEGER NOT NULL, _gone INTEGER NOT NULL,
  _released INTEGER NOT NULL, _due_ms INTEGER, _class INTEGER NOT NULL, _run INTEGER NOT NULL,
  _seen_ms INTEGER NOT NULL, _stamps BLOB NOT NULL, "name" INTEGER, "environment" INTEGER, "status" INTEGER,
  "revision" TEXT, "version" TEXT, "started_at" INTEGER, "stopped_at" INTEGER, "workflow_id" ANY, "job_id" ANY
) STRICT;
CREATE UNIQUE INDEX deployment_key ON deployment (_key, _host);

CREATE INDEX job_number ON job (_project, number) WHERE number IS NOT NULL;
CREATE INDEX pipeline_created ON pipeline (created_at);
CREATE INDEX workflow_pipeline ON workflow (pipeline_id) WHERE pipeline_id IS NOT NULL;
CREATE INDEX job_workflow ON job (workflow_id) WHERE workflow_id IS NOT NULL;
CREATE INDEX job_pipeline ON job (pipeline_id) WHERE pipeline_id IS NOT NULL;
-- Metrics: a window of ended runs without touching the table.
CREATE INDEX workflow_end ON workflow (stopped_at, _project, name, _class, status, created_at) WHERE _terminal;
CREATE INDEX job_end ON job (stopped_at, _project, _run, name, _class, status, started_at, queued_at) WHERE _terminal;
-- Work that is left.
CREATE INDEX workflow_unfinished ON workflow (_source, created_at) WHERE _terminal = 0 AND _gone = 0;
CREATE INDEX workflow_due ON workflow (_source, _due_ms) WHERE _released = 0 AND _due_ms IS NOT NULL;
CREATE INDEX job_due ON job (_source, _due_ms) WHERE _released = 0 AND _due_ms IS NOT NULL;
CREATE INDEX job_wants ON job (_source, _due_ms)
  WHERE _released = 0 AND _due_ms IS NOT NULL AND _enriched = 0 AND _gone = 0;
CREATE INDEX test_result_end ON test_result (stopped_at);

-- Other keys of a job: the number of a build whose UUID was learnt later, or the other way round.
CREATE TABLE job_alias (key ANY NOT NULL, host INTEGER NOT NULL, fact INTEGER NOT NULL, PRIMARY KEY (key, host)) STRICT, WITHOUT ROWID;
CREATE INDEX job_alias_fact ON job_alias (fact);

CREATE TABLE rollup_hour (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL, n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, canceled INTEGER NOT NULL,
  credits INTEGER NOT NULL, duration_ms INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  PRIMARY KEY (bucket, kind, project, run, job, class)
) STRICT, WITHOUT ROWID;
CREATE TABLE sketch_hour (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL, measure INTEGER NOT NULL, bin INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (bucket, kind, project, run, job, class, measure, bin)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_day (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL, n INTEGER NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL, canceled INTEGER NOT NULL,
  credits INTEGER NOT NULL, duration_ms INTEGER NOT NULL, queue_ms INTEGER NOT NULL,
  PRIMARY KEY (bucket, kind, project, run, job, class)
) STRICT, WITHOUT ROWID;
CREATE TABLE sketch_day (
  bucket INTEGER NOT NULL, kind INTEGER NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL, job INTEGER NOT NULL,
  class INTEGER NOT NULL, measure INTEGER NOT NULL, bin INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (bucket, kind, project, run, job, class, measure, bin)
) STRICT, WITHOUT ROWID;

-- digest: CRC-32 of the bytes that were appended last, record or amendment.
CREATE TABLE released (
  record_id ANY PRIMARY KEY, kind INTEGER NOT NULL, fact INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
  revision INTEGER NOT NULL, digest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Positions of amendments, so that `explain` finds them.
CREATE TABLE amended (
  record_id ANY NOT NULL, revision INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (record_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_live (
  seq INTEGER PRIMARY KEY, record_id TEXT NOT NULL, kind TEXT NOT NULL, occurred_ms INTEGER NOT NULL, project TEXT NOT NULL,
  order_key INTEGER NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE log_backfill (
  seq INTEGER PRIMARY KEY, record_id TEXT NOT NULL, kind TEXT NOT NULL, occurred_ms INTEGER NOT NULL, project TEXT NOT NULL,
  order_key INTEGER NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;

CREATE TABLE signal (
  key TEXT PRIMARY KEY, sink TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  overflow TEXT NOT NULL, removed_ms INTEGER, accepted INTEGER NOT NULL, dead INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE cursor (
  signal TEXT NOT NULL, lane INTEGER NOT NULL, acked INTEGER NOT NULL, holes BLOB NOT NULL, start INTEGER NOT NULL,
  PRIMARY KEY (signal, lane)
) STRICT, WITHOUT ROWID;
CREATE TABLE skipped (signal TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (signal, reason)) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letter (
  id INTEGER PRIMARY KEY, signal TEXT NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, record_id TEXT NOT NULL,
  kind TEXT NOT NULL, occurred_ms INTEGER NOT NULL, project TEXT NOT NULL, order_key INTEGER NOT NULL,
  reason TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  answer TEXT NOT NULL, requeued INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letter_record ON dead_letter (signal, record_id);
CREATE INDEX dead_letter_requeued ON dead_letter (signal, id) WHERE requeued;
CREATE TABLE replay (
  id INTEGER PRIMARY KEY, signal TEXT NOT NULL UNIQUE, since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  total INTEGER NOT NULL, done INTEGER NOT NULL
) STRICT;
-- Where each position of a replay is found: a log entry, or a released fact that the log no longer has.
CREATE TABLE replay_item (
  replay INTEGER NOT NULL, position INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,
  fact INTEGER NOT NULL, PRIMARY KEY (replay, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE source_cursor (
  source TEXT NOT NULL, scope TEXT NOT NULL, high INTEGER, walk_high INTEGER, complete_ms INTEGER, PRIMARY KEY (source, scope)
) STRICT, WITHOUT ROWID;
CREATE TABLE gap (
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sink TEXT NOT NULL, first INTEGER, last INTEGER, count INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, scope TEXT NOT NULL, since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  expected INTEGER NOT NULL, present INTEGER NOT NULL, repaired INTEGER NOT NULL, unrepairable INTEGER NOT NULL
) STRICT;
CREATE TABLE alert (
  fingerprint TEXT PRIMARY KEY, rule TEXT NOT NULL, labels TEXT NOT NULL, state TEXT NOT NULL, state_json BLOB NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_history (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX alert_history_fingerprint ON alert_history (fingerprint);
-- state 0 waits, 1 done, 2 dead; done rows stay so that an equal key is never sent twice.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY, notifier TEXT NOT NULL, key TEXT NOT NULL, payload BLOB NOT NULL, created_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, last_error TEXT NOT NULL, state INTEGER NOT NULL,
  UNIQUE (notifier, key)
) STRICT;
CREATE INDEX outbox_due ON outbox (due_ms) WHERE state = 0;
CREATE TABLE silence (
  id INTEGER PRIMARY KEY, matchers TEXT NOT NULL, starts_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL,
  author TEXT NOT NULL, comment TEXT NOT NULL
) STRICT;
