/* SPDX-License-Identifier: Apache-2.0
 *
 * Databases of the corpus against the table that each was built from; and what happens to a file while it is in use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>

#include "geo.h"

#define MMDB(name) OWD_CORPUS "/mmdb/" name ".mmdb"
#define ASN MMDB ("GeoLite2-ASN-Test")
#define COUNTRY MMDB ("GeoLite2-Country-Test")
#define CITY MMDB ("GeoIP2-City-Test")

static guint warnings, messages; /* seen since they were zeroed */

static GLogWriterOutput
count_lines (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user)
{
  (void) fields;
  (void) n_fields;
  (void) user;
  warnings += level == G_LOG_LEVEL_WARNING;
  messages += level == G_LOG_LEVEL_MESSAGE;
  return G_LOG_WRITER_HANDLED;
}

static OwdPlace
place_of (const OwdGeoWatch *watch, const char *text)
{
  OwdPlace place = { 0 };
  OwdAddr addr;

  assert_true (owd_addr_parse (text, &addr));
  assert_non_null (owd_geo_watch_get (watch));
  owd_geo_lookup (owd_geo_watch_get (watch), &addr, &place);
  return place;
}

/* Every network of the table, at its first address. Networks inside others come behind them in the table. */
static guint
compare (const char *table, const OwdGeoWatch *watch, gboolean is_asn)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint n = 0, wrong = 0;

  assert_true (g_file_get_contents (table, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    g_auto (GStrv) cells = g_strsplit (*line, "\t", -1);
    OwdPlace place;
    gboolean same;

    if (**line == '\0' || **line == '#')
      continue;
    *strchr (cells[0], '/') = '\0';
    place = place_of (watch, cells[0]);
    same = is_asn ? place.asn == g_ascii_strtoull (cells[1], NULL, 10) : g_str_equal (place.country, cells[1]);
    if (!same)
      print_message ("%s: %s, not %u %s\n", cells[0], cells[1], place.asn, place.country);
    wrong += !same;
    n++;
  }
  assert_int_equal (wrong, 0);
  return n;
}

static void
databases_equal_their_tables (void **state)
{
  g_autoptr (OwdGeoWatch) watch = owd_geo_watch_new (ASN, COUNTRY);
  g_autoptr (OwdGeoWatch) city = owd_geo_watch_new ("", CITY);

  (void) state;
  assert_true (owd_geo_watch_look (watch));
  assert_true (owd_geo_watch_look (city));
  assert_in_range (compare (OWD_CORPUS "/golden/mmdb-GeoLite2-ASN-Test.tsv", watch, TRUE), 300, 2000);
  assert_in_range (compare (OWD_CORPUS "/golden/mmdb-GeoLite2-Country-Test.tsv", watch, FALSE), 100, 2000);
  assert_in_range (compare (OWD_CORPUS "/golden/mmdb-GeoIP2-City-Test.tsv", city, FALSE), 100, 2000);
  assert_int_equal (place_of (watch, "192.0.2.1").asn, 0);
  assert_string_equal (place_of (watch, "192.0.2.1").country, "");
  assert_int_equal (warnings, 0);
}

static void
broken_files_are_refused (void **state)
{
  static const char *const broken[] = { MMDB ("GeoIP2-City-Test-Invalid-Node-Count"),
                                        MMDB ("MaxMind-DB-test-broken-pointers-24"),
                                        MMDB ("libmaxminddb-offset-integer-overflow"),
                                        OWD_CORPUS "/README.md",
                                        OWD_CORPUS,
                                        "/nowhere",
                                        "/dev/null" };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (OwdGeoWatch) watch = owd_geo_watch_new (broken[i], broken[i]);

    warnings = 0;
    assert_false (owd_geo_watch_look (watch));
    assert_null (owd_geo_watch_get (watch));
    assert_int_equal (warnings, 2); /* one for each of both uses */
    assert_false (owd_geo_watch_look (watch));
    assert_int_equal (warnings, 2); /* and no more while it stays as it is */
  }
}

