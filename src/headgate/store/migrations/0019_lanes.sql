-- Well-filled sketches of stretches are kept in lanes (store/lanes.py), which are added up many at once. Stretches that have most
-- of them are added up again; of the others those that are there are read as they are.
-- Sums by cuts (0015) are kept of hours of jobs and of quarters of a day of workflows too.
DELETE FROM span_built WHERE hours > 1;
DELETE FROM cut_built WHERE hours != 24;
