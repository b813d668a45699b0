create sequence repayment_ids;
