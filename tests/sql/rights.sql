-- SPDX-License-Identifier: Apache-2.0
--
-- Asked by a member of owd_reader: every object of the schema, by what the catalog says of its rights.
SET client_min_messages = warning;
DO $$
DECLARE
  wrong text;
BEGIN
  SELECT string_agg (c.relname, ', ') INTO wrong
    FROM pg_class c
   WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S', 'f', 'm')
     AND (has_table_privilege (c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
          OR has_any_column_privilege (c.oid, 'INSERT, UPDATE, REFERENCES')
          OR has_any_column_privilege (c.oid, 'SELECT') <> (c.relname = 'schema_step'
                 OR (c.relkind = 'v' AND obj_description (c.oid, 'pg_class') !~ 'private')));
  ASSERT wrong IS NULL, 'a reader has other rights than it should on: ' || wrong;

  SELECT string_agg (p.proname, ', ') INTO wrong
    FROM pg_proc p
   WHERE p.pronamespace = 'owd'::regnamespace
     AND has_function_privilege (p.oid, 'EXECUTE') <> (p.provolatile = 'i' OR obj_description (p.oid, 'pg_proc') !~ 'private');
  ASSERT wrong IS NULL, 'a reader may call, or not call: ' || wrong;

  -- What runs with the owner's rights finds its names in pg_catalog only.
  SELECT string_agg (p.proname, ', ') INTO wrong
    FROM pg_proc p
   WHERE p.pronamespace = 'owd'::regnamespace AND p.prosecdef
     AND NOT coalesce (p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false);
  ASSERT wrong IS NULL, 'search_path is not pinned: ' || wrong;

  -- A day has 24 hours, whatever the caller's clock does.
  SELECT string_agg (p.proname, ', ') INTO wrong
    FROM pg_proc p
   WHERE p.pronamespace = 'owd'::regnamespace AND obj_description (p.oid, 'pg_proc') !~ 'private' AND p.provolatile = 's'
     AND pg_get_function_arguments (p.oid) ~ 'timestamp with time zone' AND p.proname !~ '^probe_'
     AND NOT coalesce (p.proconfig @> ARRAY['TimeZone=UTC'], false);
  ASSERT wrong IS NULL, 'the session''s time zone may matter in: ' || wrong;

  -- A table that was forgotten would be noticed by whoever uses the role, and nobody else.
  SELECT string_agg (c.relname, ', ') INTO wrong
    FROM pg_class c
   WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     AND NOT has_table_privilege ('owd_writer', c.oid, 'SELECT');
  ASSERT wrong IS NULL, 'owd_writer has no rights on: ' || wrong;
  ASSERT NOT has_schema_privilege ('owd', 'CREATE') AND NOT has_schema_privilege ('owd_writer', 'owd', 'CREATE');
END $$;
