# SPDX-License-Identifier: Apache-2.0
# One warning set for everything that is built here, in every build type; all of them are errors.
add_compile_options (
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wundef
  -Wformat=2 -Wvla -Wcast-qual -Wredundant-decls -Wold-style-definition -Wimplicit-fallthrough
  -fno-common -fstack-protector-strong)
add_compile_definitions (_GNU_SOURCE)
if (NOT OWD_SANITIZE AND NOT OWD_FUZZ)
  add_compile_definitions ($<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
endif ()
add_link_options (-Wl,-z,relro,-z,now)

if (OWD_SANITIZE)
  add_compile_options (-fsanitize=${OWD_SANITIZE} -fno-omit-frame-pointer)
  add_link_options (-fsanitize=${OWD_SANITIZE})
  if (OWD_SANITIZE MATCHES undefined)
    add_compile_options (-fno-sanitize-recover=undefined)
  endif ()
endif ()
if (OWD_FUZZ)
  add_compile_options (-fsanitize=fuzzer-no-link)
endif ()
