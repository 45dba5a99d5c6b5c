-- SPDX-License-Identifier: Apache-2.0
--
-- Tables of a time range each: made when first needed, dropped as a whole. Making one beside its parent and attaching it
-- takes a lock that lets readers and writers go on (CREATE TABLE ... PARTITION OF would stop both); two writers that
-- want the same one wait for each other. With the rights of the owner, so that owd_writer needs no others.
--
-- The catalog is asked for the bounds themselves: names are for people, and tables of an older release are longer.
CREATE OR REPLACE FUNCTION owd.tables_of (parent regclass) RETURNS TABLE (name name, lo timestamptz, hi timestamptz)
LANGUAGE sql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
SET datestyle = ISO
SET timezone = UTC
BEGIN ATOMIC
  SELECT c.relname, b.bound[1]::timestamptz, b.bound[2]::timestamptz
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
   CROSS JOIN LATERAL regexp_match (pg_get_expr (c.relpartbound, c.oid), $$FROM \('([^']*)'\) TO \('([^']*)'\)$$) b (bound)
   WHERE i.inhparent = parent;
END;
COMMENT ON FUNCTION owd.tables_of (regclass) IS 'The tables of a time range each that a table consists of; private.';

CREATE OR REPLACE FUNCTION owd.add_table (parent name, ts timestamptz, span interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET datestyle = ISO
SET timezone = UTC
AS $$
DECLARE
  lo timestamptz := date_bin (span, ts, '1970-01-01+00');
  wide name;
  -- where the server has it: packs several times as fast as pglz; rows are up to a sixth larger
  quick boolean := (SELECT 'lz4' = ANY (s.enumvals) FROM pg_settings s WHERE s.name = 'default_toast_compression');
  child text := parent || to_char (lo, '_YYYYMMDD') || CASE WHEN span < interval '1 day' THEN to_char (lo, '_HH24') ELSE '' END;
BEGIN
  PERFORM pg_advisory_xact_lock (hashtextextended ('oneway add_table', 0));
  IF EXISTS (SELECT FROM owd.tables_of (format ('owd.%I', parent)::regclass) t WHERE ts >= t.lo AND ts < t.hi) THEN
    RETURN false;
  END IF;
  EXECUTE format ('CREATE TABLE owd.%I (LIKE owd.%I INCLUDING STORAGE INCLUDING COMPRESSION)', child, parent);
  -- ANALYZE would unpack each array to count its elements, for hours, and nobody asks for them
  FOR wide IN
    SELECT a.attname FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
     WHERE a.attrelid = format ('owd.%I', parent)::regclass AND y.typcategory = 'A' AND NOT a.attisdropped
  LOOP
    EXECUTE format ('ALTER TABLE owd.%I ALTER COLUMN %I SET STATISTICS 0', child, wide);
    IF quick THEN
      EXECUTE format ('ALTER TABLE owd.%I ALTER COLUMN %I SET COMPRESSION lz4', child, wide);
    END IF;
  END LOOP;
  EXECUTE format ('ALTER TABLE owd.%I ATTACH PARTITION owd.%I FOR VALUES FROM (%L) TO (%L)', parent, child, lo, lo + span);
  RETURN true;
END
$$;
COMMENT ON FUNCTION owd.add_table (name, timestamptz, interval) IS 'Makes the table of a time range, unless there is one that holds ts; private.';

CREATE OR REPLACE FUNCTION owd.add_samples (ts timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  span interval := (SELECT r.span FROM owd.resolution r WHERE r.width = 0);
  made boolean;
BEGIN
  IF ts IS NULL OR NOT isfinite (ts) THEN
    RAISE EXCEPTION 'owd.add_samples needs a finite time' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  made := owd.add_table ('sample', ts, span);
  PERFORM owd.add_table ('excess', ts, span), owd.add_table ('tally', ts, span);
  RETURN made;
END
$$;
COMMENT ON FUNCTION owd.add_samples (timestamptz) IS 'Makes the tables for what is delivered at ts; false: there was one for samples; private.';

CREATE OR REPLACE FUNCTION owd.add_rollups (ts timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT owd.add_table ((CASE WHEN r.width > 0 THEN 'rollup_' || r.width ELSE 'edge' END)::name, ts, r.span)
    FROM owd.resolution r WHERE r.width <> 0;
END;
COMMENT ON FUNCTION owd.add_rollups (timestamptz) IS 'Makes the tables for roll-ups of what was delivered at ts; private.';

-- Indexes of the tables that samples, excess and tallies of a time range are in: one path over time, and everything within a range.
-- To keep them while rows come costs the server more than the rows themselves; to make them at once, a third of that. So a table is
-- made without: it gets them when rows come no faster than time goes by, and while a backlog is worked off when nothing comes any
-- more. upto: of tables that end there or before; infinity: of all. The newest first, an hour's a call, since rows that come wait
-- for it. Returns whether there are more. Gives up where another call is at it, or something else has a table for two seconds.
-- Little memory: to sort what a processor's cache holds and merge that takes two thirds of the time of one sort in memory.
CREATE OR REPLACE FUNCTION owd.index_samples (upto timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET maintenance_work_mem = '8MB'
SET max_parallel_maintenance_workers = 0
AS $$
DECLARE
  children name[];
  child name;
BEGIN
  IF NOT pg_try_advisory_xact_lock (hashtextextended ('oneway index_samples', 0)) THEN
    RETURN false;
  END IF;
  children := ARRAY (
    SELECT t.name
      FROM unnest (ARRAY['owd.sample', 'owd.excess', 'owd.tally']::regclass[]) p (parent)
     CROSS JOIN LATERAL owd.tables_of (p.parent) t
     WHERE t.hi <= upto AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = format ('owd.%I', t.name)::regclass)
     ORDER BY t.hi DESC, t.name LIMIT 4);
  FOREACH child IN ARRAY children[:3] LOOP
    EXECUTE format ('CREATE INDEX ON owd.%I (path_id, ts)', child);
    EXECUTE format ('CREATE INDEX ON owd.%I USING brin (ts)', child);
  END LOOP;
  RETURN cardinality (children) > 3;
EXCEPTION
  WHEN lock_not_available OR undefined_table THEN RETURN false;
END
$$;
COMMENT ON FUNCTION owd.index_samples (timestamptz) IS 'Makes the indexes that tables of samples which end by then lack; true: more of them do; private.';

-- BRIN knows nothing of pages that were filled after the last vacuum, so whoever asks for a range of time reads all of these; and of a
-- table that is full vacuum leaves out the last fifth. So whoever has read a range back has it summarized. Gives up where something
-- else has the table for two seconds: the next call, or vacuum, does it.
CREATE OR REPLACE FUNCTION owd.summarize (from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
BEGIN
  PERFORM brin_summarize_new_values (i.indexrelid)
     FROM unnest (ARRAY['owd.sample', 'owd.excess', 'owd.tally']::regclass[]) p (parent)
    CROSS JOIN LATERAL owd.tables_of (p.parent) t
     JOIN pg_index i ON i.indrelid = format ('owd.%I', t.name)::regclass
     JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_am a ON a.oid = c.relam
    WHERE a.amname = 'brin' AND t.lo < to_ts AND t.hi > from_ts;
EXCEPTION
  WHEN lock_not_available THEN NULL;
END
$$;
COMMENT ON FUNCTION owd.summarize (timestamptz, timestamptz) IS 'Lets the indexes on time know what was written in a range; private.';

-- Retention. Time is the log's own (the watermark), not the server's clock: the replay of an old log keeps its samples.
-- Tables that ended longer than `keep` before it go, detached and dropped, once the roll-ups made from them are there.
-- Where a long reader holds its lock, this gives up after two seconds instead of making everyone queue behind it: call again later.
CREATE OR REPLACE FUNCTION owd.retain () RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  old record;
  dropped integer := 0;
BEGIN
  PERFORM FROM owd.resolution r WHERE r.width = 60 FOR UPDATE; -- as roll-ups do
  FOR old IN
    WITH filled AS (
      SELECT r.width, r.filled_to FROM owd.resolution r
    ), horizon AS (
      SELECT r.width, CASE WHEN r.keep > interval '0' THEN w.ts - r.keep ELSE '-infinity' END AS ts
        FROM owd.resolution r CROSS JOIN owd.watermark w
    ), parents (name, width, wish, needed) AS (
      SELECT 'sample', 0, 0, 3600 UNION ALL SELECT 'edge', -1, 0, -1
      UNION ALL SELECT 'tally', NULL, 0, 3600 UNION ALL SELECT 'excess', NULL, NULL, 60
      UNION ALL SELECT 'rollup_' || r.width, r.width, r.width, CASE r.width WHEN 86400 THEN 86400 WHEN 3600 THEN 86400 ELSE 3600 END
        FROM owd.resolution r WHERE r.width > 0
    )
    SELECT p.name AS parent, p.width, t.name AS child, t.hi
      FROM parents p
      JOIN filled f ON f.width = p.needed
      LEFT JOIN horizon h ON h.width = p.wish
     CROSS JOIN LATERAL owd.tables_of (format ('owd.%I', p.name)::regclass) t
     WHERE t.hi <= f.filled_to AND (p.wish IS NULL OR t.hi <= h.ts)
     ORDER BY t.hi
  LOOP
    EXECUTE format ('ALTER TABLE owd.%I DETACH PARTITION owd.%I', old.parent, old.child);
    EXECUTE format ('DROP TABLE owd.%I', old.child);
    UPDATE owd.resolution r SET kept_from = greatest (r.kept_from, old.hi) WHERE r.width = old.width;
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$$;
COMMENT ON FUNCTION owd.retain () IS 'Drops what is older than owd.resolution says; returns how many tables; private.';
