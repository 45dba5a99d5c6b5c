/* SPDX-License-Identifier: Apache-2.0
 *
 * Looks after a spool directory in a thread of its own: puts what is complete into the database, and gives up the
 * oldest where it grows beyond its size. Whoever measures knows nothing of it.
 */
#ifndef OWD_PROBE_KEEPER_H
#define OWD_PROBE_KEEPER_H

#include <glib.h>

typedef struct OwdProbeKeeper OwdProbeKeeper;

typedef struct {
  const char *spool;
  guint64 size;         /* bytes that may wait */
  gboolean store;       /* FALSE: only the size is kept */
  const char *conninfo; /* "": the environment's */
  gint64 keep_ns;       /* results in the database are removed after this; 0: never */
} OwdProbeKeeperConfig;

/* cfg: borrowed, copied. The directory is made where it is missing. */
OwdProbeKeeper *owd_probe_keeper_new (const OwdProbeKeeperConfig *cfg, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* One last try, then frees. NULL is fine. */
void owd_probe_keeper_end (OwdProbeKeeper *self);

#endif
