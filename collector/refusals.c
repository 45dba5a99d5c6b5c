/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of what was refused, limited to ENTRIES_MAX rows; a row that did not repeat for a whole interval is
 * forgotten, so its next refusal is a first one again. First lines are limited to FIRST_LINES_MAX per interval and
 * repeats to REPEAT_LINES_MAX: a flood from invented addresses costs a fixed number of lines, and the rest is said as a
 * number.
 */
#include "refusals.h"
#include "owd-wire.h"

#include <string.h>

#define INTERVAL_NS (60 * OWD_NS_PER_S)
#define ENTRIES_MAX 4096
#define FIRST_LINES_MAX 20
#define REPEAT_LINES_MAX 20
#define WAITING_LINES_MAX 20

/* No padding: hashed and compared as memory. */
typedef struct {
  OwdAddr from;
  guint32 domain;
  guint16 version;
  guint16 reason;
} Key;

G_STATIC_ASSERT (sizeof (Key) == 24);

typedef struct {
  Key key;
  guint64 repeats; /* since it was last spoken of */
} Entry;

struct OwdRefusals {
  GHashTable *entries; /* set of Entry, by its key */
  OwdTime interval_ns; /* when the current interval began */
  guint first_lines;   /* in this interval */
  guint64 unsaid;      /* refusals of exporters that got no line in this interval */
  GArray *waiting;     /* of guint64: data sets without template, by state, when last looked at */
};

/* What a refusal means for the rest. */
static const char *
consequence (OwdReason reason)
{
  switch (reason) {
  case OWD_REASON_SHORT:
  case OWD_REASON_LENGTH:
  case OWD_REASON_SET_LENGTH:
    return "what was whole before it is used";
  case OWD_REASON_VERSION:
    return "datagram left";
  case OWD_REASON_TEMPLATE:
    return "template not used, other templates are";
  case OWD_REASON_RECORD:
    return "records before it are used";
  case OWD_REASON_NO_TEMPLATE:
    return "kept for a while until its template comes";
  case OWD_REASON_LATE_DROPPED:
    return "its template did not come";
  case OWD_REASON_LIMIT:
    return "left; see max-exporters, max-templates and max-memory in [collector]";
  case OWD_REASONS:
    break;
  }
  return "left";
}

static guint
entry_hash (gconstpointer v)
{
  const Key *key = &((const Entry *) v)->key;
  guint32 words[sizeof *key / 4];
  guint h = 0;

  memcpy (words, key, sizeof words);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    h = (h ^ words[i]) * 0x9e3779b1u;
  return h ^ h >> 16;
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (&((const Entry *) a)->key, &((const Entry *) b)->key, sizeof (Key)) == 0;
}

/* " 256" behind "unusable template": a template's offset is that of its id. Returns: (transfer full). */
static char *
template_id (OwdReason reason, const guint8 *data, gsize len, gsize offset)
{
  if (reason != OWD_REASON_TEMPLATE || offset > len || len - offset < 2)
    return g_strdup ("");
  return g_strdup_printf (" %u", owd_be16 (data + offset));
}

OwdRefusals *
owd_refusals_new (void)
{
  OwdRefusals *self = g_new0 (OwdRefusals, 1);

  self->entries = g_hash_table_new_full (entry_hash, entry_equal, g_free, NULL);
  self->interval_ns = OWD_TIME_NONE;
  self->waiting = g_array_new (FALSE, TRUE, sizeof (guint64));
  return self;
}

void
owd_refusals_free (OwdRefusals *self)
{
  if (self == NULL)
    return;
  g_hash_table_destroy (self->entries);
  g_array_unref (self->waiting);
  g_free (self);
}

/* Domain as the header claims it; 0 where it is cut off. */
static guint32
claimed_domain (guint version, const guint8 *data, gsize len)
{
  switch (version) {
  case 5:
    return len >= 22 ? owd_be16 (data + 20) : 0;
  case 9:
    return len >= 20 ? owd_be32 (data + 16) : 0;
  case 10:
    return len >= 16 ? owd_be32 (data + 12) : 0;
  default:
    return 0;
  }
}

/* "exporter 192.0.2.1 domain 0" */
static char *
who (const OwdAddr *from, guint version, guint32 domain)
{
  char addr[OWD_ADDR_TEXT];

  owd_addr_text (from, addr);
  if (version != 5 && version != 9 && version != 10)
    return g_strdup_printf ("exporter %s", addr);
  return g_strdup_printf ("exporter %s domain %u", addr, domain);
}

