/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of words and numbers, separated by spaces; the first word says what the line is about. A line of the first
 * version with numbers missing makes the file one that is not understood: better no counters than wrong ones.
 */
#include "owd-lognotes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME "collector.notes"
#define TITLE "oneway-collector-notes 2"

gboolean
owd_log_notes_write (const char *dir, const OwdLogCollectorNote *collector, const OwdLogExporterNote *exporters,
                     gsize n, GError **error)
{
  g_autofree char *path = g_build_filename (dir, NAME, NULL);
  g_autoptr (GString) out = g_string_new (TITLE "\n");

  g_string_append_printf (out,
                          "collector %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                          " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                          collector->since_ns, collector->at_ns, collector->states, collector->max_states,
                          collector->kernel_dropped, collector->buffer_asked, collector->buffer_got,
                          collector->disallowed, collector->unattributed, collector->over_limit, collector->log_dropped,
                          collector->memory_used, collector->memory_max, collector->memory_refused);
  for (gsize i = 0; i < n; i++) {
    const OwdLogExporterNote *e = &exporters[i];
    char addr[OWD_ADDR_TEXT];

    g_string_append_printf (out,
                            "exporter %s %" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                            " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 "\n",
                            owd_addr_text (&e->key.addr, addr), e->key.domain, e->key.version, e->datagrams, e->records,
                            e->lost, e->reordered, e->restarts, e->given_up, e->malformed, e->over_limit,
                            e->clock_lag_ns);
  }
  if (g_file_set_contents_full (path, out->str, (gssize) out->len, G_FILE_SET_CONTENTS_CONSISTENT, 0644, NULL))
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write %s", path);
  return FALSE;
}

static gboolean
read_collector (const char *line, OwdLogCollectorNote *c)
{
  return sscanf (line,
                 "collector %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                 &c->since_ns, &c->at_ns, &c->states, &c->max_states, &c->kernel_dropped, &c->buffer_asked,
                 &c->buffer_got, &c->disallowed, &c->unattributed, &c->over_limit, &c->log_dropped, &c->memory_used,
                 &c->memory_max, &c->memory_refused)
         == 14;
}

static gboolean
read_exporter (const char *line, OwdLogExporterNote *e)
{
  char addr[OWD_ADDR_TEXT];

  *e = (OwdLogExporterNote){ 0 };
  return sscanf (line,
                 "exporter %45s %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNd64,
                 addr, &e->key.domain, &e->key.version, &e->datagrams, &e->records, &e->lost, &e->reordered,
                 &e->restarts, &e->given_up, &e->malformed, &e->over_limit, &e->clock_lag_ns)
             == 12
         && owd_addr_parse (addr, &e->key.addr);
}

GArray *
owd_log_notes_read (const char *dir, OwdLogCollectorNote *ret_collector)
{
  g_autofree char *path = g_build_filename (dir, NAME, NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GArray) exporters = g_array_new (FALSE, FALSE, sizeof (OwdLogExporterNote));

  G_STATIC_ASSERT (OWD_ADDR_TEXT == 46); /* the 45 above */
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  if (lines[0] == NULL || !g_str_equal (lines[0], TITLE) || lines[1] == NULL
      || !read_collector (lines[1], ret_collector))
    return NULL;
  for (char **line = lines + 2; *line != NULL && **line != '\0'; line++) {
    OwdLogExporterNote e;

    if (!read_exporter (*line, &e))
      return NULL;
    g_array_append_val (exporters, e);
  }
  return g_steal_pointer (&exporters);
}
