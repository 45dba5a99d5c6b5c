/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-error.h"

G_DEFINE_QUARK (owd - error - quark, owd_error)

const char *
owd_status_text (OwdStatus status)
{
  switch (status) {
  case OWD_STATUS_OK:
    return "fine";
  case OWD_STATUS_END:
    return "nothing more for now";
  case OWD_STATUS_LATE:
    return "older than the watermark";
  case OWD_STATUS_FULL:
    return "table or disk full";
  case OWD_STATUS_GAP:
    return "data removed by retention";
  case OWD_STATUS_DUPLICATE:
    return "seen before";
  case OWD_STATUS_SHORT:
    return "ends inside a field";
  case OWD_STATUS_VERSION:
    return "not a known format";
  case OWD_STATUS_LENGTH:
    return "contradicting length";
  case OWD_STATUS_MALFORMED:
    return "malformed";
  case OWD_STATUS_CHECKSUM:
    return "damaged";
  case OWD_STATUS_LIMIT:
    return "over a limit";
  }
  return "unknown status";
}

int
owd_error_exit_status (const GError *error)
{
  if (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG) || error->domain == G_OPTION_ERROR)
    return OWD_EXIT_USAGE;
  return OWD_EXIT_FAILED;
}
