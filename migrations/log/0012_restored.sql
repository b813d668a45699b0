-- Where the log came from, if it was restored from an export: which one, and how far that has come. Until it has come to
-- its end nobody serves from the log or appends to it.
create table log_restored (
    only_row    boolean     not null default true primary key check (only_row),
    -- What tells the export from every other: the checksum that it ends in.
    sha256      text        not null,
    -- The log that was exported, and where it ended.
    origin      uuid        not null,
    head        bigint      not null,
    -- How many of its events, and of the lines behind them, are here.
    events      bigint      not null default 0,
    others      bigint      not null default 0,
    started_at  timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);

-- A restore puts it before every change of `events` for as long as it takes, so that not even a process that was there
-- before appends.
create function refuse_while_restoring() returns trigger language plpgsql as $$
begin
    if current_setting('credit_approval.restoring', true) is distinct from 'on' then
        raise exception 'the log is being restored' using errcode = 'object_in_use';
    end if;
    return null;
end
$$;
