-- SPDX-License-Identifier: Apache-2.0
--
-- The path from src to dst; NULL where both points are known but no sample was ever made between them.
CREATE OR REPLACE FUNCTION owd.path_of (src text, dst text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted text;
  ids integer[];
  id integer;
BEGIN
  FOREACH wanted IN ARRAY ARRAY[src, dst] LOOP
    SELECT p.point_id INTO id FROM owd.point p WHERE p.name = wanted;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'no observation point is named %', coalesce ('"' || wanted || '"', 'NULL')
        USING ERRCODE = 'undefined_object', HINT = 'The names are shown by `oneway paths`, or SELECT src, dst FROM owd.paths.';
    END IF;
    ids := ids || id;
  END LOOP;
  RETURN (SELECT p.path_id FROM owd.path p WHERE p.src_id = ids[1] AND p.dst_id = ids[2]);
END
$$;
COMMENT ON FUNCTION owd.path_of (text, text) IS 'Id of the path from src to dst, NULL where there is none, an error for an unknown name; private.';
