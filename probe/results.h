/* SPDX-License-Identifier: Apache-2.0
 *
 * Results on their way to the database, as the JSON lines that are also printed. The measuring thread only appends to
 * memory; a thread of its own does what may take long. Where the database is away, lines go to files of a spool
 * directory, if there is one, and from there later, by whoever uses that directory next; without one they wait in
 * memory, and the oldest are given up when there are too many. Lines have keys, so nothing gets in twice.
 */
#ifndef OWD_PROBE_RESULTS_H
#define OWD_PROBE_RESULTS_H

#include "owd-store.h"

#include <stdio.h>

typedef struct OwdProbeWriter OwdProbeWriter;

/* conninfo: NULL spools only. spool: NULL: none; made where it is missing. keep_ns: retention, 0: for ever. A database
 * that is away is no error here; one that refuses, or has no schema or another one, is. */
OwdProbeWriter *owd_probe_writer_new (const char *conninfo, const char *spool, gint64 keep_ns,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Where to print whole lines to: memory, good until the next _tick or _close. */
FILE *owd_probe_writer_out (OwdProbeWriter *self);
/* Hands over what has gathered once it is a second old, or much. now: any clock that is never set. Never blocks. */
void owd_probe_writer_tick (OwdProbeWriter *self, OwdTime now);
/* Hands over the rest, waits for the thread, frees. Returns: FALSE with error set where results were lost or refused;
 * what is left in the spool is neither. NULL is fine. */
gboolean owd_probe_writer_close (OwdProbeWriter *self, GError **error);

/* Loads the files of a spool directory, and removes them. What is no file of results stays, named in a warning and
 * counted in *ret_left. FALSE: the directory cannot be read, or the database is away. */
gboolean owd_probe_spool_load (OwdStore *store, const char *spool, guint *ret_loaded, guint *ret_left,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