void
owd_refusals_add (OwdRefusals *self, const OwdDecoder *decoder, const OwdAddr *from, const guint8 *data, gsize len,
                  OwdTime now)
{
  Entry entry = { .key = { .from = *from } }, *known;
  g_autofree char *name = NULL, *id = NULL;
  OwdReason reason;
  gsize offset;

  owd_refusals_tick (self, decoder, now);
  owd_decoder_last_refusal (decoder, &reason, &offset);
  if (len >= 2 && reason != OWD_REASON_VERSION) /* or noise would be a new case each time */
    entry.key.version = owd_be16 (data);
  entry.key.domain = claimed_domain (entry.key.version, data, len);
  entry.key.reason = (guint16) reason;
  known = g_hash_table_lookup (self->entries, &entry);
  if (known != NULL) {
    known->repeats++;
    return;
  }
  if (self->first_lines >= FIRST_LINES_MAX || g_hash_table_size (self->entries) >= ENTRIES_MAX) {
    self->unsaid++;
    return;
  }
  g_hash_table_add (self->entries, g_memdup2 (&entry, sizeof entry));
  self->first_lines++;
  name = who (from, entry.key.version, entry.key.domain);
  id = template_id (reason, data, len, offset);
  g_warning ("%s: %s%s, at byte %" G_GSIZE_FORMAT " of a datagram of %" G_GSIZE_FORMAT ": %s", name,
             owd_reason_text (reason), id, offset, len, consequence (reason));
}

static void
say_repeats (OwdRefusals *self)
{
  GHashTableIter iter;
  gpointer row;
  guint lines = 0;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, &row, NULL)) {
    Entry *entry = row;

    if (entry->repeats == 0) {
      g_hash_table_iter_remove (&iter);
      continue;
    }
    if (lines < REPEAT_LINES_MAX) {
      g_autofree char *name = who (&entry->key.from, entry->key.version, entry->key.domain);

      g_warning ("%s: %s: %" G_GUINT64_FORMAT " more", name, owd_reason_text ((OwdReason) entry->key.reason),
                 entry->repeats);
      lines++;
    } else {
      self->unsaid += entry->repeats;
    }
    entry->repeats = 0;
  }
  if (self->unsaid > 0)
    g_warning ("%" G_GUINT64_FORMAT " more refusals from other exporters", self->unsaid);
  self->unsaid = 0;
}

/* Not a refusal, but what a user must know who wonders where the records of a new exporter are. */
static void
say_waiting (OwdRefusals *self, const OwdDecoder *decoder)
{
  guint lines = 0, n = owd_decoder_n_states (decoder);

  if (self->waiting->len < n)
    g_array_set_size (self->waiting, n);
  for (guint i = 0; i < n; i++) {
    const OwdStateCounters *c = owd_decoder_state (decoder, i);
    guint64 *before = &g_array_index (self->waiting, guint64, i), now = c->refused[OWD_REASON_NO_TEMPLATE];

    if (now > *before && lines < WAITING_LINES_MAX) {
      g_autofree char *name = who (&c->key.addr, c->key.version, c->key.domain);

      g_message ("%s: %" G_GUINT64_FORMAT " data sets came without a known template; kept for a while, as it may come "
                 "yet (routers repeat theirs every 1 to 30 minutes)",
                 name, now - *before);
      lines++;
    }
    *before = now;
  }
}

void
owd_refusals_tick (OwdRefusals *self, const OwdDecoder *decoder, OwdTime now)
{
  if (self->interval_ns == OWD_TIME_NONE || now < self->interval_ns)
    self->interval_ns = now;
  if (now - self->interval_ns < INTERVAL_NS)
    return;
  say_repeats (self);
  say_waiting (self, decoder);
  self->first_lines = 0;
  self->interval_ns = now;
}

static void
summarise (const char *name, const guint64 refused[OWD_REASONS])
{
  for (guint i = 0; i < OWD_REASONS; i++)
    if (refused[i] > 0)
      g_message ("%s: %" G_GUINT64_FORMAT " x %s", name, refused[i], owd_reason_text ((OwdReason) i));
}

void
owd_refusals_summary (const OwdDecoder *decoder)
{
  for (guint i = 0; i < owd_decoder_n_states (decoder); i++) {
    const OwdStateCounters *c = owd_decoder_state (decoder, i);
    g_autofree char *name = who (&c->key.addr, c->key.version, c->key.domain);

    summarise (name, c->refused);
  }
  summarise ("datagrams of no known exporter", owd_decoder_unattributed (decoder));
}
