-- Repeats of a project by their end: they are few, and what they cost was found by reading every workflow of the time.
CREATE INDEX workflow_rerun ON workflow (_project, stopped_at) WHERE _terminal AND rerun_of IS NOT NULL;

-- Bills and loads by job and machine of whole days, one or eight of them, so that a month of them is not read row by row.
-- Nothing is filled here: store/usagedays.py adds them up bit by bit. days: how many; day: the first of them. Names are 0
-- where a row has none. ram_max, cpu_median, cpu_max: percent -> rows.
CREATE TABLE usage_day (
  days INTEGER NOT NULL, day INTEGER NOT NULL, project INTEGER NOT NULL, workflow INTEGER NOT NULL, job INTEGER NOT NULL,
  size INTEGER NOT NULL, executor INTEGER NOT NULL, system INTEGER NOT NULL,
  runs INTEGER NOT NULL, seconds INTEGER NOT NULL, total INTEGER NOT NULL, compute INTEGER NOT NULL, dlc INTEGER NOT NULL,
  "user" INTEGER NOT NULL, storage INTEGER NOT NULL, network INTEGER NOT NULL, lease INTEGER NOT NULL,
  lease_overage INTEGER NOT NULL, ipranges INTEGER NOT NULL, ram_max BLOB, cpu_median BLOB, cpu_max BLOB,
  PRIMARY KEY (days, day, project, workflow, job, size, executor, system)
) STRICT, WITHOUT ROWID;
-- What of a project is added up. Whoever changes a row of it takes the notes away, in the same transaction.
CREATE TABLE usage_summed (
  days INTEGER NOT NULL, day INTEGER NOT NULL, project INTEGER NOT NULL, PRIMARY KEY (days, day, project)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER usage_came AFTER INSERT ON usage BEGIN
  DELETE FROM usage_summed WHERE days = 1 AND project = new._project AND day = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 86400000;
  DELETE FROM usage_summed WHERE days = 8 AND project = new._project AND day = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 691200000 * 8;
END;
CREATE TRIGGER usage_went AFTER DELETE ON usage BEGIN
  DELETE FROM usage_summed WHERE days = 1 AND project = old._project AND day = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 86400000;
  DELETE FROM usage_summed WHERE days = 8 AND project = old._project AND day = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 691200000 * 8;
END;
CREATE TRIGGER usage_changed AFTER UPDATE ON usage BEGIN
  DELETE FROM usage_summed WHERE days = 1 AND project = new._project AND day = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 86400000;
  DELETE FROM usage_summed WHERE days = 8 AND project = new._project AND day = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 691200000 * 8;
  DELETE FROM usage_summed WHERE days = 1 AND project = old._project AND day = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 86400000;
  DELETE FROM usage_summed WHERE days = 8 AND project = old._project AND day = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 691200000 * 8;
END;
