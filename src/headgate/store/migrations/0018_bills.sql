-- Bills and loads of a quarter of a day, a day, four days and sixteen, instead of one and eight days. Nothing is filled here:
-- store/usagedays.py adds them up bit by bit. units: how many quarters; first: number of the first of them. wide: 1 for all
-- rows of a project, whatever their names. Names are 0 where a row has none. ram_max, cpu_median, cpu_max: percent -> rows.
DROP TRIGGER usage_came;
DROP TRIGGER usage_went;
DROP TRIGGER usage_changed;
DROP TABLE usage_day;
DROP TABLE usage_summed;
CREATE TABLE usage_part (
  units INTEGER NOT NULL, first INTEGER NOT NULL, project INTEGER NOT NULL, wide INTEGER NOT NULL, workflow INTEGER NOT NULL,
  job INTEGER NOT NULL, size INTEGER NOT NULL, executor INTEGER NOT NULL, system INTEGER NOT NULL,
  runs INTEGER NOT NULL, seconds INTEGER NOT NULL, total INTEGER NOT NULL, compute INTEGER NOT NULL, dlc INTEGER NOT NULL,
  "user" INTEGER NOT NULL, storage INTEGER NOT NULL, network INTEGER NOT NULL, lease INTEGER NOT NULL,
  lease_overage INTEGER NOT NULL, ipranges INTEGER NOT NULL, ram_max BLOB, cpu_median BLOB, cpu_max BLOB,
  PRIMARY KEY (units, first, project, wide, workflow, job, size, executor, system)
) STRICT, WITHOUT ROWID;
-- What of a project is added up; where a longer stretch is, so are all quarters in it. Whoever changes a row of it takes the
-- notes away, in the same transaction.
CREATE TABLE usage_whole (
  units INTEGER NOT NULL, first INTEGER NOT NULL, project INTEGER NOT NULL, PRIMARY KEY (units, first, project)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER usage_came AFTER INSERT ON usage
WHEN EXISTS (SELECT 1 FROM usage_whole WHERE units = 1 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 21600000) BEGIN
  DELETE FROM usage_whole WHERE units = 1 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 21600000;
  DELETE FROM usage_whole WHERE units = 4 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 86400000 * 4;
  DELETE FROM usage_whole WHERE units = 16 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 345600000 * 16;
  DELETE FROM usage_whole WHERE units = 64 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 1382400000 * 64;
END;
CREATE TRIGGER usage_went AFTER DELETE ON usage
WHEN EXISTS (SELECT 1 FROM usage_whole WHERE units = 1 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 21600000) BEGIN
  DELETE FROM usage_whole WHERE units = 1 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 21600000;
  DELETE FROM usage_whole WHERE units = 4 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 86400000 * 4;
  DELETE FROM usage_whole WHERE units = 16 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 345600000 * 16;
  DELETE FROM usage_whole WHERE units = 64 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 1382400000 * 64;
END;
CREATE TRIGGER usage_changed AFTER UPDATE ON usage
WHEN EXISTS (SELECT 1 FROM usage_whole WHERE units = 1 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 21600000) BEGIN
  DELETE FROM usage_whole WHERE units = 1 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 21600000;
  DELETE FROM usage_whole WHERE units = 4 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 86400000 * 4;
  DELETE FROM usage_whole WHERE units = 16 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 345600000 * 16;
  DELETE FROM usage_whole WHERE units = 64 AND project = old._project AND first = coalesce(old.stopped_at, old.started_at, old.queued_at, old._seen_ms) / 1382400000 * 64;
END;
CREATE TRIGGER usage_moved AFTER UPDATE ON usage
WHEN EXISTS (SELECT 1 FROM usage_whole WHERE units = 1 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 21600000) BEGIN
  DELETE FROM usage_whole WHERE units = 1 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 21600000;
  DELETE FROM usage_whole WHERE units = 4 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 86400000 * 4;
  DELETE FROM usage_whole WHERE units = 16 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 345600000 * 16;
  DELETE FROM usage_whole WHERE units = 64 AND project = new._project AND first = coalesce(new.stopped_at, new.started_at, new.queued_at, new._seen_ms) / 1382400000 * 64;
END;
