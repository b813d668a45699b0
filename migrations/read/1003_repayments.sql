-- How far a loan is repaid: null until its first repayment, and until it is settled.
alter table read_models.loans
    add column outstanding numeric(20,2),
    add column settled_on  date;
