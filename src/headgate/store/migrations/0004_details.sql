-- Fields that came with the details of ended jobs.

ALTER TABLE job ADD COLUMN "artifact_count" INTEGER;
ALTER TABLE test_result ADD COLUMN "test_id" ANY;
