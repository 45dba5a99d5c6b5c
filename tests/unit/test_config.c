/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "owd-config.h"
#include "owd-light.h"

/* Loads the text as a file. Errors name it "FILE" here, so that they can be compared whole. */
static OwdConfig *
load_text (const char *text, char **ret_message)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  OwdConfig *config;
  int fd = g_file_open_tmp ("owd-config-XXXXXX", &path, NULL);

  assert_true (fd >= 0);
  assert_true (g_close (fd, NULL));
  assert_true (g_file_set_contents (path, text, -1, NULL));
  config = owd_config_load (path, &error);
  g_unlink (path);
  if (config == NULL) {
    g_auto (GStrv) parts = g_strsplit (error->message, path, -1);

    assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG));
    if (ret_message != NULL)
      *ret_message = g_strjoinv ("FILE", parts);
  }
  return config;
}

static void
assert_fault (const char *text, const char *expected)
{
  g_autofree char *message = NULL;
  g_autoptr (OwdConfig) config = load_text (text, &message);

  assert_null (config);
  assert_string_equal (message, expected);
}

static void
empty_file_gives_defaults (void **state)
{
  g_autoptr (OwdConfig) config = load_text ("", NULL);
  const char *const *listen;

  (void) state;
  assert_non_null (config);
  assert_string_equal (owd_config_string (config, "log", "directory"), "/var/lib/oneway/log");
  assert_int_equal (owd_config_int (config, "log", "partitions"), 8);
  assert_true (owd_config_size (config, "log", "block-size") == 256 << 10);
  assert_true (owd_config_size (config, "log", "retain-size") == 0);
  assert_true (owd_config_duration_ns (config, "log", "retain-age") == 7 * 86400 * OWD_NS_PER_S);
  assert_true (owd_config_double (config, "correlator", "completeness") == 0.99);
  assert_string_equal (owd_config_string (config, "database", "conninfo"), "");
  listen = owd_config_list (config, "collector", "listen");
  assert_string_equal (listen[0], "[::]:2055");
  assert_string_equal (listen[1], "[::]:4739");
  assert_null (listen[2]);
  assert_int_equal (owd_config_n_exporters (config), 0);
}

static void
units_are_understood (void **state)
{
  static const struct {
    const char *text;
    gint64 ns;
  } durations[] = {
    { "200ms", 200 * OWD_NS_PER_MS }, { "30 s", 30 * OWD_NS_PER_S },   { "1.5 s", 1500 * OWD_NS_PER_MS },
    { "2 min", 120 * OWD_NS_PER_S },  { "0.5h", 1800 * OWD_NS_PER_S },
  };
  g_autoptr (OwdConfig) size = load_text ("[log]\nsegment-size = 1.5 GiB\nretain-size = 20 GB\n", NULL);

  (void) state;
  for (gsize k = 0; k < G_N_ELEMENTS (durations); k++) {
    g_autofree char *text = g_strdup_printf ("[log]\nsync-interval=%s\n", durations[k].text);
    g_autoptr (OwdConfig) config = load_text (text, NULL);

    assert_non_null (config);
    assert_true (owd_config_duration_ns (config, "log", "sync-interval") == durations[k].ns);
  }
  assert_true (owd_config_size (size, "log", "segment-size") == G_GUINT64_CONSTANT (3) << 29);
  assert_true (owd_config_size (size, "log", "retain-size") == G_GUINT64_CONSTANT (20000000000));
}

static void
faults_say_where_and_what (void **state)
{
  (void) state;
  assert_fault ("[log]\npartitions = many\n", "FILE: [log] partitions: 'many' is no whole number, 1 to 256");
  assert_fault ("[log]\npartitions = 257\n",
                "FILE: [log] partitions: '257' is out of range; allowed: whole number, 1 to 256");
  assert_fault ("[probe]\nspeed = 1\n",
                "FILE: [probe] speed: unknown key; known here: agent, seed, spool, spool-size, store");
  assert_fault ("[database]\nconnection = x\n",
                "FILE: [database] connection: unknown key; known here: conninfo, retain-samples, "
                "raw-samples-per-minute, retain-10s, "
                "retain-1min, retain-5min, retain-1h, retain-1d, retain-probes");
  assert_fault ("[logs]\n", "FILE: [logs]: unknown section; known: log, collector, correlator, profiler, database, "
                            "probe, events, exporter NAME, test NAME, targets NAME");
  assert_fault ("[log]\nsync-interval = 5\n",
                "FILE: [log] sync-interval: '5' is no duration with unit (ns, us, ms, s, min, h, d), 10 ms to 1 h");
  assert_fault ("[log]\nretain-age = 99999999999999999999 d\n",
                "FILE: [log] retain-age: '99999999999999999999 d' is no duration with unit (ns, us, ms, s, min, h, d), "
                "0 to 3650 d");
  assert_fault ("[correlator]\ncompleteness = nan\n", "FILE: [correlator] completeness: 'nan' is no number, 0.5 to 1");
}

