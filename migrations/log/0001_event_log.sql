-- The event log: the one truth. Everything else can be thrown away and rebuilt from it.
--
-- The first seven columns are postgres-es's own; the others have defaults, so that its INSERT need not name them.
create table events (
    aggregate_type text   not null,
    aggregate_id   text   not null,
    sequence       bigint not null check (sequence > 0),
    event_type     text   not null,
    event_version  text   not null,
    payload        json   not null,
    metadata       json   not null,

    -- The order of the log. Values commit out of order and leave gaps when a transaction rolls back; readers that
    -- follow the log prove a gap dead before they pass it.
    position       bigint not null generated always as identity,
    recorded_at    timestamptz not null default clock_timestamp(),

    -- Whose credit it is about: events of a customer and of its loans are read in order, together.
    customer_id    bigint not null generated always as ((metadata ->> 'customer_id')::bigint) stored,

    primary key (aggregate_type, aggregate_id, sequence)
);

create unique index events_position on events (position);

-- Which log this is. Messages carry it, so that what a bus still holds of another log is never taken for this one's.
create table log_identity (
    only_row boolean not null default true primary key check (only_row),
    id       uuid    not null default gen_random_uuid()
);
insert into log_identity default values;

create sequence customer_ids;
create sequence loan_ids;
create sequence decision_ids;

-- A phone number belongs to one customer. A row is written in the transaction of the event that takes the number,
-- so neither exists without the other.
create table phone_numbers (
    phone_number text   not null,
    customer_id  bigint not null,
    primary key (phone_number)
);

-- What has been imported: a row of a workbook and the id it became, written in the transaction of its events, so
-- that the same row never becomes two.
create table imported_rows (
    kind       text   not null check (kind in ('customer', 'loan')),
    source_key text   collate "C" not null,
    id         bigint not null,
    digest     bytea  not null,
    primary key (kind, source_key)
);
