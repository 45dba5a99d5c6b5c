/* SPDX-License-Identifier: Apache-2.0
 *
 * Every capture of the corpus through capture reader and decoder, compared row by row with its golden decoding (made
 * by tshark and checked by a second decoder; the corpus README says how): frame, version, template, domain,
 * addresses, ports, protocol, packets, octets, raw stamps and the absolute times that the datagram claims.
 *
 * What differs by rule, for every capture alike:
 *
 *   late      The golden decoder went through each capture once, so a data set before its template gives no row
 *             there. We decode it when the template comes: such flows (OWD_HEADER_REPLAY) have no golden row.
 *   reverse   Golden rows are forward halves only: OWD_FLOW_REVERSE has no row.
 *   ports     Golden ports are those of the transport elements; where a record has none, an ICMP type and code that
 *             we put in their place (OwdFlow.dport) has none to compare with: golden 0 or nothing, protocol 1 or 58.
 *   times     NTP formats (IE 154 to 157) may differ by 1 us, for the golden decoder rounds. A golden row without a
 *             time of its own says nothing about an event's time (`obs323`) or an end that we reckon from a duration.
 *   kind      Where golden says `uptime-nobase` no absolute time can be given, and we must not invent one.
 *
 * And all captures through one decoder at once, datagrams in turns, each capture an exporter of its own: every flow,
 * header and counter has to be what the capture gives alone, for exporters must not touch each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-capture.h"
#include "owd-decoder.h"

#include <string.h>

typedef struct {
  guint frame;
  OwdHeader header;
  OwdFlow flow;
} Row;

typedef struct {
  GArray *rows; /* Row: ours, in order of delivery */
  guint frame;
} Ours;

static void
take_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Ours *ours = user;
  Row row = { .frame = ours->frame, .header = *header, .flow = *flow };

  if (!(header->flags & OWD_HEADER_REPLAY) && !(flow->flags & OWD_FLOW_REVERSE))
    g_array_append_val (ours->rows, row);
}

static GArray *
decode_capture (const char *path)
{
  Ours ours = { .rows = g_array_new (FALSE, FALSE, sizeof (Row)) };
  OwdDecoderSink sink = { .flow = take_flow, .user = &ours };
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdDecoder) decoder = owd_decoder_new (&sink, NULL, &error);
  g_autoptr (OwdCapture) capture = owd_capture_open (path, &error);
  OwdCapturePacket packet;
  OwdUdp udp;

  assert_non_null (decoder);
  assert_non_null (capture);
  while (owd_capture_next (capture, &packet, &error) == OWD_STATUS_OK) {
    ours.frame++;
    if (owd_packet_udp (packet.link_type, packet.data, packet.caplen, packet.wirelen, &udp) == OWD_PACKET_UDP)
      (void) owd_decoder_feed (decoder, &udp.src, udp.sport, packet.time_ns, udp.payload, udp.len);
  }
  assert_null (error);
  return ours.rows;
}

/* ---- the golden side --------------------------------------------------------------------------- */

typedef struct {
  GPtrArray *columns; /* names */
  GPtrArray *rows;    /* char ** */
} Golden;

static Golden
read_golden (const char *path)
{
  Golden g = { .columns = g_ptr_array_new_with_free_func (g_free),
               .rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev) };
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (char **l = lines; *l != NULL; l++) {
    g_auto (GStrv) cells = NULL;

    if (**l == '\0' || g_str_has_prefix (*l, "# "))
      continue;
    cells = g_strsplit (*l, "\t", -1);
    if (g.columns->len > 0)
      g_ptr_array_add (g.rows, g_steal_pointer (&cells));
    else
      for (char **c = cells; *c != NULL; c++)
        g_ptr_array_add (g.columns, g_strdup (**c == '#' ? *c + 1 : *c));
  }
  return g;
}

static void
golden_clear (Golden *g)
{
  g_ptr_array_unref (g->columns);
  g_ptr_array_unref (g->rows);
}

