-- Aggregates about one test.

ALTER TABLE insight ADD COLUMN "test_name" TEXT;
ALTER TABLE insight ADD COLUMN "class_name" INTEGER;
ALTER TABLE insight ADD COLUMN "file" INTEGER;
ALTER TABLE insight ADD COLUMN "source" INTEGER;
