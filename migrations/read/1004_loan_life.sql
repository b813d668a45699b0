-- The life of customers and loans after they begin. The rebuild that this version asks for fills the loans' columns in;
-- until it is swapped in nothing is answered from them.

alter table read_models.customers
    -- Which state of its details this is: 1 at registration or import, one more with each change.
    add column revision integer not null default 1;

alter table read_models.loans
    -- How many events the loan has.
    add column revision                       integer  not null default 1,
    add column instalments_paid_on_time       smallint not null default 0,
    -- Of those paid, the ones that were paid before the loan was taken over from another system.
    add column instalments_paid_before_import smallint not null default 0,
    -- The due date of the first instalment that is not paid in full, null when nothing is left to pay.
    add column next_due_on                    date,
    add column written_off_on                 date,
    -- Its repayments in their order, those that were reversed included; null until the first.
    add column repayments                     json;
