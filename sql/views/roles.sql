-- SPDX-License-Identifier: Apache-2.0
--
-- A timeout of a group role does not reach its members when they log in, so each of them is looked at.
CREATE OR REPLACE VIEW owd.roles AS
WITH groups (role, use) AS (VALUES ('owd_reader', 'reads'), ('owd_writer', 'writes'))
SELECT g.role, NULL::text AS login, coalesce (c.rights ~ (g.role || ' ' || r.oid::text || '(,|$)'), false) AS ready,
       CASE WHEN r.oid IS NULL
            THEN format ('missing: run `oneway db migrate` as a user with CREATEROLE, or CREATE ROLE %s NOLOGIN and migrate again', g.role)
            WHEN NOT coalesce (c.rights ~ (g.role || ' ' || r.oid::text || '(,|$)'), false)
            THEN 'has no rights here yet: run `oneway db migrate` as the owner of the schema' END AS advice
  FROM groups g
  LEFT JOIN pg_roles r ON r.rolname = g.role
  LEFT JOIN owd.schema_code c ON true
UNION ALL
SELECT g.role, m.rolname::text, g.role = 'owd_writer' OR t.bounded,
       CASE WHEN g.role = 'owd_reader' AND NOT t.bounded
            THEN format ('may ask without end: ALTER ROLE %I SET statement_timeout = %L', m.rolname, '30s') END
  FROM groups g
  JOIN pg_roles r ON r.rolname = g.role
  JOIN pg_roles m ON m.oid <> r.oid AND m.rolcanlogin AND NOT m.rolsuper AND pg_has_role (m.oid, r.oid, 'USAGE')
  CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_db_role_setting s, unnest (s.setconfig) k (setting)
                    WHERE s.setrole IN (0, m.oid)
                      AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database ()))
                      AND k.setting ~ '^statement_timeout=' AND k.setting !~ '=0') AS bounded) t;

COMMENT ON VIEW owd.roles IS 'The group roles that rights are given to, and the logins that have them; shared by all databases of the cluster.';
COMMENT ON COLUMN owd.roles.role IS 'owd_reader (public views and functions) or owd_writer (what the daemons do).';
COMMENT ON COLUMN owd.roles.login IS 'Role with login that is a member of it; NULL: the row is about the group role itself.';
COMMENT ON COLUMN owd.roles.ready IS 'There, with its rights in this database; for a login that reads: with a statement_timeout.';
COMMENT ON COLUMN owd.roles.advice IS 'What to do; NULL: nothing.';
