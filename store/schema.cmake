# SPDX-License-Identifier: Apache-2.0
#
# cmake -DSQL_DIR=sql -DOUT=schema.c -P schema.cmake: the SQL files as C strings, so that a program carries the schema
# that it needs. File names decide about the order.

function (c_string file out)
  file (READ "${file}" text)
  string (REPLACE "\\" "\\\\" text "${text}")
  string (REPLACE "\"" "\\\"" text "${text}")
  string (REPLACE "\n" "\\n\"\n    \"" text "${text}")
  set (${out} "\"${text}\"" PARENT_SCOPE)
endfunction ()

function (c_table name files out)
  set (body "")
  foreach (file IN LISTS files)
    get_filename_component (base "${file}" NAME_WE)
    set (step 0)
    if (base MATCHES "^([0-9][0-9][0-9][0-9])_")
      math (EXPR step "1${CMAKE_MATCH_1} - 10000") # no octal
    endif ()
    c_string ("${file}" text)
    string (APPEND body "  { ${step}, \"${base}\",\n    ${text} },\n")
  endforeach ()
  set (${out} "const OwdSqlFile ${name}[] = {\n${body}};\n" PARENT_SCOPE)
endfunction ()

file (GLOB steps "${SQL_DIR}/schema/*.sql")
file (GLOB functions "${SQL_DIR}/functions/*.sql")
file (GLOB views "${SQL_DIR}/views/*.sql")
list (SORT steps)
list (SORT functions)
list (SORT views)
set (code ${functions} ${views})

set (all "")
foreach (file IN LISTS code)
  file (SHA256 "${file}" one)
  string (APPEND all "${one}")
endforeach ()
string (SHA256 digest "${all}")

c_table (OWD_SQL_STEPS "${steps}" steps_c)
c_table (OWD_SQL_CODE "${code}" code_c)
file (WRITE "${OUT}" "/* Made from sql/ by store/schema.cmake. */
#include \"store-private.h\"

${steps_c}
const guint OWD_SQL_N_STEPS = G_N_ELEMENTS (OWD_SQL_STEPS);

${code_c}
const guint OWD_SQL_N_CODE = G_N_ELEMENTS (OWD_SQL_CODE);

const char OWD_SQL_CODE_DIGEST[] = \"${digest}\";
")
