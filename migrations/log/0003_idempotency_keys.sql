-- What requests with an Idempotency-Key were answered. A row is written in the statement of the events that the
-- request led to, so neither exists without the other. Kept for a day and a little, then purged.
create table idempotency_keys (
    idempotency_key text        not null primary key collate "C",

    -- Of method, path and body: tells the same request from another one under the same key.
    request_digest  bytea       not null,

    -- The answer: only what took effect is remembered.
    status          smallint    not null check (status between 200 and 299),
    answer          text        not null,

    -- Where its events end in the log, for the token.
    partition       smallint    not null,
    position        bigint      not null,

    created_at      timestamptz not null default clock_timestamp()
);

-- For the purge, oldest first.
create index idempotency_keys_created_at on idempotency_keys (created_at);
