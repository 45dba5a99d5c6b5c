/* SPDX-License-Identifier: Apache-2.0
 *
 * Observation points: exporter states under the names that users gave them, and what owd.exporters shows of them.
 */
#include "program.h"

#include "owd-lognotes.h"

static GArray *
known_states (Program *p, const OwdStateKey *key)
{
  GArray *states = g_hash_table_lookup (p->exporters, key);

  if (states == NULL) {
    states = g_array_new (FALSE, TRUE, sizeof (OwdCorrelatorState));
    g_array_set_size (states, p->info.partitions);
    g_hash_table_insert (p->exporters, g_memdup2 (key, sizeof *key), states);
  }
  return states;
}

/* Makes what the engine knows of its exporters known to all, and numbers new ones for this worker. */
void
points_note (Part *part)
{
  Worker *w = part->worker;
  guint n = owd_correlator_n_states (part->engine);

  g_mutex_lock (&w->program->lock);
  for (guint i = 0; i < n; i++) {
    OwdCorrelatorState *shared, now;
    guint number;

    owd_correlator_state (part->engine, i, &now);
    shared = &g_array_index (known_states (w->program, &now.key), OwdCorrelatorState, part->part);
    *shared = now;
    number = GPOINTER_TO_UINT (g_hash_table_lookup (w->point_numbers, &now.key));
    if (number == 0) {
      number = w->points->len + 1;
      g_ptr_array_add (w->points, g_memdup2 (&now.key, sizeof now.key));
      g_hash_table_insert (w->point_numbers, g_ptr_array_index (w->points, number - 1), GUINT_TO_POINTER (number));
    }
    if (i >= part->point_of->len) {
      number--;
      g_array_append_val (part->point_of, number);
    }
  }
  g_mutex_unlock (&w->program->lock);
}

/* Registers this worker's points, with the names that all states known by now give them. */
gboolean
points_register (Worker *w, GError **error)
{
  g_autofree OwdPoint *points = g_new0 (OwdPoint, w->points->len);

  g_mutex_lock (&w->program->lock);
  for (guint i = 0; i < w->points->len; i++) {
    g_autofree char *name = NULL;

    points[i].key = *(const OwdStateKey *) g_ptr_array_index (w->points, i);
    name = owd_config_point_name (w->program->config, &points[i].key, w->program->exporters);
    g_strlcpy (points[i].name, name, sizeof points[i].name);
  }
  g_mutex_unlock (&w->program->lock);
  return owd_store_points (w->store, points, w->points->len, error);
}

/* One row of owd.exporters from what the partitions have seen of a state. */
static OwdExporterRow
exporter_row (Program *p, const OwdStateKey *key, const GArray *states)
{
  OwdExporterRow row = { .key = *key,
                         .boot_lo_ns = OWD_TIME_NONE,
                         .boot_hi_ns = OWD_TIME_NONE,
                         .lag_p50_ns = OWD_TIME_NONE,
                         .lag_p99_ns = OWD_TIME_NONE };
  g_autofree char *name = owd_config_point_name (p->config, key, p->exporters);

  g_strlcpy (row.name, name, sizeof row.name);
  for (guint i = 0; i < states->len; i++) {
    const OwdCorrelatorState *s = &g_array_index (states, OwdCorrelatorState, i);

    if (s->last_ns == 0)
      continue;
    row.first_ns = row.first_ns == 0 ? s->first_ns : MIN (row.first_ns, s->first_ns);
    row.last_ns = MAX (row.last_ns, s->last_ns);
    row.records += s->records;
    row.segments = MAX (row.segments, s->segments);
    row.lag_p50_ns = MAX (row.lag_p50_ns, s->lag_p50_ns);
    row.lag_p99_ns = MAX (row.lag_p99_ns, s->lag_p99_ns);
    row.sampling = MAX (row.sampling, s->sampling);
    row.start_step_ns = MAX (row.start_step_ns, s->start_step_ns);
    row.end_step_ns = MAX (row.end_step_ns, s->end_step_ns);
    if (s->boot_lo_ns != OWD_TIME_NONE
        && (row.boot_lo_ns == OWD_TIME_NONE || s->boot_hi_ns - s->boot_lo_ns < row.boot_hi_ns - row.boot_lo_ns)) {
      row.boot_lo_ns = s->boot_lo_ns;
      row.boot_hi_ns = s->boot_hi_ns;
    }
  }
  return row;
}

static void
add_note (OwdExporterRow *row, const OwdLogExporterNote *note)
{
  row->is_noted = TRUE;
  row->datagrams = note->datagrams;
  row->received = note->records;
  row->lost = note->lost;
  row->reordered = note->reordered;
  row->restarts = note->restarts;
  row->given_up = note->given_up;
  row->malformed = note->malformed;
  row->over_limit = note->over_limit;
  row->clock_lag_ns = note->clock_lag_ns;
}

static gboolean
write_collector (Worker *w, const OwdLogCollectorNote *note, GError **error)
{
  const OwdCollectorRow row = { .since_ns = note->since_ns,
                                .at_ns = note->at_ns,
                                .states = note->states,
                                .max_states = note->max_states,
                                .kernel_dropped = note->kernel_dropped,
                                .buffer_asked = note->buffer_asked,
                                .buffer_got = note->buffer_got,
                                .disallowed = note->disallowed,
                                .unattributed = note->unattributed,
                                .over_limit = note->over_limit,
                                .log_dropped = note->log_dropped,
                                .memory_used = note->memory_used,
                                .memory_max = note->memory_max,
                                .memory_refused = note->memory_refused };

  return owd_store_collector (w->store, &row, error);
}

/* By OwdStateKey, which lies in the notes. notes: NULL is none. */
static GHashTable *
index_notes (const GArray *notes)
{
  GHashTable *by_key = g_hash_table_new (owd_state_key_hash, owd_state_key_equal);

  for (guint i = 0; notes != NULL && i < notes->len; i++) {
    OwdLogExporterNote *note = &g_array_index (notes, OwdLogExporterNote, i);

    g_hash_table_insert (by_key, &note->key, note);
  }
  return by_key;
}

gboolean
points_write_exporters (Worker *w, GError **error)
{
  Program *p = w->program;
  OwdLogCollectorNote collector;
  g_autoptr (GArray) notes = owd_log_notes_read (p->log_dir, &collector);
  g_autoptr (GHashTable) by_key = index_notes (notes);
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (OwdExporterRow));
  GHashTableIter iter;
  gpointer key, states;

  g_mutex_lock (&p->lock);
  g_hash_table_iter_init (&iter, p->exporters);
  while (g_hash_table_iter_next (&iter, &key, &states)) {
    OwdExporterRow row = exporter_row (p, key, states);
    const OwdLogExporterNote *note = g_hash_table_lookup (by_key, key);

    if (note != NULL)
      add_note (&row, note);
    g_array_append_val (rows, row);
  }
  g_mutex_unlock (&p->lock);
  return owd_store_exporters (w->store, (const OwdExporterRow *) rows->data, rows->len, error)
         && (notes == NULL || write_collector (w, &collector, error));
}
