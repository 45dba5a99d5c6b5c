/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes seeds/v5, seeds/v9 and seeds/ipfix below the given directory: sequences of datagrams as datagrams.h reads
 * them, one for each thing that a format can say. And seeds/stream: IPFIX messages as fuzz_stream.c reads them.
 */
#include "datagram.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const DgramField FLOW[]
    = { { 8, 4, 0 }, { 12, 4, 0 }, { 7, 2, 0 },  { 11, 2, 0 }, { 4, 1, 0 },  { 6, 1, 0 },  { 2, 4, 0 },
        { 1, 4, 0 }, { 22, 4, 0 }, { 21, 4, 0 }, { 61, 1, 0 }, { 48, 1, 0 }, { 225, 4, 0 } };
static const DgramField FLOW6[] = { { 27, 16, 0 }, { 28, 16, 0 }, { 8, 4, 0 },   { 12, 4, 0 },  { 154, 8, 0 },
                                    { 155, 8, 0 }, { 152, 8, 0 }, { 153, 8, 0 }, { 178, 1, 0 }, { 179, 1, 0 } };
static const DgramField VARLEN[]
    = { { 82, DGRAM_VARLEN, 0 }, { 8, 4, 0 },  { 291, DGRAM_VARLEN, 0 }, { 12, 4, 0 }, { 2, 3, 0 },
        { 161, 4, 0 },           { 153, 8, 0 } };
static const DgramField BIFLOW[] = { { 8, 4, 0 },     { 12, 4, 0 },    { 2, 8, 0 },     { 2, 8, 29305 },  { 152, 8, 0 },
                                     { 21, 4, 6871 }, { 14, 1, 6871 }, { 15, 1, 6871 }, { 152, 8, 29305 } };
static const DgramField TIMES[] = { { 8, 4, 0 },   { 12, 4, 0 },  { 150, 4, 0 }, { 157, 8, 0 }, { 158, 4, 0 },
                                    { 160, 8, 0 }, { 162, 8, 0 }, { 258, 8, 0 }, { 325, 8, 0 }, { 22, 8, 0 } };
static const DgramField PLACES[] = { { 27, 16, 0 }, { 28, 16, 0 }, { 253, 4, 0 }, { 254, 2, 0 },
                                     { 235, 4, 0 }, { 70, 3, 0 },  { 531, 4, 0 }, { 138, 8, 0 } };
static const DgramField LISTS[]
    = { { 8, 4, 0 }, { 293, DGRAM_VARLEN, 0 }, { 12, 4, 0 }, { 292, 6, 0 }, { 1234, 5, 35632 } };
static const DgramField TYPES[] = { { 346, 4, 0 }, { 303, 2, 0 }, { 339, 1, 0 }, { 341, DGRAM_VARLEN, 0 } };
static const DgramField REPORTS[] = { { 144, 4, 0 }, { 41, 8, 0 },  { 42, 8, 0 },  { 164, 8, 0 },
                                      { 166, 8, 0 }, { 167, 4, 0 }, { 305, 4, 0 }, { 306, 4, 0 } };
static const DgramField OPTIONS[] = { { 48, 2, 0 }, { 34, 4, 0 }, { 310, 4, 0 }, { 309, 4, 0 }, { 160, 8, 0 } };

static const struct {
  const DgramField *fields;
  guint n, n_scope;
} TEMPLATES[] = {
  { FLOW, G_N_ELEMENTS (FLOW), 0 },       { FLOW6, G_N_ELEMENTS (FLOW6), 0 },     { VARLEN, G_N_ELEMENTS (VARLEN), 0 },
  { BIFLOW, G_N_ELEMENTS (BIFLOW), 0 },   { OPTIONS, G_N_ELEMENTS (OPTIONS), 1 }, { TIMES, G_N_ELEMENTS (TIMES), 0 },
  { PLACES, G_N_ELEMENTS (PLACES), 0 },   { LISTS, G_N_ELEMENTS (LISTS), 0 },     { TYPES, G_N_ELEMENTS (TYPES), 2 },
  { REPORTS, G_N_ELEMENTS (REPORTS), 1 },
};

static void
begin (Dgram *d, guint version, guint32 seq)
{
  if (version == 9)
    dgram_v9 (d, 5000, 1700000000, seq, 1);
  else
    dgram_ipfix (d, 1700000000, seq, 1);
}

static void
append (GByteArray *seed, Dgram *d, guint flags)
{
  guint8 control[2];

  dgram_finish (d);
  control[0] = (guint8) (d->len >> 8 | flags >> 8);
  control[1] = (guint8) d->len;
  g_byte_array_append (seed, control, sizeof control);
  g_byte_array_append (seed, d->b, (guint) d->len);
}

