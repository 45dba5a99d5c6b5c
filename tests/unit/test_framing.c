/* SPDX-License-Identifier: Apache-2.0
 *
 * The same messages, however the stream was cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "framing.h"

#include <string.h>

#define LONGEST 65535

/* A message of that length whose bytes tell where they belong. */
static void
put_message (GByteArray *stream, gsize len)
{
  guint8 head[] = { 0, 10, (guint8) (len >> 8), (guint8) len };

  g_byte_array_append (stream, head, sizeof head);
  for (gsize i = sizeof head; i < len; i++) {
    guint8 b = (guint8) (i * 31 + len);

    g_byte_array_append (stream, &b, 1);
  }
}

/* All messages behind each other, as they were in the stream. */
static OwdStatus
take (OwdFraming *f, GByteArray *got, guint *n_messages)
{
  const guint8 *message;
  gsize len;
  OwdStatus status;

  while ((status = owd_framing_next (f, &message, &len)) == OWD_STATUS_OK) {
    assert_int_equal (len, (gsize) message[2] << 8 | message[3]);
    g_byte_array_append (got, message, (guint) len);
    (*n_messages)++;
  }
  return status;
}

/* Feeds the stream in pieces, whose lengths piece() tells. */
static OwdStatus
feed (const GByteArray *stream, gsize (*piece) (void *user), void *user, GByteArray *got, guint *n_messages)
{
  OwdFraming f;
  OwdStatus status = OWD_STATUS_END;
  gsize at = 0;

  owd_framing_init (&f);
  while (at < stream->len && status == OWD_STATUS_END) {
    gsize room, n = piece (user);
    guint8 *p = owd_framing_room (&f, &room);

    assert_true (room > 0);
    n = MIN (MIN (n, room), stream->len - at);
    memcpy (p, stream->data + at, n);
    owd_framing_add (&f, n);
    at += n;
    status = take (&f, got, n_messages);
  }
  assert_int_equal (got->len + owd_framing_rest (&f), at);
  owd_framing_clear (&f);
  return status;
}

static gsize
fixed_piece (void *user)
{
  return *(const gsize *) user;
}

static gsize
random_piece (void *user)
{
  GRand *rand = user;
  gint32 most = 1 << g_rand_int_range (rand, 0, 17);

  return (gsize) g_rand_int_range (rand, 1, most + 1);
}

static GByteArray *
some_stream (void)
{
  static const gsize lengths[] = { 16, 17, 1400, LONGEST, 16, 4096, LONGEST, LONGEST, 20, 9000, 16 };
  GByteArray *stream = g_byte_array_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    put_message (stream, lengths[i]);
  return stream;
}

static void
any_pieces_give_the_same (void **state)
{
  static const gsize pieces[] = { 1, 2, 3, 15, 16, 17, 1448, LONGEST, LONGEST + 1, 1 << 20 };
  g_autoptr (GByteArray) stream = some_stream ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (pieces) + 50; i++) {
    g_autoptr (GByteArray) got = g_byte_array_new ();
    gsize n = i < G_N_ELEMENTS (pieces) ? pieces[i] : 0;
    guint n_messages = 0;

    assert_int_equal (feed (stream, n > 0 ? fixed_piece : random_piece, n > 0 ? (void *) &n : rand, got, &n_messages),
                      OWD_STATUS_END);
    assert_int_equal (n_messages, 11);
    assert_int_equal (got->len, stream->len);
    assert_memory_equal (got->data, stream->data, got->len);
  }
}

static void
rest_is_kept (void **state)
{
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  g_autoptr (GByteArray) got = g_byte_array_new ();
  gsize piece = 7;
  guint n_messages = 0;

  (void) state;
  put_message (stream, 100);
  put_message (stream, 100);
  g_byte_array_set_size (stream, 199);
  assert_int_equal (feed (stream, fixed_piece, &piece, got, &n_messages), OWD_STATUS_END);
  assert_int_equal (n_messages, 1);
  assert_int_equal (got->len, 100);
}

/* What is whole before the fault is given out; the fault is told by the first byte that shows it, and stays. */
static void
faults_stick (void **state)
{
  static const struct {
    guint8 bytes[4];
    gsize n;
    OwdStatus want;
  } cases[] = {
    { { 'G' }, 1, OWD_STATUS_VERSION },          { { 0, 9 }, 2, OWD_STATUS_VERSION },
    { { 0, 5, 0, 30 }, 4, OWD_STATUS_VERSION },  { { 0, 10, 0, 15 }, 4, OWD_STATUS_LENGTH },
    { { 0, 10, 0, 0 }, 4, OWD_STATUS_LENGTH },   { { 0, 10, 0, 16 }, 4, OWD_STATUS_END },
    { { 1, 10, 0, 16 }, 4, OWD_STATUS_VERSION }, { { 0, 10, 255, 255 }, 4, OWD_STATUS_END },
    { { 0, 10, 0 }, 3, OWD_STATUS_END },
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) stream = g_byte_array_new ();
    g_autoptr (GByteArray) got = g_byte_array_new ();
    gsize piece = 1;
    guint n_messages = 0;

    put_message (stream, 40);
    g_byte_array_append (stream, cases[i].bytes, (guint) cases[i].n);
    assert_int_equal (feed (stream, fixed_piece, &piece, got, &n_messages), cases[i].want);
    assert_int_equal (n_messages, 1);
  }
}

static void
nothing_after_a_fault (void **state)
{
  OwdFraming f;
  g_autoptr (GByteArray) stream = g_byte_array_new ();
  const guint8 *message;
  gsize room, len;

  (void) state;
  owd_framing_init (&f);
  memset (owd_framing_room (&f, &room), 0xff, 16);
  owd_framing_add (&f, 16);
  assert_int_equal (owd_framing_next (&f, &message, &len), OWD_STATUS_VERSION);
  put_message (stream, 16);
  memcpy (owd_framing_room (&f, &room), stream->data, 16);
  owd_framing_add (&f, 16);
  assert_int_equal (owd_framing_next (&f, &message, &len), OWD_STATUS_VERSION);
  owd_framing_clear (&f);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (any_pieces_give_the_same),
    cmocka_unit_test (rest_is_kept),
    cmocka_unit_test (faults_stick),
    cmocka_unit_test (nothing_after_a_fault),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
