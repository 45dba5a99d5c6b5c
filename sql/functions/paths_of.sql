-- SPDX-License-Identifier: Apache-2.0
--
-- The paths from src to dst: none where both points are known but no sample was ever made between them; more than one
-- where a name belongs to several exporter states (a router that came back with another address).
CREATE OR REPLACE FUNCTION owd.paths_of (src text, dst text) RETURNS integer[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY[src, dst] LOOP
    IF NOT EXISTS (SELECT FROM owd.point p WHERE p.name = wanted) THEN
      RAISE EXCEPTION 'no observation point is named %', coalesce ('"' || wanted || '"', 'NULL')
        USING ERRCODE = 'undefined_object',
              HINT = 'The names are shown by `oneway paths`, or SELECT src, dst FROM owd.paths.';
    END IF;
  END LOOP;
  RETURN ARRAY (SELECT p.path_id
                  FROM owd.path p
                  JOIN owd.point a ON a.point_id = p.src_id
                  JOIN owd.point b ON b.point_id = p.dst_id
                 WHERE a.name = src AND b.name = dst);
END
$$;
COMMENT ON FUNCTION owd.paths_of (text, text) IS 'Ids of the paths from src to dst, an error for an unknown name; private.';
