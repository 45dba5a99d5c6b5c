-- SPDX-License-Identifier: Apache-2.0
--
-- Two group roles without login, shared by all databases of the cluster:
--
--   owd_reader  the public views and functions, nothing else. Views and functions read the private tables with their
--               owner's rights (SECURITY DEFINER, search_path pinned, no text of a caller ever becomes SQL).
--   owd_writer  what the daemons do: that, and rows into the tables below; tables of a time range are added and dropped by
--               functions. No other DDL; DELETE only of roll-ups, which are put together from shorter rows, and of
--               shares that nobody will replay.
--
-- What is public is told by one thing only, the comment: one that says "private" is not. A function that changes
-- something is never given to readers, whatever its comment says; one that is IMMUTABLE reads no table and may be
-- called by both, as views need it.
--
-- Only the owner of the schema gives rights. Where he may not create roles (CREATEROLE), somebody else does, and the
-- next call gives them their rights. Roles that have theirs are left alone until functions and views are made anew.
CREATE OR REPLACE FUNCTION owd.give_rights () RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  role text;
  known text;
  command text;
BEGIN
  IF NOT pg_has_role (current_user, (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'owd'), 'USAGE') THEN
    RETURN;
  END IF;
  FOREACH role IN ARRAY ARRAY['owd_reader', 'owd_writer'] LOOP
    CONTINUE WHEN to_regrole (role) IS NOT NULL;
    BEGIN
      EXECUTE format ('CREATE ROLE %I NOLOGIN', role);
      IF role = 'owd_reader' THEN
        EXECUTE format ('ALTER ROLE %I SET statement_timeout = %L', role, '30s');
      END IF;
    EXCEPTION
      WHEN insufficient_privilege THEN NULL;
      WHEN duplicate_object OR unique_violation THEN NULL; -- from another database, at the same moment
    END;
  END LOOP;
  known := (SELECT string_agg (r.rolname || ' ' || r.oid::text, ', ' ORDER BY r.rolname)
              FROM pg_roles r WHERE r.rolname IN ('owd_reader', 'owd_writer'));
  IF known IS NOT DISTINCT FROM (SELECT c.rights FROM owd.schema_code c) THEN
    RETURN;
  END IF;

  FOR command IN
    WITH roles (name, writes) AS (
      SELECT r.rolname, r.rolname = 'owd_writer' FROM pg_roles r WHERE r.rolname IN ('owd_reader', 'owd_writer')
    ), relations (name, relkind, comment) AS (
      SELECT c.relname, c.relkind, coalesce (obj_description (c.oid, 'pg_class'), 'private')
        FROM pg_class c WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    ), functions (name, kind, comment) AS (
      SELECT format ('owd.%I (%s)', p.proname, pg_get_function_identity_arguments (p.oid)), p.provolatile,
             coalesce (obj_description (p.oid, 'pg_proc'), 'private')
        FROM pg_proc p WHERE p.pronamespace = 'owd'::regnamespace
    ), tables (name, rights) AS (VALUES
      ('schema_code', 'SELECT'), ('log', 'SELECT, INSERT'), ('partition', 'SELECT, INSERT, UPDATE'),
      ('point', 'SELECT, INSERT, UPDATE (name)'), ('path', 'SELECT, INSERT, UPDATE (first_ts, last_ts, floor_ns)'),
      ('exporter', 'SELECT, INSERT, UPDATE'), ('collection', 'SELECT, INSERT, UPDATE'), ('sample', 'SELECT, INSERT'), ('excess', 'SELECT, INSERT'), ('tally', 'SELECT, INSERT'),
      ('rollup', 'SELECT, INSERT, DELETE'), ('edge', 'SELECT, INSERT, DELETE'), ('resolution', 'SELECT, UPDATE'), ('profile', 'SELECT, INSERT'),
      ('profile_use', 'SELECT, INSERT'), ('share_use', 'SELECT, INSERT, UPDATE, DELETE'),
      ('clock_relation', 'SELECT, INSERT'), ('clock_offset', 'SELECT, INSERT'),
      ('event_mark', 'SELECT, UPDATE'), ('event', 'SELECT, INSERT'), ('alarm', 'SELECT, INSERT'),
      ('event_mark', 'SELECT'), ('event', 'SELECT'), ('alarm', 'SELECT'),
      ('probe_run', 'SELECT, INSERT, UPDATE (summary)'), ('probe_packet', 'SELECT, INSERT'),
      ('probe_route', 'SELECT, INSERT, UPDATE'), ('probe_route_change', 'SELECT, INSERT'),
      ('validation_row', 'SELECT, INSERT, UPDATE'), ('calibration_row', 'SELECT, INSERT, UPDATE')
    ), commands (place, text) AS (
      SELECT 1, 'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA owd FROM PUBLIC'
      UNION ALL SELECT 1, format ('REVOKE ALL ON ALL %s IN SCHEMA owd FROM %I', o.kind, r.name)
        FROM roles r, (VALUES ('TABLES'), ('SEQUENCES'), ('FUNCTIONS')) o (kind)
      UNION ALL SELECT 2, format ('GRANT USAGE ON SCHEMA owd TO %I', r.name) FROM roles r
      UNION ALL SELECT 2, format ('GRANT SELECT ON owd.%I TO %I', t.name, r.name) FROM roles r, relations t
        WHERE t.name = 'schema_step' OR (t.relkind = 'v' AND t.comment !~ 'private')
      UNION ALL SELECT 2, format ('GRANT EXECUTE ON FUNCTION %s TO %I', f.name, r.name) FROM roles r, functions f
        WHERE r.writes OR f.kind = 'i' OR (f.kind = 's' AND f.comment !~ 'private')
      UNION ALL SELECT 2, format ('GRANT %s ON owd.%I TO %I', t.rights, t.name, r.name) FROM roles r, tables t
        WHERE r.writes
    )
    SELECT c.text FROM commands c ORDER BY c.place
  LOOP
    EXECUTE command;
  END LOOP;
  UPDATE owd.schema_code SET rights = known;
END
$$;
COMMENT ON FUNCTION owd.give_rights () IS 'Makes the roles owd_reader and owd_writer where it may, and gives them their rights; private.';