static void
put_template (Dgram *d, guint version, guint i)
{
  if (TEMPLATES[i].n_scope > 0)
    dgram_options_template (d, version, 256 + i, TEMPLATES[i].n_scope, TEMPLATES[i].n, TEMPLATES[i].fields);
  else
    dgram_template (d, version, 256 + i, TEMPLATES[i].n, TEMPLATES[i].fields);
}

static void
put_record (Dgram *d, guint i)
{
  for (guint f = 0; f < TEMPLATES[i].n; f++) {
    guint len = TEMPLATES[i].fields[f].len;

    if (len == DGRAM_VARLEN) {
      dgram_u8 (d, 255);
      dgram_u16 (d, 3);
      len = 3;
    }
    for (guint k = 0; k < len; k++)
      dgram_u8 (d, k + 1 == len ? f + 1 : 0);
  }
}

static gboolean
save (const char *dir, const char *format, guint i, const GByteArray *seed)
{
  g_autofree char *folder = g_build_filename (dir, format, NULL);
  g_autofree char *name = g_strdup_printf ("%s/%02u", folder, i);
  g_autoptr (GError) error = NULL;

  if (g_mkdir_with_parents (folder, 0777) == 0
      && g_file_set_contents (name, (const char *) seed->data, (gssize) seed->len, &error))
    return TRUE;
  fprintf (stderr, "cannot write %s: %s\n", name, error != NULL ? error->message : "no such folder");
  return FALSE;
}

/* Template, then data twice; and data before its template; and a withdrawal at the end. */
static void
template_seed (GByteArray *seed, guint version, guint i)
{
  Dgram d;

  for (guint round = 0; round < 3; round++) {
    begin (&d, version, round);
    if (round == 1)
      put_template (&d, version, i);
    dgram_set (&d, 256 + i);
    put_record (&d, i);
    put_record (&d, i);
    append (seed, &d, round == 2 ? 1 << 11 : 0);
  }
  begin (&d, version, 9);
  dgram_template (&d, version, 256 + i, 0, NULL);
  append (seed, &d, 0);
}

/* Pieces of a given length, each longer than the one before by step; then messages, one for each template, and the way
 * the stream ends. */
static void
stream_seed (GByteArray *seed, guint8 piece, guint8 step, const guint8 *end, guint n_end)
{
  const guint8 control[] = { piece, step };

  g_byte_array_append (seed, control, sizeof control);
  for (guint i = 0; i < G_N_ELEMENTS (TEMPLATES); i++) {
    Dgram d;

    begin (&d, 10, i);
    put_template (&d, 10, i);
    dgram_set (&d, 256 + i);
    put_record (&d, i);
    dgram_finish (&d);
    g_byte_array_append (seed, d.b, (guint) d.len);
  }
  g_byte_array_append (seed, end, n_end);
}

static gboolean
save_streams (const char *dir)
{
  static const struct {
    guint8 piece, step, end[4];
    guint n_end;
  } streams[] = {
    { 0, 0, { 0 }, 0 },              /* byte by byte */
    { 15, 1, { 0, 10, 0, 15 }, 4 },  /* shorter than its header */
    { 255, 255, { 'G', 'E' }, 2 },   /* something else */
    { 100, 7, { 0, 10, 16, 0 }, 4 }, /* cut */
  };
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < G_N_ELEMENTS (streams); i++) {
    g_autoptr (GByteArray) seed = g_byte_array_new ();

    stream_seed (seed, streams[i].piece, streams[i].step, streams[i].end, streams[i].n_end);
    ok = save (dir, "stream", i, seed);
  }
  return ok;
}

int
main (int argc, char **argv)
{
  gboolean ok = argc == 2;

  if (!ok)
    fprintf (stderr, "usage: %s DIRECTORY\n", argv[0]);
  for (guint i = 0; ok && i < 2; i++) {
    g_autoptr (GByteArray) seed = g_byte_array_new ();
    Dgram d;

    dgram_v5 (&d, i + 1, 5000, 1700000000, 1, i, 0);
    for (guint k = 0; k <= i; k++)
      dgram_v5_record (&d, "192.0.2.1", "192.0.2.2", 1000, 2000 + k);
    append (seed, &d, 0);
    ok = save (argv[1], "v5", i, seed);
  }
  for (guint i = 0; ok && i < 2 * G_N_ELEMENTS (TEMPLATES); i++) {
    g_autoptr (GByteArray) seed = g_byte_array_new ();

    template_seed (seed, 9 + i % 2, i / 2);
    ok = save (argv[1], i % 2 == 0 ? "v9" : "ipfix", i, seed);
  }
  ok = ok && save_streams (argv[1]);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
