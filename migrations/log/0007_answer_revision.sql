-- The revision that the answer's ETag names: of what the request changed, after it. Null where the answer names none.
alter table idempotency_keys add column revision bigint check (revision > 0);
