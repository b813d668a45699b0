-- What replay, parking and the operator's view keep beside the checkpoints. A projection's name with `_rebuild` behind
-- it stands for the table that a rebuild fills.

alter table read_models.checkpoints
    -- By which version of its fold the read model was made.
    add column version  smallint not null default 1,
    -- How many customers of the partition are parked.
    add column parked   integer  not null default 0,
    -- How often a worker has begun on the next events and not come to their end; with a suspect, on that event alone.
    add column attempts smallint not null default 0,
    add column suspect  bigint;

-- Customers whose events a projection cannot apply: from `position` on they are withheld, in the log and in order,
-- until they are redriven.
create table read_models.parked (
    projection  text        not null,
    customer_id bigint      not null,
    partition   smallint    not null,
    position    bigint      not null,
    event_type  text        not null,
    error       text        not null,
    -- Whether the event could not be read at all: a newer build may.
    unreadable  boolean     not null default false,
    attempts    integer     not null default 1,
    parked_at   timestamptz not null default now(),
    tried_at    timestamptz not null default now(),
    primary key (projection, customer_id)
);

-- Who works on what, and when it last showed that it is alive.
create table read_models.workers (
    projection        text        not null,
    partition         smallint    not null,
    process           text        not null,
    heartbeat_at      timestamptz not null,
    events_per_second integer     not null default 0,
    primary key (projection, partition)
);

-- Rebuilds, the running one and those that have ended.
create table read_models.rebuilds (
    rebuild_id        bigint      not null generated always as identity primary key,
    projections       text[]      not null,
    phase             text        not null default 'waiting' check (phase in
        ('waiting', 'filling', 'checking', 'indexing', 'catching_up', 'swapping', 'done', 'failed', 'cancelled')),
    -- The versions of the folds that fill it in, in the order of its projections.
    versions          smallint[],
    -- How often it was taken up since it last made progress.
    take_ups          smallint    not null default 0,
    -- The log's settled head when filling began: the bulk of the replay ends there.
    up_to             bigint,
    events            bigint      not null default 0,
    events_total      bigint,
    events_per_second integer     not null default 0,
    process           text,
    error             text,
    cancel_requested  boolean     not null default false,
    requested_at      timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    finished_at       timestamptz
);

-- One at a time.
create unique index rebuilds_unfinished on read_models.rebuilds ((true)) where finished_at is null;

-- The ranges of customers that a rebuild has filled in, written in the transaction of their rows; so a rebuild that
-- was killed goes on with the others. `rows` and `checksums` are in the order of the rebuild's projections.
create table read_models.rebuild_ranges (
    rebuild_id     bigint   not null references read_models.rebuilds,
    after_customer bigint   not null,
    to_customer    bigint   not null,
    events         bigint   not null,
    rows           bigint[] not null,
    checksums      bigint[] not null,
    primary key (rebuild_id, after_customer)
);
