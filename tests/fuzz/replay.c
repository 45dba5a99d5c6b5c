/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of libFuzzer: every file of the given directories goes through the entry, as it is and with mutations. The
 * generator's seed is the file's own hash, so a failure comes back with the same file.
 */
#include "fuzz.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#define MUTATIONS 300

/* Some bytes changed, a piece left out or doubled, the end cut. */
static GByteArray *
mutate (GRand *rand, const guint8 *data, gsize len)
{
  GByteArray *m = g_byte_array_new ();
  gint from, n;

  g_byte_array_append (m, data, (guint) len);
  for (gint i = g_rand_int_range (rand, 1, 9); i > 0 && m->len > 0; i--)
    m->data[g_rand_int_range (rand, 0, (gint) m->len)] = (guint8) g_rand_int (rand);
  if (m->len < 2)
    return m;
  from = g_rand_int_range (rand, 0, (gint) m->len - 1);
  n = g_rand_int_range (rand, 1, MIN ((gint) m->len - from, 64) + 1);
  switch (g_rand_int_range (rand, 0, 6)) {
  case 0:
    g_byte_array_remove_range (m, (guint) from, (guint) n);
    break;
  case 1: {
    g_autofree guint8 *piece = g_memdup2 (m->data + from, (gsize) n);

    g_byte_array_append (m, piece, (guint) n);
    break;
  }
  case 2:
    g_byte_array_set_size (m, (guint) from);
    break;
  default:
    break;
  }
  return m;
}

/* A copy of exactly that size: the sanitizer sees every byte too far. */
static void
run (const guint8 *data, gsize len)
{
  guint8 *copy = g_malloc (MAX (len, 1));

  if (len > 0)
    memcpy (copy, data, len);
  (void) LLVMFuzzerTestOneInput (copy, len);
  g_free (copy);
}

static gboolean
replay_file (const char *path)
{
  g_autofree char *data = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GRand) rand = NULL;
  gsize len;

  if (!g_file_get_contents (path, &data, &len, NULL))
    return FALSE;
  bytes = g_bytes_new_static (data, len);
  rand = g_rand_new_with_seed (g_bytes_hash (bytes));
  run ((const guint8 *) data, len);
  for (guint i = 0; i < MUTATIONS; i++) {
    g_autoptr (GByteArray) m = mutate (rand, (const guint8 *) data, len);

    run (m->data, m->len);
  }
  return TRUE;
}

int
main (int argc, char **argv)
{
  guint files = 0;

  for (int i = 1; i < argc; i++) {
    g_autoptr (GDir) d = g_dir_open (argv[i], 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name (d)) != NULL) {
      g_autofree char *path = g_build_filename (argv[i], name, NULL);

      files += replay_file (path);
    }
  }
  printf ("%u files, %u mutations each\n", files, MUTATIONS);
  return files > 0 ? 0 : 1;
}
