-- Bodies of the log are packed (store/packing.py): the number of the dictionary, 0 for a body as it is.
ALTER TABLE log_live ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_backfill ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