static void
prefixes_are_read (void **state)
{
  g_autoptr (OwdConfig) config = load_text ("[collector]\nallow = 192.0.2.0/24; 2001:db8::7;\n", NULL);
  g_autoptr (OwdConfig) none = load_text ("", NULL);
  const OwdPrefix *list;
  OwdAddr addr;
  guint n;

  (void) state;
  list = owd_config_prefixes (config, "collector", "allow", &n);
  assert_int_equal (n, 2);
  assert_int_equal (list[0].bits, 120);
  assert_int_equal (list[1].bits, 128);
  assert_true (owd_addr_parse ("2001:db8::7", &addr));
  assert_memory_equal (&list[1].addr, &addr, sizeof addr);
  (void) owd_config_prefixes (none, "collector", "allow", &n);
  assert_int_equal (n, 0);
  assert_fault ("[collector]\nallow = 192.0.2.0/24; 192.0.2.0/33\n",
                "FILE: [collector] allow: '192.0.2.0/24; 192.0.2.0/33' is no list of IPv4 and IPv6 prefixes (ADDR or "
                "ADDR/BITS), separated by ';'");
}

static void
all_faults_come_at_once (void **state)
{
  (void) state;
  assert_fault ("[log]\npartitions = 0\nblocks = 3\n[exporter A]\ndomain = 1\nlatitude = 3\n",
                "FILE: [log] partitions: '0' is out of range; allowed: whole number, 1 to 256\n"
                "FILE: [log] blocks: unknown key; known here: directory, partitions, block-size, segment-size, "
                "sync-interval, retain-age, retain-size\n"
                "FILE: [exporter A] longitude: missing; a site needs both\n"
                "FILE: [exporter A] address: missing");
}

static void
missing_file_is_named (void **state)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdConfig) config = owd_config_load ("/nonexistent/oneway.conf", &error);

  (void) state;
  assert_null (config);
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG));
  assert_non_null (strstr (error->message, "/nonexistent/oneway.conf"));
}

static void
environment_wins (void **state)
{
  g_autoptr (OwdConfig) config = NULL;
  g_autofree char *message = NULL;

  (void) state;
  assert_true (g_setenv ("ONEWAY_LOG_BLOCK_SIZE", "1 MiB", TRUE));
  config = load_text ("[log]\nblock-size = 8 KiB\n", NULL);
  assert_true (g_setenv ("ONEWAY_LOG_BLOCK_SIZE", "1 KiB", TRUE));
  assert_null (load_text ("", &message));
  g_unsetenv ("ONEWAY_LOG_BLOCK_SIZE");
  assert_non_null (config);
  assert_true (owd_config_size (config, "log", "block-size") == 1 << 20);
  assert_non_null (strstr (message, "ONEWAY_LOG_BLOCK_SIZE"));
}

static void
exporters_have_names (void **state)
{
  g_autoptr (OwdConfig) config
      = load_text ("[exporter Wien 1]\naddress = 192.0.2.1\nlatitude = 48.2\nlongitude = 16.4\n"
                   "[exporter Wien 1 card 7]\naddress = 192.0.2.1\ndomain = 7\nntp-trusted = no\n"
                   "[exporter Graz]\naddress = 2001:db8::1\ndomain = 4294967295\n",
                   NULL);
  const OwdConfigExporter *exporter;
  OwdAddr wien, graz;

  (void) state;
  assert_non_null (config);
  assert_true (owd_addr_parse ("192.0.2.1", &wien) && owd_addr_parse ("2001:db8::1", &graz));
  assert_int_equal (owd_config_n_exporters (config), 3);
  exporter = owd_config_exporter (config, 0);
  assert_true (exporter->has_site && exporter->latitude == 48.2 && exporter->longitude == 16.4);
  assert_true (exporter->ntp_trusted && exporter->domain == -1);
  assert_false (owd_config_exporter (config, 1)->ntp_trusted);
  assert_false (owd_config_exporter (config, 1)->has_site);
  assert_string_equal (owd_config_exporter_name (config, &wien, 7), "Wien 1 card 7");
  assert_string_equal (owd_config_exporter_name (config, &wien, 8), "Wien 1");
  assert_string_equal (owd_config_exporter_name (config, &graz, G_MAXUINT32), "Graz");
  assert_null (owd_config_exporter_name (config, &graz, 1));
}

