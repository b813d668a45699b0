-- The read models: what queries are answered from. Nothing here is true by itself; it is folded from the log, and
-- may live on another server than the log does.
create schema read_models;

-- How far each projection has applied each partition of the log, moved in the transaction of the effect.
create table read_models.checkpoints (
    projection text        not null,
    partition  smallint    not null,
    position   bigint      not null,
    updated_at timestamptz not null default now(),
    primary key (projection, partition)
);

create table read_models.customers (
    customer_id    bigint        not null primary key,
    external_id    text,
    first_name     text          not null,
    last_name      text          not null,
    age            smallint      not null,
    phone_number   text          not null,
    monthly_income numeric(20,2) not null,
    approved_limit numeric(20,2) not null,
    registered_at  timestamptz   not null
);

create table read_models.loans (
    loan_id          bigint        not null primary key,
    customer_id      bigint        not null,
    external_id      text,
    decision_id      bigint,
    principal        numeric(20,2) not null,
    interest_rate    numeric(7,4)  not null,
    tenure           smallint      not null,
    instalment       numeric(20,2) not null,
    instalments_paid smallint      not null,
    started_on       date          not null,
    ends_on          date          not null,
    opened_at        timestamptz   not null
);

-- A customer's current loans.
create index loans_customer_ends_on on read_models.loans (customer_id, ends_on);

-- All that eligibility needs of a customer, in one row.
create table read_models.credit_profiles (
    customer_id bigint not null primary key,
    profile     json   not null
);