/* Whatever is in them, reading them ends, and gives places that make sense. */
static void
odd_files_do_no_harm (void **state)
{
  static const char *const odd[] = { MMDB ("libmaxminddb-deep-nesting"), MMDB ("MaxMind-DB-test-decoder"),
                                     MMDB ("MaxMind-DB-test-ipv4-24"), MMDB ("MaxMind-DB-test-mixed-28"), ASN };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (odd); i++) {
    g_autoptr (OwdGeoWatch) watch = owd_geo_watch_new ("", odd[i]);

    if (!owd_geo_watch_look (watch))
      continue;
    for (guint k = 0; k < 256; k++) {
      g_autofree char *v4 = g_strdup_printf ("%u.1.1.%u", k, k), *v6 = g_strdup_printf ("20%02x::%x", k, k);

      assert_string_equal (place_of (watch, v4).country, "");
      assert_string_equal (place_of (watch, v6).country, "");
    }
  }
}

/* ---- change ------------------------------------------------------------------------------------ */

static void
put_file (const char *path, const char *from, gboolean in_place, gint64 age_s)
{
  g_autofree char *data = NULL;
  g_autofree char *aside = g_strconcat (path, ".new", NULL);
  struct utimbuf times = { .modtime = g_get_real_time () / G_USEC_PER_SEC - age_s };
  gsize len;

  assert_true (g_file_get_contents (from, &data, &len, NULL));
  if (in_place) {
    FILE *f = g_fopen (path, "r+b"); /* the same file, cut off and filled anew */

    assert_non_null (f);
    assert_int_equal (ftruncate (fileno (f), 0), 0);
    assert_int_equal (fwrite (data, 1, len, f), len);
    assert_int_equal (fclose (f), 0);
  } else {
    assert_true (g_file_set_contents (aside, data, (gssize) len, NULL));
    assert_int_equal (g_rename (aside, path), 0);
  }
  assert_int_equal (utime (path, &times), 0);
}

static void
changes_are_noticed (void **state)
{
  g_autofree char *dir = g_dir_make_tmp ("owd-geo-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "country.mmdb", NULL);
  g_autoptr (OwdGeoWatch) watch = owd_geo_watch_new ("", path);
  g_autoptr (OwdGeo) old = NULL;
  OwdPlace place;
  OwdAddr addr;

  (void) state;
  warnings = messages = 0;
  assert_false (owd_geo_watch_look (watch)); /* not there yet */
  assert_int_equal (warnings, 1);
  put_file (path, COUNTRY, FALSE, 100);
  assert_true (owd_geo_watch_look (watch));
  assert_string_equal (place_of (watch, "67.43.156.1").country, "BT");
  assert_false (owd_geo_watch_look (watch));
  old = owd_geo_ref (owd_geo_watch_get (watch));

  put_file (path, MMDB ("GeoIP2-City-Test-Invalid-Node-Count"), FALSE, 90);
  assert_false (owd_geo_watch_look (watch));
  assert_false (owd_geo_watch_look (watch));
  assert_int_equal (warnings, 2);
  assert_string_equal (place_of (watch, "67.43.156.1").country, "BT"); /* the old one stays */

  put_file (path, ASN, TRUE, 80); /* in place, cut off; without countries */
  assert_true (owd_geo_watch_look (watch));
  assert_string_equal (place_of (watch, "67.43.156.1").country, "");
  put_file (path, COUNTRY, TRUE, 0);
  assert_false (owd_geo_watch_look (watch)); /* may still be written to */
  put_file (path, COUNTRY, TRUE, 70);
  assert_true (owd_geo_watch_look (watch));
  assert_string_equal (place_of (watch, "67.43.156.1").country, "BT");
  assert_int_equal (g_unlink (path), 0);
  assert_false (owd_geo_watch_look (watch));
  assert_string_equal (place_of (watch, "67.43.156.1").country, "BT");
  assert_int_equal (warnings, 3);
  assert_true (messages >= 3);

  assert_true (owd_addr_parse ("67.43.156.1", &addr)); /* who still has the first one is not harmed */
  owd_geo_lookup (old, &addr, &place);
  assert_string_equal (place.country, "BT");
  assert_int_equal (g_rmdir (dir), 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (databases_equal_their_tables),
    cmocka_unit_test (broken_files_are_refused),
    cmocka_unit_test (odd_files_do_no_harm),
    cmocka_unit_test (changes_are_noticed),
  };

  (void) g_log_set_always_fatal (G_LOG_FATAL_MASK); /* warnings are part of what is tested */
  g_log_set_writer_func (count_lines, NULL, NULL);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