static void
light_between_sites (void **state)
{
  g_autoptr (OwdConfig) c
      = load_text ("[exporter Berlin]\naddress = 192.0.2.1\nlatitude = 52.52\nlongitude = 13.40\n"
                   "[exporter Munich]\naddress = 192.0.2.2\ndomain = 7\nlatitude = 48.14\nlongitude = 11.58\n",
                   NULL);
  OwdStateKey berlin = { .domain = 1, .version = 9 }, munich = { .domain = 7, .version = 9 };

  (void) state;
  assert_true (owd_addr_parse ("192.0.2.1", &berlin.addr) && owd_addr_parse ("192.0.2.2", &munich.addr));
  assert_float_equal (owd_light_ms (52.52, 13.40, 48.14, 11.58), 504 * 0.0049, 0.02);
  assert_float_equal (owd_light_ms (10, 20, 10, 20), 0, 1e-9);
  assert_float_equal (owd_light_ms (0, 0, 0, 180), 20015 * 0.0049, 0.01);
  assert_in_range (owd_config_floor_ns (c, &berlin, &munich), 2440000, 2500000);
  assert_int_equal (owd_config_floor_ns (c, &berlin, &munich), owd_config_floor_ns (c, &munich, &berlin));
  munich.domain = 8;
  assert_int_equal (owd_config_floor_ns (c, &berlin, &munich), 0);
}

static void
exporter_faults (void **state)
{
  (void) state;
  assert_fault ("[exporter A]\naddress = router.example\n",
                "FILE: [exporter A] address: 'router.example' is no IPv4 or IPv6 address");
  assert_fault ("[exporter A]\naddress = 192.0.2.1\n[exporter B]\naddress = 192.0.2.1\n",
                "FILE: [exporter B] address: address and domain are those of [exporter A]");
  assert_fault ("[exporter A]\naddress = 192.0.2.1\ndomain = 4294967296\n",
                "FILE: [exporter A] domain: '4294967296' is out of range; allowed: whole number, -1 to 4294967295");
}

static void
print_can_be_loaded_and_keeps_secrets (void **state)
{
  g_autoptr (OwdConfig) config = load_text ("[log]\nretain-age = 3 d\n[database]\nconninfo = host=db password=hush\n"
                                            "[exporter A]\naddress = 192.0.2.1\nlatitude = 1\nlongitude = 2\n",
                                            NULL);
  g_autofree char *text = NULL;
  g_autoptr (OwdConfig) again = NULL;

  (void) state;
  assert_non_null (config);
  text = owd_config_print (config);
  assert_null (strstr (text, "hush"));
  again = load_text (text, NULL);
  assert_non_null (again);
  assert_true (owd_config_duration_ns (again, "log", "retain-age") == 3 * 86400 * OWD_NS_PER_S);
  assert_string_equal (owd_config_string (config, "database", "conninfo"), "host=db password=hush");
  assert_int_equal (owd_config_n_exporters (again), 1);
  assert_true (owd_config_exporter (again, 0)->longitude == 2);
}

static void
man_page_has_every_printed_key (void **state)
{
  g_autoptr (OwdConfig) config = load_text ("[exporter A]\naddress = 192.0.2.1\n", NULL);
  g_autofree char *text = owd_config_print (config);
  g_autofree char *man = owd_config_man ();
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint keys = 0;

  (void) state;
  for (char **line = lines; *line != NULL; line++) {
    char *equals = strchr (*line, '=');

    if (**line != '#' && equals != NULL) {
      g_autofree char *key = g_strndup (*line, (gsize) (equals - *line));
      g_autofree char *item = g_strdup_printf (".It Cm %s\n", key);

      assert_non_null (strstr (man, item));
      keys++;
    }
  }
  assert_true (keys > 20);
}

#define MAN_PAGE OWD_SOURCE_DIR "/docs/man/oneway.conf.5"
#define MAN_BEGIN ".\\\" Generated from the table in core/config.c; see CONTRIBUTING.md.\n"
#define MAN_END ".\\\" End of the generated part.\n"

/* With OWD_UPDATE set it writes the page instead of comparing. */
static void
man_page_is_up_to_date (void **state)
{
  g_autofree char *page = NULL, *wanted = NULL;
  g_autofree char *man = owd_config_man ();
  char *begin, *end;

  (void) state;
  assert_true (g_file_get_contents (MAN_PAGE, &page, NULL, NULL));
  begin = strstr (page, MAN_BEGIN);
  end = strstr (page, MAN_END);
  assert_true (begin != NULL && end != NULL && begin < end);
  begin += strlen (MAN_BEGIN);
  wanted = g_strdup_printf ("%.*s%s%s", (int) (begin - page), page, man, end);
  if (g_getenv ("OWD_UPDATE") != NULL)
    assert_true (g_file_set_contents (MAN_PAGE, wanted, -1, NULL));
  else if (strcmp (page, wanted) != 0)
    fail_msg ("%s does not show the table of settings; OWD_UPDATE=1 build-check/tests/test_config writes it", MAN_PAGE);
}

