-- SPDX-License-Identifier: Apache-2.0
--
-- Several Oneway databases read as one: an example that works as it is, and is tested. In a database of its own, as superuser:
--
--   psql -d everything -v shards='shard_1 shard_2' -v host=db.example.net -v login=grafana_remote -f shards.sql
--
-- shards: databases on `host`, each filled by a correlator of its own; login: a role there that is a member of owd_reader. Where the
-- shards are on several hosts, or a password is wanted, change the options of servers and user mappings.
-- Afterwards the schema everywhere has the views, with the shard that each row is from, and timeline() and matrix().
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE SCHEMA everywhere;
CREATE TABLE everywhere.shard (name name PRIMARY KEY, conninfo text NOT NULL);
INSERT INTO everywhere.shard
SELECT s, format ('host=%s dbname=%s user=%s', :'host', s, :'login') FROM unnest (string_to_array (:'shards', ' ')) s;

SELECT command FROM everywhere.shard s,
  LATERAL (VALUES (1, format ('CREATE SERVER %I FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, dbname %L, fetch_size ''10000'')', name, :'host', name)),
                  (2, format ('CREATE USER MAPPING FOR PUBLIC SERVER %I OPTIONS (user %L, password_required ''false'')', name, :'login')),
                  (3, format ('CREATE SCHEMA %I', name)),
                  (4, format ('IMPORT FOREIGN SCHEMA owd LIMIT TO (samples, paths, watermark, exporters, profiles, events, status) FROM SERVER %I INTO %I', name, name)))
          c (nr, command)
 ORDER BY s.name, nr
\gexec
SELECT format ('CREATE VIEW everywhere.%I AS ', v) || string_agg (format ('SELECT %L::text AS shard, * FROM %I.%I', s.name, s.name, v), ' UNION ALL ' ORDER BY s.name)
  FROM everywhere.shard s, unnest (ARRAY['samples', 'paths', 'exporters', 'profiles', 'events', 'status']) v GROUP BY v
\gexec
-- What is final in all of them: NULL where one has no watermark yet.
SELECT 'CREATE VIEW everywhere.watermark AS SELECT CASE WHEN count (ts) = count (*) THEN min (ts) END AS ts FROM ('
       || string_agg (format ('SELECT ts FROM %I.watermark', name), ' UNION ALL ') || ') w' FROM everywhere.shard
\gexec

-- A path lies in one shard as a whole; it is asked.
CREATE FUNCTION everywhere.timeline (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ms float8, mean_ms float8, stderr_ms float8, p05_ms float8, p50_ms float8,
               p95_ms float8, p99_ms float8, max_ms float8, ipdv_ms float8, loss float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
  home text;
BEGIN
  SELECT s.conninfo INTO STRICT home
    FROM everywhere.shard s JOIN everywhere.paths p ON p.shard = s.name
   WHERE p.src = timeline.src AND p.dst = timeline.dst;
  RETURN QUERY SELECT * FROM dblink (home, format ('SELECT * FROM owd.timeline (%L, %L, %L, %L, %L)', src, dst, from_ts, to_ts, step))
    AS t (bin timestamptz, n bigint, min_ms float8, mean_ms float8, stderr_ms float8, p05_ms float8, p50_ms float8, p95_ms float8,
          p99_ms float8, max_ms float8, ipdv_ms float8, loss float8);
END
$$;
CREATE FUNCTION everywhere.matrix (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (shard text, src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8,
               sigma_ms float8, loss float8, last_seen timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
  SELECT s.name::text, m.* FROM everywhere.shard s, LATERAL dblink (s.conninfo, format ('SELECT * FROM owd.matrix (%L, %L)', from_ts, to_ts))
    AS m (src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, sigma_ms float8, loss float8,
          last_seen timestamptz)
$$;
