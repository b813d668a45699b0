-- A profile of many loans is compressed whenever it is written, and PostgreSQL's own way of doing so takes most of the time
-- that writing it takes. Rows that are there are left as they are. A server without LZ4 goes on as before.
do $$ begin
    alter table read_models.credit_profiles alter column profile set compression lz4;
    alter table read_models.decisions alter column assessment set compression lz4;
    -- A rebuild that is under way.
    alter table if exists read_models.credit_profiles_rebuild alter column profile set compression lz4;
    alter table if exists read_models.decisions_rebuild alter column assessment set compression lz4;
exception when feature_not_supported then
    raise notice 'this PostgreSQL was built without LZ4';
end $$;
