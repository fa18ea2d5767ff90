-- What came of tests in a stretch, in columns by what asks for them, with sums by class of branches, and single hours: those of a
-- quarter of a day in it, as `parts`, and the newest by themselves. Nothing is filled here: store/testparts.py adds them up again
-- bit by bit, and answers are the same without them.
DROP TABLE test_part;
DELETE FROM test_job;
-- One row is one stretch of one project; see `Stretch` of store/testpacks.py.
CREATE TABLE test_part (
  project INTEGER NOT NULL, hours INTEGER NOT NULL, bucket INTEGER NOT NULL, classes INTEGER NOT NULL, tests BLOB NOT NULL,
  faults BLOB NOT NULL, commits BLOB NOT NULL, sums BLOB NOT NULL, other BLOB NOT NULL, main BLOB NOT NULL, times BLOB NOT NULL,
  body BLOB NOT NULL, parts BLOB NOT NULL, PRIMARY KEY (project, hours, bucket)
) STRICT;
DROP TRIGGER test_result_came;
DROP TRIGGER test_result_went;
DROP TRIGGER test_result_changed;
CREATE TRIGGER test_result_came AFTER INSERT ON test_result BEGIN
  DELETE FROM test_part WHERE project = new._project AND (hours, bucket) IN (VALUES (96, new.stopped_at / 345600000),
    (24, new.stopped_at / 86400000), (6, new.stopped_at / 21600000), (1, new.stopped_at / 3600000));
END;
CREATE TRIGGER test_result_went AFTER DELETE ON test_result BEGIN
  DELETE FROM test_part WHERE project = old._project AND (hours, bucket) IN (VALUES (96, old.stopped_at / 345600000),
    (24, old.stopped_at / 86400000), (6, old.stopped_at / 21600000), (1, old.stopped_at / 3600000));
END;
CREATE TRIGGER test_result_changed AFTER UPDATE OF _host, _project, stopped_at, test_id, job_id, result, run_ms, name, suite, class_name, file ON test_result BEGIN
  DELETE FROM test_part WHERE project = new._project AND (hours, bucket) IN (VALUES (96, new.stopped_at / 345600000),
    (24, new.stopped_at / 86400000), (6, new.stopped_at / 21600000), (1, new.stopped_at / 3600000));
  DELETE FROM test_part WHERE project = old._project AND (hours, bucket) IN (VALUES (96, old.stopped_at / 345600000),
    (24, old.stopped_at / 86400000), (6, old.stopped_at / 21600000), (1, old.stopped_at / 3600000));
END;