static const char *
cell (const Golden *g, guint row, const char *name)
{
  char **cells = g_ptr_array_index (g->rows, row);

  for (guint i = 0; i < g->columns->len && cells[i] != NULL; i++)
    if (strcmp (g_ptr_array_index (g->columns, i), name) == 0)
      return cells[i];
  return "";
}

/* ---- comparing --------------------------------------------------------------------------------- */

/* Appends "name ours/golden" to what where they differ. */
static void
same_number (GString *what, const char *name, guint64 ours, const char *golden)
{
  if (*golden == '\0' ? ours != 0 : ours != g_ascii_strtoull (golden, NULL, 10))
    g_string_append_printf (what, " %s %" G_GUINT64_FORMAT "/%s", name, ours, golden);
}

static void
same_addr (GString *what, const char *name, const OwdAddr *ours, const char *golden)
{
  OwdAddr addr;
  char buf[OWD_ADDR_TEXT];

  if (!owd_addr_parse (golden, &addr) || memcmp (&addr, ours, sizeof addr) != 0)
    g_string_append_printf (what, " %s %s/%s", name, owd_addr_text (ours, buf), golden);
}

static void
same_time (GString *what, const char *name, const Row *row, guint8 kind, guint64 raw, const char *golden,
           const char *time_kind)
{
  OwdTime ours = owd_flow_claim (&row->header, &row->flow, kind, raw);
  gint64 tolerance = kind == OWD_STAMP_NTP_US || kind == OWD_STAMP_NTP_NS ? 1000 : 0;
  gint64 expected;

  if (*golden == '\0') {
    if (strcmp (time_kind, "uptime-nobase") == 0 && ours != OWD_TIME_NONE)
      g_string_append_printf (what, " %s %" G_GINT64_FORMAT "/none", name, ours);
    return;
  }
  expected = g_ascii_strtoll (golden, NULL, 10);
  if (ours == OWD_TIME_NONE || ABS (ours - expected) > tolerance)
    g_string_append_printf (what, " %s %" G_GINT64_FORMAT "/%s", name, ours, golden);
}

static void
same_times (GString *what, const Row *row, const Golden *g, guint i)
{
  const char *time_kind = cell (g, i, "time_kind");
  gboolean switched = g_str_has_prefix (time_kind, "uptime") || strcmp (time_kind, "init160") == 0;

  same_time (what, "start", row, row->flow.start_kind, row->flow.start_raw, cell (g, i, "start_ns"), time_kind);
  same_time (what, "end", row, row->flow.end_kind, row->flow.end_raw, cell (g, i, "end_ns"), time_kind);
  if (!switched)
    return;
  if (row->flow.start_kind != OWD_STAMP_UPTIME_MS)
    g_string_append_printf (what, " start_kind %u/%s", row->flow.start_kind, time_kind);
  same_number (what, "start_raw", row->flow.start_raw, cell (g, i, "start_raw"));
  same_number (what, "end_raw", row->flow.end_raw, cell (g, i, "end_raw"));
}

static void
same_row (GString *what, const Row *row, const Golden *g, guint i)
{
  const OwdFlow *flow = &row->flow;
  gboolean icmp = flow->proto == 1 || flow->proto == 58;
  guint64 dport = g_ascii_strtoull (cell (g, i, "dport"), NULL, 10);

  same_number (what, "frame", row->frame, cell (g, i, "frame"));
  same_number (what, "version", row->header.key.version, cell (g, i, "ver"));
  same_number (what, "template", flow->template_id, cell (g, i, "template_id"));
  same_number (what, "domain", row->header.key.domain, cell (g, i, "dom"));
  same_addr (what, "src", &flow->src, cell (g, i, "src"));
  same_addr (what, "dst", &flow->dst, cell (g, i, "dst"));
  same_number (what, "sport", flow->sport, cell (g, i, "sport"));
  if (!icmp || dport != 0 || strcmp (cell (g, i, "sport"), "") != 0)
    same_number (what, "dport", flow->dport, cell (g, i, "dport"));
  same_number (what, "proto", flow->proto, cell (g, i, "proto"));
  same_number (what, "packets", flow->packets, cell (g, i, "packets"));
  same_number (what, "octets", flow->octets, cell (g, i, "octets"));
  if (row->header.flags & OWD_HEADER_UPTIME)
    same_number (what, "uptime", row->header.uptime_ms, cell (g, i, "uptime_ms"));
  same_times (what, row, g, i);
}

