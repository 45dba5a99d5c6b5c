/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: the database judges what has become final (sql/functions/evaluate_events.sql), in the log's time and in
 * portions; here are only the rules, and when to ask.
 */
#include "program.h"

#define EVALUATE_EVERY_US (5 * G_USEC_PER_SEC)
#define EVALUATE_FOR_US (250 * 1000) /* in a row; then samples have their turn */

static OwdEventRules
rules (const OwdConfig *c)
{
  return (OwdEventRules){ .threshold_ns = owd_config_duration_ns (c, "events", "threshold"),
                          .level_shift_ns = owd_config_duration_ns (c, "events", "level-shift"),
                          .silent_ns = owd_config_duration_ns (c, "events", "silent"),
                          .stalled_ns = owd_config_duration_ns (c, "events", "stalled"),
                          .loss = owd_config_double (c, "events", "loss"),
                          .distribution = owd_config_double (c, "events", "distribution"),
                          .raise_after = (guint) owd_config_int (c, "events", "raise-after"),
                          .clear_after = (guint) owd_config_int (c, "events", "clear-after") };
}

gboolean
events_finish (Worker *w, GError **error)
{
  OwdEventRules wanted = rules (w->program->config);
  gboolean more = TRUE;

  while (more && !program_stopped (w->program))
    if (!owd_store_evaluate (w->store, &wanted, &more, error))
      return FALSE;
  return TRUE;
}

void
events_evaluate (Worker *w)
{
  OwdEventRules wanted = rules (w->program->config);
  gint64 begun = g_get_monotonic_time ();
  gboolean more = TRUE;

  if (begun - w->evaluated_us < EVALUATE_EVERY_US)
    return;
  while (more && g_get_monotonic_time () - begun < EVALUATE_FOR_US) {
    g_autoptr (GError) error = NULL;

    if (!owd_store_evaluate (w->store, &wanted, &more, &error)) {
      g_info ("%s", error->message);
      break;
    }
  }
  w->evaluated_us = g_get_monotonic_time ();
}
