-- A partition's events in order: what a worker lacks, how far it is behind, and where the partition ends. The number is
-- that of the partitions. Making it holds appends up: where the log is large and in use, make it beforehand, with
-- CONCURRENTLY.
create index if not exists events_partition on events ((customer_id % 8), position);
