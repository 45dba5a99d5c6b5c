/* SPDX-License-Identifier: Apache-2.0
 *
 * Profiles in force: which one counts when, and what of it the correlator itself uses.
 *
 * Profiles are appended and never change. At a time t the newest one counts that begins at or before t; before an
 * exporter's first one, that one: it counts back to the first record. So replay gives what was given before, provided
 * that the correlator is told of a profile at the same place of the log again, which is its owner's duty.
 *
 * The clock model uses boot time, steps and the age of header uptimes (clock.c); here are the line cards' offsets, the
 * lags before the exporter has shown its own (order.c), and the name of the profile for the sample.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int
compare (const void *a, const void *b)
{
  const OwdPrior *x = a, *y = b;
  int keys = memcmp (&x->key, &y->key, sizeof x->key);

  if (keys != 0)
    return keys;
  if (x->from_ns != y->from_ns)
    return x->from_ns < y->from_ns ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

void
prior_attach (const OwdCorrelator *self, State *s)
{
  s->prior_from = s->n_priors = 0;
  s->prior_until_ns = OWD_TIME_NONE;
  for (guint32 i = 0; i < self->n_known_priors; i++) {
    if (!owd_state_key_equal (&self->prior[i].key, &s->key))
      continue;
    if (s->n_priors++ == 0)
      s->prior_from = i;
  }
}

void
owd_correlator_add_priors (OwdCorrelator *self, const OwdPrior *priors, guint n)
{
  if (n == 0)
    return;
  self->prior = g_renew (OwdPrior, self->prior, self->n_known_priors + n);
  memcpy (&self->prior[self->n_known_priors], priors, n * sizeof *priors);
  self->n_known_priors += n;
  qsort (self->prior, self->n_known_priors, sizeof *self->prior, compare);
  for (guint32 i = 0; i < self->n_states; i++)
    prior_attach (self, &self->state[i]);
}

guint32
owd_correlator_newest_prior (const OwdCorrelator *self)
{
  guint32 id = 0;

  for (guint32 i = 0; i < self->n_known_priors; i++)
    id = MAX (id, self->prior[i].id);
  return id;
}

/* Place in self->prior; NIL: none. */
static guint32
in_force (const OwdCorrelator *self, const State *s, OwdTime t)
{
  guint32 i = s->prior_from + s->n_priors;

  if (s->n_priors == 0)
    return NIL;
  while (i > s->prior_from + 1 && self->prior[i - 1].from_ns > t)
    i--;
  return i - 1;
}

guint32
prior_id_at (const OwdCorrelator *self, const State *s, OwdTime t)
{
  guint32 i = in_force (self, s, t);

  return i != NIL ? self->prior[i].id : 0;
}

/* Waiting records refer to a card by its place: it keeps it. */
static void
learn_cards (State *s, const OwdPrior *prior)
{
  for (guint g = 0; g < prior->n_groups; g++) {
    guint i = 0;

    while (i < s->n_cards && s->card[i].in_if != prior->group[g].in_if)
      i++;
    if (i == OWD_PRIOR_GROUPS)
      continue;
    s->n_cards = MAX (s->n_cards, i + 1);
    s->card[i]
        = (Card){ .in_if = prior->group[g].in_if, .lo_ns = prior->group[g].lo_ns, .hi_ns = prior->group[g].hi_ns };
  }
}

void
prior_update (OwdCorrelator *self, State *s, OwdTime recv_ns)
{
  guint32 i, end = s->prior_from + s->n_priors;

  if (s->n_priors == 0 || (s->prior_until_ns != OWD_TIME_NONE && recv_ns < s->prior_until_ns))
    return;
  i = in_force (self, s, recv_ns);
  s->prior_until_ns = i + 1 < end ? self->prior[i + 1].from_ns : G_MAXINT64;
  owd_clock_prior (&s->clock, &self->prior[i]);
  learn_cards (s, &self->prior[i]);
}

guint8
prior_card (const State *s, const OwdFlow *flow)
{
  for (guint i = 0; i < s->n_cards; i++) {
    if (s->card[i].in_if == flow->in_if)
      return (guint8) (i + 1);
  }
  return 0;
}
