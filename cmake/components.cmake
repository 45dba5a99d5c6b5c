# SPDX-License-Identifier: Apache-2.0

# owd_add_library (NAME SOURCES ... DEPENDS ...): one static library per box of the architecture. Its folder is its
# public include directory; DEPENDS are the only folders that it may include from.
function (owd_add_library name)
  cmake_parse_arguments (A "" "" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  add_library (${name} STATIC ${A_SOURCES})
  target_include_directories (${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries (${name} PUBLIC PkgConfig::GLIB ${A_DEPENDS} PRIVATE ${A_PRIVATE})
  string (REPLACE "_" "-" domain ${name})
  target_compile_definitions (${name} PRIVATE G_LOG_DOMAIN="${domain}")
endfunction ()

# owd_add_program (oneway-NAME SOURCES ... DEPENDS ...): an installed program in build/bin.
function (owd_add_program name)
  cmake_parse_arguments (A "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable (${name} ${A_SOURCES})
  target_link_libraries (${name} PRIVATE PkgConfig::GLIB ${A_DEPENDS})
  target_compile_definitions (${name} PRIVATE G_LOG_DOMAIN="${name}" OWD_VERSION="${PROJECT_VERSION}")
  install (TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction ()

# owd_hot (LIBRARY...): what works on every record, compiled for speed in a release, and as one piece where the compiler
# can: calls between these libraries are many and short.
include (CheckIPOSupported)
check_ipo_supported (RESULT OWD_LTO OUTPUT why_no_lto LANGUAGES C)
function (owd_hot)
  if (OWD_SANITIZE OR OWD_FUZZ)
    return ()
  endif ()
  foreach (library ${ARGN})
    target_compile_options (${library} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O3>)
    set_target_properties (${library} PROPERTIES INTERPROCEDURAL_OPTIMIZATION_RELEASE ${OWD_LTO}
      INTERPROCEDURAL_OPTIMIZATION_RELWITHDEBINFO ${OWD_LTO})
  endforeach ()
endfunction ()
