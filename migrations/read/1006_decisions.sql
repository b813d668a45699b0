-- Every decision with all that it was taken from: why it fell as it did, and what another policy would have made of it.
create table read_models.decisions (
    decision_id   bigint        not null primary key,
    customer_id   bigint        not null,
    -- The loan that it opened, where it was approved.
    loan_id       bigint,
    outcome       text          not null,
    decided_at    timestamptz   not null,
    -- The business day by which it was taken.
    as_of         date          not null,
    policy_id     text          not null,
    policy_digest text          not null,
    credit_score  numeric(5,2)  not null,
    loan_amount   numeric(20,2) not null,
    -- As it stands in the log, to the byte.
    assessment    json          not null
);

-- A customer's decisions, the newest first.
create index decisions_customer on read_models.decisions (customer_id, decision_id);
-- Those of a customer that fell one way: where few did, neither of the others leads to them alone.
create index decisions_customer_outcome on read_models.decisions (customer_id, outcome, decision_id);
-- All that fell one way, the newest first.
create index decisions_outcome on read_models.decisions (outcome, decision_id);
-- A stretch of time, in order, for backtests.
create index decisions_decided_at on read_models.decisions (decided_at, decision_id);

-- Where there is a log already, its decisions are filled in by a rebuild in the background, which version 0 asks for.
-- Until then the read model follows the log from where another stands, so that no command waits for the history.
insert into read_models.checkpoints (projection, partition, position, version)
select 'decisions', partition, position, 0 from read_models.checkpoints
where projection = 'credit_profiles' and position > 0;
