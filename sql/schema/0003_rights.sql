-- SPDX-License-Identifier: Apache-2.0
--
-- Step 3: roles. They belong to the cluster, not to the database, and may come later than the schema: what they were
-- given last is noted here, so that owd.give_rights() knows when to do it again.
ALTER TABLE owd.schema_code ADD COLUMN rights text;
COMMENT ON COLUMN owd.schema_code.rights IS 'Roles, with their oids, that have been given their rights on what is there now; NULL: none yet.';