/* Returns the number of rows that differ. */
static guint
compare_capture (const char *name, guint *n_rows)
{
  g_autofree char *pcap = g_strdup_printf ("%s/pcap/%s.pcap", OWD_CORPUS, name);
  g_autofree char *tsv = g_strdup_printf ("%s/golden/%s.tsv", OWD_CORPUS, name);
  g_autoptr (GArray) ours = decode_capture (pcap);
  Golden golden = read_golden (tsv);
  guint wrong = 0;

  if (ours->len != golden.rows->len) {
    print_message ("%s: %u rows, golden has %u\n", name, ours->len, golden.rows->len);
    wrong++;
  }
  for (guint i = 0; i < MIN (ours->len, golden.rows->len); i++) {
    g_autoptr (GString) what = g_string_new (NULL);

    same_row (what, &g_array_index (ours, Row, i), &golden, i);
    if (what->len == 0)
      continue;
    if (wrong++ < 5)
      print_message ("%s: row %u:%s\n", name, i, what->str);
  }
  *n_rows += golden.rows->len;
  golden_clear (&golden);
  return wrong;
}

static void
captures_equal_golden (void **state)
{
  g_autoptr (GDir) dir = g_dir_open (OWD_CORPUS "/golden", 0, NULL);
  guint captures = 0, rows = 0, wrong = 0;
  const char *file;

  (void) state;
  assert_non_null (dir);
  while ((file = g_dir_read_name (dir)) != NULL) {
    g_autofree char *name = g_strndup (file, strlen (file) - strlen (".tsv"));

    if (g_str_has_prefix (name, "mmdb-") || g_str_has_prefix (name, "traffic-"))
      continue;
    wrong += compare_capture (name, &rows);
    captures++;
  }
  print_message ("%u captures, %u golden rows\n", captures, rows);
  assert_int_equal (wrong, 0);
  assert_true (captures > 0 && rows > 0);
}

/* ---- all at once --------------------------------------------------------------------------------- */

typedef struct {
  OwdTime at_ns; /* on a clock that is common to all */
  guint capture;
  OwdAddr src;
  guint16 sport;
  GBytes *payload;
} Datagram;

typedef struct {
  GArray **rows; /* Row, of each capture; all rows that the sink was given */
  guint capture; /* of the datagram in hand */
} Sorted;

static void
sort_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Sorted *sorted = user;
  Row row;

  memset (&row, 0, sizeof row);
  row.header = *header;
  row.header.state = 0; /* a number of the decoder's own */
  row.flow = *flow;
  g_array_append_val (sorted->rows[sorted->capture], row);
}

static void
datagram_clear (gpointer data)
{
  g_bytes_unref (((Datagram *) data)->payload);
}

/* The capture's datagrams, from addresses that no other one has, beginning at start_ns. */
static void
collect (GArray *all, const char *path, guint capture, OwdTime start_ns)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdCapture) file = owd_capture_open (path, &error);
  OwdTime first_ns = OWD_TIME_NONE;
  OwdCapturePacket packet;
  OwdUdp udp;

  assert_non_null (file);
  while (owd_capture_next (file, &packet, &error) == OWD_STATUS_OK) {
    Datagram d = { .capture = capture };

    if (owd_packet_udp (packet.link_type, packet.data, packet.caplen, packet.wirelen, &udp) != OWD_PACKET_UDP)
      continue;
    if (first_ns == OWD_TIME_NONE)
      first_ns = packet.time_ns;
    d.at_ns = start_ns + packet.time_ns - first_ns;
    d.src = udp.src;
    d.src.b[0] = 0xfd;
    d.src.b[1] = (guint8) capture;
    d.sport = udp.sport;
    d.payload = g_bytes_new (udp.payload, udp.len);
    g_array_append_val (all, d);
  }
}

