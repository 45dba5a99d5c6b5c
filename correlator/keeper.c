/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper: one thread beside the workers, with a connection of its own, that rolls up what they have delivered, has
 * it judged for events and drops what is old. It hands nothing to them and takes nothing from them: the database says
 * what is to be done, and until it is done readers lack nothing. So a failure here is told and tried again, and stops
 * nobody.
 */
#include "program.h"

#define COMMITS_PER_ROLL 20 /* commit-intervals between looks */
#define RETAIN_EVERY_US (600 * G_USEC_PER_SEC)
#define RETRY_US G_USEC_PER_SEC

struct Keeper {
  Program *program;
  GThread *thread;
  GMutex lock; /* guards ended */
  GCond wake;
  gboolean ended; /* the workers have */
  OwdStore *store;
  gint64 retained_us;
  gboolean told; /* of the failure at hand */
};

/* Until the workers have ended, or the time is over. */
static gboolean
have_ended (Keeper *self, gint64 wait_us)
{
  gint64 until = g_get_monotonic_time () + wait_us;
  gboolean ended;

  g_mutex_lock (&self->lock);
  while (!self->ended && g_cond_wait_until (&self->wake, &self->lock, until))
    ;
  ended = self->ended;
  g_mutex_unlock (&self->lock);
  return ended;
}

gboolean
keeper_roll (Program *p, OwdStore *store, gboolean patient, GError **error)
{
  gboolean more = TRUE;

  while (more && !program_stopped (p))
    if (!owd_store_roll (store, patient, &more, error))
      return FALSE;
  return TRUE;
}

/* Events over what is rolled up: the database does it (sql/functions/evaluate_events.sql), the rules come from here. */
gboolean
keeper_judge (Program *p, OwdStore *store, GError **error)
{
  const OwdConfig *c = p->config;
  const OwdEventRules rules = { .threshold_ns = owd_config_duration_ns (c, "events", "threshold"),
                                .level_shift_ns = owd_config_duration_ns (c, "events", "level-shift"),
                                .silent_ns = owd_config_duration_ns (c, "events", "silent"),
                                .stalled_ns = owd_config_duration_ns (c, "events", "stalled"),
                                .loss = owd_config_double (c, "events", "loss"),
                                .distribution = owd_config_double (c, "events", "distribution"),
                                .raise_after = (guint) owd_config_int (c, "events", "raise-after"),
                                .clear_after = (guint) owd_config_int (c, "events", "clear-after") };
  gboolean more = TRUE;

  while (more && !program_stopped (p))
    if (!owd_store_evaluate (store, &rules, &more, error))
      return FALSE;
  return TRUE;
}

static gboolean
roll_up (Keeper *self, GError **error)
{
  if (self->store == NULL)
    self->store = owd_store_open (self->program->db, PROGRAM, error);
  return self->store != NULL && keeper_roll (self->program, self->store, TRUE, error);
}

static gboolean
drop_old (Keeper *self, GError **error)
{
  const OwdConfig *c = self->program->config;
  const OwdRetention keep = { .samples_ns = owd_config_duration_ns (c, "database", "retain-samples"),
                              .by_10s_ns = owd_config_duration_ns (c, "database", "retain-10s"),
                              .by_1min_ns = owd_config_duration_ns (c, "database", "retain-1min"),
                              .by_5min_ns = owd_config_duration_ns (c, "database", "retain-5min"),
                              .by_1h_ns = owd_config_duration_ns (c, "database", "retain-1h"),
                              .by_1d_ns = owd_config_duration_ns (c, "database", "retain-1d") };
  gint64 us = g_get_monotonic_time ();
  guint dropped = 0;

  if (self->program->once || us - self->retained_us < RETAIN_EVERY_US)
    return TRUE;
  self->retained_us = us;
  if (!owd_store_retain (self->store, &keep, &dropped, error))
    return FALSE;
  if (dropped > 0)
    g_message ("dropped %u tables of samples and roll-ups older than [database] retain-... says", dropped);
  return TRUE;
}

/* One round. Says once what goes wrong; the workers say it themselves where the database is away. */
static gboolean
keep (Keeper *self)
{
  g_autoptr (GError) error = NULL;

  if (roll_up (self, &error) && keeper_judge (self->program, self->store, &error) && drop_old (self, &error)) {
    self->told = FALSE;
    return TRUE;
  }
  if (g_error_matches (error, OWD_ERROR, OWD_ERROR_DB_AWAY) || self->told)
    g_info ("%s", error->message);
  else
    g_warning ("%s; samples go on, roll-ups and events are tried again", error->message);
  self->told |= !g_error_matches (error, OWD_ERROR, OWD_ERROR_DB_AWAY);
  return FALSE;
}

static gpointer
run (gpointer data)
{
  Keeper *self = data;
  gboolean fine = TRUE;

  while (!have_ended (self, fine ? COMMITS_PER_ROLL * self->program->commit_us : RETRY_US))
    fine = keep (self);
  return NULL;
}

Keeper *
keeper_start (Program *p)
{
  Keeper *self = g_new0 (Keeper, 1);

  self->program = p;
  self->retained_us = g_get_monotonic_time ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->wake);
  self->thread = g_thread_new ("keeper", run, self);
  return self;
}

void
keeper_end (Keeper *self)
{
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  g_cond_signal (&self->wake);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  g_cond_clear (&self->wake);
  g_mutex_clear (&self->lock);
  owd_store_free (self->store);
  g_free (self);
}
