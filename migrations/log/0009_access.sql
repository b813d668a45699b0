-- Who may use the API. Of a key's secret only its SHA-256 is kept: it has 256 bits of chance, so nobody guesses it from
-- that, and nobody who reads this table can use a key.
create table api_keys (
    -- The public part of the key.
    id            text        not null primary key collate "C",
    secret_digest bytea       not null check (octet_length(secret_digest) = 32),

    -- Whose key it is, in words.
    name          text        not null,
    roles         text[]      not null check (cardinality(roles) > 0),
    -- Requests an hour where the key has a limit of its own; 0 is no limit.
    hourly_limit  integer     check (hourly_limit >= 0),

    -- The key that this one replaces.
    replaces      text        references api_keys (id),
    -- The first of the keys that came to this one by being replaced: what its holder has asked for, and how often, is
    -- remembered under it.
    holder        text        not null collate "C",

    created_at    timestamptz not null default clock_timestamp(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    -- To about half a minute.
    last_used_at  timestamptz
);

-- For the look at what replaces a key.
create index api_keys_replaces on api_keys (replaces) where replaces is not null;

-- Whose request it was: the same idempotency key of two callers is two keys. Null in rows from before callers were told
-- apart; those answer whoever sends the same request under the same key.
alter table idempotency_keys add column caller text;

-- Who uploaded it, for the metadata of its events.
alter table imports add column caller text;
