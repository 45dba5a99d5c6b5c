/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "owd-lognotes.h"

/* Bytes with padding between them are never compared here: both structs are whole numbers of eight bytes. */
static void
notes_come_back (void **state)
{
  g_autofree char *dir = g_dir_make_tmp ("owd-notes-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "collector.notes", NULL);
  g_autofree char *text = NULL;
  const OwdLogCollectorNote written = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, G_MAXUINT64 };
  OwdLogExporterNote exporters[2] = {
    { .key = { .domain = G_MAXUINT32, .version = 10 },
      .datagrams = 11,
      .records = 12,
      .lost = 13,
      .clock_lag_ns = -14 },
    { .key = { .domain = 0, .version = 5 },
      .reordered = 15,
      .restarts = 16,
      .given_up = 17,
      .malformed = 18,
      .over_limit = 19 },
  };
  OwdLogCollectorNote collector;
  g_autoptr (GArray) back = NULL;
  g_autoptr (GError) error = NULL;

  (void) state;
  assert_true (owd_addr_parse ("2001:db8:1111:2222:3333:4444:5555:6666", &exporters[0].key.addr));
  assert_true (owd_addr_parse ("192.0.2.1", &exporters[1].key.addr));
  assert_null (owd_log_notes_read (dir, &collector)); /* none yet */
  assert_true (owd_log_notes_write (dir, &written, exporters, 2, &error));
  back = owd_log_notes_read (dir, &collector);
  assert_non_null (back);
  assert_int_equal (back->len, 2);
  assert_memory_equal (&collector, &written, sizeof written);
  assert_memory_equal (back->data, exporters, sizeof exporters);

  assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (gsize len = strlen (text) - 2; len > 0; len -= MIN (len, 7)) { /* cut anywhere but at the end of a line */
    g_autoptr (GArray) cut = NULL;

    if (text[len - 1] == '\n' || text[len] == '\n')
      continue;
    assert_true (g_file_set_contents (path, text, (gssize) len, NULL));
    cut = owd_log_notes_read (dir, &collector);
    assert_true (cut == NULL || cut->len < 2 || g_ascii_isdigit (text[len])); /* a number may have lost its tail */
  }
  assert_true (g_file_set_contents (path, "oneway-collector-notes 3\n", -1, NULL));
  assert_null (owd_log_notes_read (dir, &collector));
  assert_int_equal (g_unlink (path), 0);
  assert_int_equal (g_rmdir (dir), 0);
  assert_false (owd_log_notes_write (dir, &written, exporters, 2, &error));
  assert_non_null (strstr (error->message, "collector.notes"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test (notes_come_back) };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
