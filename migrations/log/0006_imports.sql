-- Imports in the background: what was asked for, the workbooks until they have been imported, and what was noticed of
-- their rows. They are in the log's database, so that any process can take an import up where another left it.
create table imports (
    id               bigint      not null generated always as identity primary key,

    -- 'uploading' is nobody's to see: it is deleted when the upload breaks off.
    state            text        not null default 'uploading'
        check (state in ('uploading', 'waiting', 'running', 'done', 'failed', 'cancelled')),
    dry_run          boolean     not null default false,
    cancel_requested boolean     not null default false,

    -- The workbooks: what they are called, and their sizes in bytes.
    customers_file   text,
    customers_bytes  bigint,
    loans_file       text,
    loans_bytes      bigint,

    -- The business day by which rows are judged, from the first attempt on.
    business_day     date,
    -- The request that uploaded it, for the metadata of its events.
    request_id       text,
    traceparent      text,

    -- How often a process took it up; and since rows were last taken that had not been taken before, how often it did
    -- so after another that had ended in the middle without a word, and how often one said why it could not go on.
    attempts         integer     not null default 0,
    interruptions    integer     not null default 0,
    setbacks         integer     not null default 0,
    -- Whether the last attempt has said why it could not go on.
    is_excused       boolean     not null default false,
    -- Not to be taken up again before.
    retry_at         timestamptz,

    -- How far it has come. Rows of both workbooks; the total is known once both have been read through.
    stage            text        check (stage in ('checking', 'customers', 'loans')),
    rows_done        bigint      not null default 0,
    -- Rows that were taken, in any attempt: what was appended ends at most a chunk behind them.
    rows_taken       bigint      not null default 0,
    rows_total       bigint,
    rows_per_second  bigint      not null default 0,
    customers        json,
    loans            json,
    warnings         bigint      not null default 0,
    -- The attempt whose tallies and notices are shown, and how many of its notices are kept.
    notices_attempt  integer     not null default 0,
    notices_kept     bigint      not null default 0,
    error            text,

    created_at       timestamptz not null default clock_timestamp(),
    started_at       timestamptz,
    ended_at         timestamptz
);

-- What importers look for, and what is cleaned up.
create index imports_open on imports (id) where state in ('uploading', 'waiting', 'running');
-- For the purge, oldest first.
create index imports_ended on imports (ended_at) where ended_at is not null;

-- The workbooks in pieces; deleted when the import ends.
create table import_files (
    import_id bigint  not null references imports on delete cascade,
    kind      text    not null check (kind in ('customers', 'loans')),
    piece     integer not null,
    content   bytea   not null,
    primary key (import_id, kind, piece)
);
-- A workbook is compressed already.
alter table import_files alter column content set storage external;

-- Rejects and warnings, in the order in which they were noticed.
create table import_notices (
    import_id bigint  not null references imports on delete cascade,
    number    bigint  not null,
    kind      text    not null check (kind in ('reject', 'warning')),
    workbook  text    not null,
    sheet     text    not null,
    row       bigint  not null,
    title     text,
    reason    text    not null,
    attempt   integer not null default 0,
    primary key (import_id, attempt, number)
);
create index import_notices_kind on import_notices (import_id, attempt, kind, number);

-- Which background import a row came by: one that goes on after an interruption knows its own rows by it.
alter table imported_rows add column import_id bigint;
-- For counting what an import has brought in.
create index imported_rows_import on imported_rows (import_id, kind) where import_id is not null;
