-- Up to which position the log is known to be settled: whatever is missing at or before it was lost, and nothing can
-- appear there any more. It stands in the log's own database, so that a log that is restored to an earlier day brings
-- what was known of it on that day.
create table log_settled (
    only_row boolean not null default true primary key check (only_row),
    position bigint  not null
);
insert into log_settled (position) values (0);
