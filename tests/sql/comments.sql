-- SPDX-License-Identifier: Apache-2.0
--
-- Every object says what it is; public columns and functions say their unit, and delays what a positive one means.
CREATE FUNCTION test.none (what text, names text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  ASSERT names IS NULL, format ('%s: %s', what, names);
END $$;

CREATE TEMP VIEW public_column AS
  SELECT c.relname, a.attname, coalesce (col_description (c.oid, a.attnum), '') AS comment
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind = 'v' AND obj_description (c.oid, 'pg_class') !~ 'private';
CREATE TEMP VIEW public_result AS
  SELECT p.proname, n.name, obj_description (p.oid, 'pg_proc') AS comment
    FROM pg_proc p, unnest (p.proargnames, p.proargmodes) n (name, mode)
   WHERE p.pronamespace = 'owd'::regnamespace AND n.mode = 't' AND obj_description (p.oid, 'pg_proc') !~ 'private';

SELECT test.none ('no comment', (SELECT string_agg (c.relname, ', ') FROM pg_class c
  WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND coalesce (obj_description (c.oid, 'pg_class'), '') = ''));
SELECT test.none ('no comment', (SELECT string_agg (p.oid::regprocedure::text, ', ') FROM pg_proc p
  WHERE p.pronamespace = 'owd'::regnamespace AND coalesce (obj_description (p.oid, 'pg_proc'), '') = ''));
SELECT test.none ('no comment', (SELECT string_agg (relname || '.' || attname, ', ') FROM public_column WHERE comment = ''));
SELECT test.none ('a table that does not say it is private', (SELECT string_agg (c.relname, ', ') FROM pg_class c
  WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND obj_description (c.oid, 'pg_class') !~ 'private'));
SELECT test.none ('no unit', (SELECT string_agg (relname || '.' || attname, ', ') FROM public_column, regexp_match (attname, '_(ms|ns|ppm|s|bytes|km)$') u (unit)
  WHERE unit IS NOT NULL AND comment !~ ('\m' || unit[1] || '\M')));
SELECT test.none ('no unit', (SELECT string_agg (proname || '.' || name, ', ') FROM public_result, regexp_match (name, '_(ms|ns|ppm|s|bytes|km)$') u (unit)
  WHERE unit IS NOT NULL AND comment !~ ('\m' || unit[1] || '\M')));
SELECT test.none ('no sign', (SELECT string_agg (relname || '.' || attname, ', ') FROM public_column
  WHERE attname ~ '(owd|shift|offset|skew|bias|step)_(ms|ppm)$' AND comment !~* 'positive|subtracted|resolution|step'));
SELECT test.none ('no sign', (SELECT string_agg (DISTINCT proname, ', ') FROM public_result
  WHERE name ~ '^(mean|p50|lo|mean_shift|mean_diff|offset)_ms$' AND proname NOT IN ('worst', 'rtt') AND comment !~* 'positive'));
DO $$
BEGIN
  ASSERT (SELECT count (*) FROM public_column) > 60 AND (SELECT count (*) FROM public_result) > 60;
END $$;
