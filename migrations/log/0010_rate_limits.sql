-- How much of an hour's requests each caller has been given, over all processes. Unlogged: a crash of the server empties
-- it, which costs nobody anything but a fresh hour; a clean restart keeps it. It is no part of the log, and a copy of
-- the log can do without it.
create unlogged table rate_limit_windows (
    -- A digest of who it is about: no address and no subject of a token stands here.
    subject    bytea       not null primary key,
    -- The hour began with the subject's first request.
    started_at timestamptz not null,
    -- Requests an hour that the subject may send, as of the last lease.
    quota      bigint      not null,
    -- Of them, those that were given to processes, and how many the last lease gave.
    granted    bigint      not null,
    lease      bigint      not null
) with (fillfactor = 70);

-- For the purge, oldest first.
create index rate_limit_windows_started_at on rate_limit_windows (started_at);
