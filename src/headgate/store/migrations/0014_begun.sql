-- Deployments by their end with all that figures of them take, so that a quarter of them is read without their rows.
DROP INDEX deployment_end;
CREATE INDEX deployment_end ON deployment (stopped_at, _key, _project, environment, name, status, revision);
-- Those of a commit, or of a workflow where they have none, by the begin of its name.
CREATE INDEX deployment_commit ON deployment (substr(coalesce(nullif(revision, ''), workflow_id), 1, 8));

-- When work on what was deployed began: creation of the first ended workflow of the commit; null where none is known.
-- Nothing is filled here: store/commits.py notes it bit by bit, and reads what is not noted from workflows. Whoever changes
-- what a note follows from takes it away, in the same transaction.
CREATE TABLE deployment_begun (deployment INTEGER PRIMARY KEY, at_ms INTEGER) STRICT;
CREATE TRIGGER deployment_changed AFTER UPDATE OF revision, workflow_id, _project ON deployment BEGIN
  DELETE FROM deployment_begun WHERE deployment = new._id;
END;
CREATE TRIGGER deployment_went AFTER DELETE ON deployment BEGIN
  DELETE FROM deployment_begun WHERE deployment = old._id;
END;
CREATE TRIGGER workflow_came AFTER INSERT ON workflow
WHEN new._terminal AND new.stopped_at IS NOT NULL AND EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) IN (substr(new._key, 1, 8),
      substr(coalesce(new.revision, (SELECT revision FROM pipeline WHERE _key = new.pipeline_id AND _host = new._host)), 1, 8)));
END;
CREATE TRIGGER workflow_changed AFTER UPDATE OF created_at, stopped_at, revision, pipeline_id, _project, _terminal ON workflow
WHEN (new._terminal OR old._terminal) AND EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) IN (substr(new._key, 1, 8),
      substr(coalesce(new.revision, (SELECT revision FROM pipeline WHERE _key = new.pipeline_id AND _host = new._host)), 1, 8),
      substr(coalesce(old.revision, (SELECT revision FROM pipeline WHERE _key = old.pipeline_id AND _host = old._host)), 1, 8)));
END;
CREATE TRIGGER workflow_went AFTER DELETE ON workflow
WHEN old._terminal AND EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) IN (substr(old._key, 1, 8),
      substr(coalesce(old.revision, (SELECT revision FROM pipeline WHERE _key = old.pipeline_id AND _host = old._host)), 1, 8)));
END;
CREATE TRIGGER pipeline_came AFTER INSERT ON pipeline
WHEN new.revision IS NOT NULL AND EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) = substr(new.revision, 1, 8));
END;
CREATE TRIGGER pipeline_changed AFTER UPDATE OF revision ON pipeline WHEN EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) IN (substr(new.revision, 1, 8), substr(old.revision, 1, 8)));
END;
CREATE TRIGGER pipeline_went AFTER DELETE ON pipeline
WHEN old.revision IS NOT NULL AND EXISTS (SELECT 1 FROM deployment_begun) BEGIN
  DELETE FROM deployment_begun WHERE deployment IN (SELECT _id FROM deployment
    WHERE substr(coalesce(nullif(revision, ''), workflow_id), 1, 8) = substr(old.revision, 1, 8));
END;
