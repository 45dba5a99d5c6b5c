/* SPDX-License-Identifier: Apache-2.0
 *
 * Two ways to fail, as docs/design/architecture.md tells:
 *
 *   set-up and edges   gboolean or object plus GError in OWD_ERROR; the program logs it once
 *   data path          OwdStatus: 0 fine, positive a normal outcome, negative malformed input;
 *                      never a log line per record, always a counter
 */
#ifndef OWD_ERROR_H
#define OWD_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

#define OWD_ERROR (owd_error_quark ())

typedef enum {
  OWD_ERROR_CONFIG,  /* the user's settings or command line: exit status 2 */
  OWD_ERROR_IO,      /* file system or socket; the message names file or address */
  OWD_ERROR_FULL,    /* no space left: worth another try later */
  OWD_ERROR_CORRUPT, /* stored or captured data is not what it should be; message has the offset */
  OWD_ERROR_DB,      /* the database refused: not worth a try with the same input */
  OWD_ERROR_DB_AWAY, /* the database cannot be reached, or went away: worth another try */
  OWD_ERROR_FENCED,  /* another process owns this partition now: stop writing */
  OWD_ERROR_FAILED,  /* everything else */
} OwdError;

GQuark owd_error_quark (void);

typedef enum {
  OWD_STATUS_OK = 0,
  OWD_STATUS_END = 1,        /* nothing more for now */
  OWD_STATUS_LATE = 2,       /* older than the watermark: counted, dropped */
  OWD_STATUS_FULL = 3,       /* stored, but something else was shed for it, or a table is full */
  OWD_STATUS_GAP = 4,        /* data between the asked and the given position are gone (retention) */
  OWD_STATUS_DUPLICATE = 5,  /* seen before: counted, dropped */
  OWD_STATUS_SHORT = -1,     /* ends inside a field */
  OWD_STATUS_VERSION = -2,   /* not a format that we know */
  OWD_STATUS_LENGTH = -3,    /* a length that contradicts its surroundings */
  OWD_STATUS_MALFORMED = -4, /* any other contradiction */
  OWD_STATUS_CHECKSUM = -5,  /* stored data damaged */
  OWD_STATUS_LIMIT = -6,     /* a stated limit (states, templates, memory) refuses it */
} OwdStatus;

/* Static text, never NULL. */
const char *owd_status_text (OwdStatus status);

/* Exit status of every program. */
enum {
  OWD_EXIT_DONE = 0,
  OWD_EXIT_FAILED = 1,
  OWD_EXIT_USAGE = 2,
  OWD_EXIT_NOTHING = 3,
};

/* OWD_EXIT_USAGE for OWD_ERROR_CONFIG and GOption's errors, else OWD_EXIT_FAILED. */
int owd_error_exit_status (const GError *error);

G_END_DECLS

#endif