static void
tests_and_targets_have_names (void **state)
{
  g_autoptr (OwdConfig) c = load_text ("[targets core]\nhosts = a;b:8620;[2001:db8::1]:862\nnearest = 2\n"
                                       "[test one]\ntargets = core\n[test two]\ntargets = core;edge\nevery = 0\n"
                                       "enabled = no\nmethod = tcp-ack\n[targets edge]\nhosts = c\n",
                                       NULL);
  g_autofree char *text = NULL;
  g_autoptr (OwdConfig) again = NULL;

  (void) state;
  assert_non_null (c);
  assert_string_equal (owd_config_named (c, "test", 0), "one");
  assert_string_equal (owd_config_named (c, "test", 1), "two");
  assert_null (owd_config_named (c, "test", 2));
  assert_string_equal (owd_config_named (c, "targets", 1), "edge");
  assert_true (owd_config_named_bool (c, "test", "one", "enabled"));
  assert_false (owd_config_named_bool (c, "test", "two", "enabled"));
  assert_int_equal (owd_config_named_duration_ns (c, "test", "one", "every"), 1200 * OWD_NS_PER_S);
  assert_int_equal (owd_config_named_int (c, "targets", "core", "nearest"), 2);
  assert_string_equal (owd_config_named_string (c, "test", "two", "method"), "tcp-ack");
  assert_string_equal (owd_config_named_list (c, "targets", "core", "hosts")[2], "[2001:db8::1]:862");
  text = owd_config_print (c);
  again = load_text (text, NULL);
  assert_non_null (again);
  assert_string_equal (owd_config_named_list (again, "test", "two", "targets")[1], "edge");
  assert_fault ("[test x]\nenabled = no\n", "FILE: [test x] targets: missing");
  assert_fault ("[test x]\ntargets = y\nmethod = ping\n",
                "FILE: [test x] method: 'ping' is none of stamp, tcp-ack, tcp-syn, tcp-connect, path-udp, path-tcp, "
                "path-icmp\nFILE: [test x] targets: there is no section [targets y]");
  assert_fault ("[targets y]\nhosts = a\nnearest = -1\n",
                "FILE: [targets y] nearest: '-1' is out of range; allowed: whole number, 0 to 1000");
  assert_fault ("[test ]\ntargets = y\n[targets y]\nhosts = a\n", "FILE: [test ]: a name is missing after 'test'");
}

/* One name for every set of states, whatever the order. */
static void
point_names (void **state)
{
  g_autoptr (OwdConfig) c = load_text ("[exporter vienna]\naddress = 192.0.2.1\n", NULL);
  g_autoptr (GHashTable) states = g_hash_table_new (owd_state_key_hash, owd_state_key_equal);
  OwdStateKey keys[4]
      = { { .version = 9 }, { .version = 9 }, { .version = 10, .domain = 7 }, { .version = 9, .domain = 7 } };
  const char *const names[4] = { "vienna", "192.0.2.2#0", "192.0.2.2#7/v10", "192.0.2.2#7/v9" };

  (void) state;
  assert_true (owd_addr_parse ("192.0.2.1", &keys[0].addr));
  for (guint i = 1; i < 4; i++)
    assert_true (owd_addr_parse ("192.0.2.2", &keys[i].addr));
  g_hash_table_add (states, &keys[1]);
  {
    g_autofree char *alone = owd_config_point_name (c, &keys[1], states);

    assert_string_equal (alone, "192.0.2.2");
  }
  for (guint i = 0; i < 4; i++)
    g_hash_table_add (states, &keys[i]);
  for (guint i = 0; i < 4; i++) {
    g_autofree char *name = owd_config_point_name (c, &keys[i], states);

    assert_string_equal (name, names[i]);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (empty_file_gives_defaults),
    cmocka_unit_test (units_are_understood),
    cmocka_unit_test (faults_say_where_and_what),
    cmocka_unit_test (prefixes_are_read),
    cmocka_unit_test (all_faults_come_at_once),
    cmocka_unit_test (missing_file_is_named),
    cmocka_unit_test (environment_wins),
    cmocka_unit_test (exporters_have_names),
    cmocka_unit_test (light_between_sites),
    cmocka_unit_test (point_names),
    cmocka_unit_test (tests_and_targets_have_names),
    cmocka_unit_test (exporter_faults),
    cmocka_unit_test (print_can_be_loaded_and_keeps_secrets),
    cmocka_unit_test (man_page_has_every_printed_key),
    cmocka_unit_test (man_page_is_up_to_date),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