static gint
by_time (gconstpointer a, gconstpointer b)
{
  const Datagram *x = a, *y = b;

  return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

/* Those of one capture, or of all (capture G_MAXUINT). Returns: the decoder, for its counters. */
static OwdDecoder *
decode_datagrams (const GArray *all, guint capture, GArray **rows)
{
  Sorted sorted = { .rows = rows };
  OwdDecoderSink sink = { .flow = sort_flow, .user = &sorted };
  g_autoptr (GError) error = NULL;
  OwdDecoder *decoder = owd_decoder_new (&sink, NULL, &error);

  assert_non_null (decoder);
  for (guint i = 0; i < all->len; i++) {
    const Datagram *d = &g_array_index (all, Datagram, i);
    gsize len;
    const guint8 *payload = g_bytes_get_data (d->payload, &len);

    if (capture != G_MAXUINT && d->capture != capture)
      continue;
    sorted.capture = d->capture;
    (void) owd_decoder_feed (decoder, &d->src, d->sport, d->at_ns, payload, len);
  }
  return decoder;
}

static const OwdStateCounters *
state_of (const OwdDecoder *decoder, const OwdStateKey *key)
{
  for (guint i = 0; i < owd_decoder_n_states (decoder); i++)
    if (owd_state_key_equal (&owd_decoder_state (decoder, i)->key, key))
      return owd_decoder_state (decoder, i);
  return NULL;
}

static void
captures_do_not_touch_each_other (void **state)
{
  enum { SEED = 5 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);
  g_autoptr (GDir) dir = g_dir_open (OWD_CORPUS "/golden", 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Datagram));
  GArray *alone[256], *together[256];
  OwdDecoder *common;
  const char *file;
  guint rows = 0;

  (void) state;
  g_array_set_clear_func (all, datagram_clear);
  while ((file = g_dir_read_name (dir)) != NULL) {
    g_autofree char *name = g_strndup (file, strlen (file) - strlen (".tsv"));
    g_autofree char *pcap = g_strdup_printf ("%s/pcap/%s.pcap", OWD_CORPUS, name);

    if (g_str_has_prefix (name, "mmdb-") || g_str_has_prefix (name, "traffic-"))
      continue;
    assert_true (names->len < G_N_ELEMENTS (alone));
    collect (all, pcap, names->len, (OwdTime) g_rand_int_range (rand, 0, 60000) * OWD_NS_PER_MS);
    alone[names->len] = g_array_new (FALSE, FALSE, sizeof (Row));
    together[names->len] = g_array_new (FALSE, FALSE, sizeof (Row));
    g_ptr_array_add (names, g_steal_pointer (&name));
  }
  g_array_sort (all, by_time);
  common = decode_datagrams (all, G_MAXUINT, together);
  for (guint i = 0; i < names->len; i++) {
    OwdDecoder *own = decode_datagrams (all, i, alone);

    print_message ("%s\n", (const char *) g_ptr_array_index (names, i));
    assert_int_equal (together[i]->len, alone[i]->len);
    rows += alone[i]->len;
    for (guint r = 0; r < alone[i]->len; r++)
      assert_memory_equal (&g_array_index (together[i], Row, r), &g_array_index (alone[i], Row, r), sizeof (Row));
    for (guint k = 0; k < owd_decoder_n_states (own); k++) {
      const OwdStateCounters *want = owd_decoder_state (own, k), *got = state_of (common, &want->key);

      assert_non_null (got);
      assert_memory_equal (got, want, sizeof *want);
    }
    owd_decoder_free (own);
    g_array_unref (alone[i]);
    g_array_unref (together[i]);
  }
  print_message ("seed %d: %u captures, %u rows\n", SEED, names->len, rows);
  assert_true (rows > 0);
  owd_decoder_free (common);
}

int
main (void)
{
  const struct CMUnitTest tests[]
      = { cmocka_unit_test (captures_equal_golden), cmocka_unit_test (captures_do_not_touch_each_other) };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
