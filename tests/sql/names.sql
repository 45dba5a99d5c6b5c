-- SPDX-License-Identifier: Apache-2.0
--
-- A name is data, whatever it looks like: every public function gives the same for points with evil names as for the
-- same points with plain ones, an unknown evil name is an error that tells it, and nothing is gone afterwards.
SELECT test.fill (test.path ('a', 'b'), 300, '2026-11-22 06:00', '2026-11-22 07:00');
SELECT test.fill (test.path ('b', 'a'), 300, '2026-11-22 06:00', '2026-11-22 07:00');

-- A call of each public function that takes names: %1$L and %2$L are the names.
CREATE TEMP TABLE call (proname name, text text);
INSERT INTO call
SELECT p.proname, format ('SELECT count (*), md5 (string_agg (f::text, '' '' ORDER BY f::text)) FROM owd.%I (%s) f', p.proname,
               string_agg (CASE format_type (t.type, NULL)
                             WHEN 'text[]' THEN 'ARRAY[%1$L, %2$L]'
                             WHEN 'text' THEN CASE t.nr WHEN 1 THEN '%1$L' ELSE '%2$L' END
                             WHEN 'interval' THEN '''10 min'''
                             WHEN 'timestamp with time zone' THEN format ('%L', timestamptz '2026-11-22 06:00+00' + (t.nr - 1) * interval '20 min')
                             ELSE '3' END, ', ' ORDER BY t.nr))
  FROM pg_proc p, unnest (p.proargtypes::oid[]) WITH ORDINALITY t (type, nr)
 WHERE p.pronamespace = 'owd'::regnamespace AND p.provolatile = 's' AND obj_description (p.oid, 'pg_proc') !~ 'private'
 GROUP BY p.oid, p.proname
HAVING bool_or (format_type (t.type, NULL) LIKE 'text%');

DO $do$
<<names>>
DECLARE
  evil text[] := ARRAY['''; DROP TABLE owd.sample; --', '"; DROP TABLE owd.sample; --', '%s %I %L %1$s %n', 'a''b''''c', 'back\slash', '$1', '$$', '{b,"c}',
                       '(,)', ' ', E'line\nfeed\ttab', 'Zürich → 東京', repeat ('x', 500), '-- ', '/*', 'pg_sleep (9)', E'\\''; SELECT 1', 'NULL', 'a%', 'A'];
  wanted text;
  got text;
  n bigint;
  c record;
  name text;
BEGIN
  ASSERT (SELECT count (*) FROM call) >= 4, 'functions found: ' || (SELECT string_agg (proname, ' ') FROM call);
  FOR c IN SELECT * FROM call LOOP
    EXECUTE format (c.text, 'a', 'b') INTO n, wanted;
    ASSERT n > 0, c.proname || ' has nothing to compare';
    FOREACH name IN ARRAY evil LOOP
      PERFORM test.fails (format (c.text, name, 'b'), '%no observation point is named%');
      PERFORM test.fails (format (c.text, 'b', name), '%no observation point is named%');
      UPDATE owd.point p SET name = evil.name FROM (SELECT name) evil WHERE p.name = 'a';
      EXECUTE format (c.text, name, 'b') INTO n, got;
      ASSERT got = wanted, format ('%s with the name %s', c.proname, name);
      UPDATE owd.point p SET name = 'a' WHERE p.name = names.name;
    END LOOP;
  END LOOP;
  ASSERT (SELECT count (*) FROM owd.sample) = 600;
END $do$;
