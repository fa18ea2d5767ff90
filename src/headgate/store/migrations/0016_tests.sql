-- What came of tests in stretches of a day and of a quarter of one that are over, so that weeks of results are not read one by
-- one. Nothing is filled here: store/testparts.py adds them up bit by bit, and answers are the same without them.
-- One row is one stretch of one project. commits: those that had results in it; forms: the tests; faults: what came of
-- tests on commits on which they failed; body: of each test the sums, and the run times by the ends of its commits.
CREATE TABLE test_part (
  project INTEGER NOT NULL, hours INTEGER NOT NULL, bucket INTEGER NOT NULL, commits BLOB NOT NULL, forms BLOB NOT NULL,
  faults BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (project, hours, bucket)
) STRICT;
-- A test as its results name it. day: the last of the newest stretch with it.
CREATE TABLE test_form (
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, test_id ANY NOT NULL, name TEXT NOT NULL, suite INTEGER NOT NULL,
  class_name INTEGER NOT NULL, file INTEGER NOT NULL, day INTEGER NOT NULL,
  UNIQUE (project, test_id, name, suite, class_name, file)
) STRICT;
-- Which stretches have results of a job.
CREATE TABLE test_job (
  job ANY NOT NULL, project INTEGER NOT NULL, hours INTEGER NOT NULL, bucket INTEGER NOT NULL,
  PRIMARY KEY (job, project, hours, bucket)
) STRICT, WITHOUT ROWID;
-- Whoever changes a result, or what its job, workflow or pipeline says of it, takes the stretch away, in the same transaction.
CREATE TRIGGER test_result_came AFTER INSERT ON test_result BEGIN
  DELETE FROM test_part WHERE project = new._project AND hours = 96 AND bucket = new.stopped_at / 345600000;
  DELETE FROM test_part WHERE project = new._project AND hours = 24 AND bucket = new.stopped_at / 86400000;
  DELETE FROM test_part WHERE project = new._project AND hours = 6 AND bucket = new.stopped_at / 21600000;
END;
CREATE TRIGGER test_result_went AFTER DELETE ON test_result BEGIN
  DELETE FROM test_part WHERE project = old._project AND hours = 96 AND bucket = old.stopped_at / 345600000;
  DELETE FROM test_part WHERE project = old._project AND hours = 24 AND bucket = old.stopped_at / 86400000;
  DELETE FROM test_part WHERE project = old._project AND hours = 6 AND bucket = old.stopped_at / 21600000;
END;
CREATE TRIGGER test_result_changed AFTER UPDATE OF _host, _project, stopped_at, test_id, job_id, result, run_ms, name, suite, class_name, file ON test_result BEGIN
  DELETE FROM test_part WHERE project = new._project AND hours = 96 AND bucket = new.stopped_at / 345600000;
  DELETE FROM test_part WHERE project = new._project AND hours = 24 AND bucket = new.stopped_at / 86400000;
  DELETE FROM test_part WHERE project = new._project AND hours = 6 AND bucket = new.stopped_at / 21600000;
  DELETE FROM test_part WHERE project = old._project AND hours = 96 AND bucket = old.stopped_at / 345600000;
  DELETE FROM test_part WHERE project = old._project AND hours = 24 AND bucket = old.stopped_at / 86400000;
  DELETE FROM test_part WHERE project = old._project AND hours = 6 AND bucket = old.stopped_at / 21600000;
END;
CREATE TRIGGER test_job_came AFTER INSERT ON job BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (new._key));
END;
CREATE TRIGGER test_job_went AFTER DELETE ON job BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (old._key));
END;
CREATE TRIGGER test_job_changed AFTER UPDATE OF _key, _host, _class, status, name, workflow_id, pipeline_id ON job BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (new._key, old._key));
END;
CREATE TRIGGER test_workflow_came AFTER INSERT ON workflow BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE workflow_id = new._key AND workflow_id IS NOT NULL));
END;
CREATE TRIGGER test_workflow_went AFTER DELETE ON workflow BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE workflow_id = old._key AND workflow_id IS NOT NULL));
END;
CREATE TRIGGER test_workflow_changed AFTER UPDATE OF _key, _host, revision, pipeline_id ON workflow BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE workflow_id = new._key AND workflow_id IS NOT NULL));
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE workflow_id = old._key AND workflow_id IS NOT NULL));
END;
CREATE TRIGGER test_pipeline_came AFTER INSERT ON pipeline BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE pipeline_id = new._key AND pipeline_id IS NOT NULL UNION ALL SELECT j._key FROM workflow w JOIN job j ON j.workflow_id = w._key AND j.workflow_id IS NOT NULL WHERE w.pipeline_id = new._key AND w.pipeline_id IS NOT NULL));
END;
CREATE TRIGGER test_pipeline_went AFTER DELETE ON pipeline BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE pipeline_id = old._key AND pipeline_id IS NOT NULL UNION ALL SELECT j._key FROM workflow w JOIN job j ON j.workflow_id = w._key AND j.workflow_id IS NOT NULL WHERE w.pipeline_id = old._key AND w.pipeline_id IS NOT NULL));
END;
CREATE TRIGGER test_pipeline_changed AFTER UPDATE OF _key, _host, revision ON pipeline BEGIN
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE pipeline_id = new._key AND pipeline_id IS NOT NULL UNION ALL SELECT j._key FROM workflow w JOIN job j ON j.workflow_id = w._key AND j.workflow_id IS NOT NULL WHERE w.pipeline_id = new._key AND w.pipeline_id IS NOT NULL));
  DELETE FROM test_part WHERE (project, hours, bucket) IN (SELECT project, hours, bucket FROM test_job WHERE job IN (SELECT _key FROM job WHERE pipeline_id = old._key AND pipeline_id IS NOT NULL UNION ALL SELECT j._key FROM workflow w JOIN job j ON j.workflow_id = w._key AND j.workflow_id IS NOT NULL WHERE w.pipeline_id = old._key AND w.pipeline_id IS NOT NULL));
END;
-- Steps on other machines than the first: jobs that have none are not on several.
CREATE INDEX step_node ON step (_project, stopped_at) WHERE node > 0;
