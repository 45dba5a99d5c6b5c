/* SPDX-License-Identifier: Apache-2.0
 *
 * The way out: records wait until a datagram is full or the export timer fires, then travel to the collector.
 */
#include "internal.h"

#define BURST_GAP_NS (50 * OWD_NS_PER_US) /* between datagrams of one exporter */

static void
set_tick (OwdSim *self, guint exporter, OwdTime t)
{
  SimExporter *ex = &self->exporters[exporter];
  gint64 clock = ex->set.tick_rtc ? sim_clock_rtc (ex, t) : sim_clock_oscillator (ex, t);
  gint64 next = sim_floor (clock, ex->set.tick_ns, ex->set.tick_phase_ns) + ex->set.tick_ns;

  if (ex->tick_set)
    return;
  ex->tick_set = TRUE;
  sim_event (self, t + next - clock + (gint64) (sim_rng_unit (&ex->rng) * (double) ex->set.tick_jitter_ns), EVENT_TICK,
             exporter, NULL);
}

/* Takes the datagram along the way: in order, but for those that are held up; some arrive twice. */
static void
transport (OwdSim *self, SimExporter *ex, SimDatagram *d, OwdTime t)
{
  gint64 delay = ex->set.transport_ns + sim_rng_exp (&ex->rng, ex->set.transport_jitter_ns);

  if (sim_rng_chance (&ex->rng, ex->set.datagram_reorder)) {
    d->recv_ns = t + delay + sim_rng_between (&ex->rng, OWD_NS_PER_MS, 50 * OWD_NS_PER_MS);
    ex->counts.datagrams_reordered++;
  } else {
    d->recv_ns = ex->recv_ns = MAX (t + delay, ex->recv_ns + OWD_NS_PER_US);
  }
  if (sim_rng_chance (&ex->rng, ex->set.datagram_duplicate)) {
    SimDatagram *copy = sim_datagram (self);

    *copy = *d;
    copy->recv_ns += sim_rng_between (&ex->rng, 0, OWD_NS_PER_MS);
    ex->counts.datagrams_duplicate++;
    sim_send (self, copy);
  }
  sim_send (self, d);
}

static void
forget (OwdSim *self, SimExporter *ex)
{
  for (guint i = 0; i < ex->pending->len; i++) {
    SimRecord *r = g_ptr_array_index (ex->pending, i);

    r->lost = TRUE;
    ex->counts.records_died++;
    sim_record_done (self, r);
  }
  g_ptr_array_set_size (ex->pending, 0);
}

/* Notices a reboot that happened since the last call. */
static void
check_reboot (OwdSim *self, SimExporter *ex, OwdTime t)
{
  guint epoch = sim_clock_epoch (ex, t);

  if (epoch == ex->epoch)
    return;
  ex->epoch = epoch;
  ex->seq = 0;
  ex->template_due = t;
  forget (self, ex);
}

static void
note (OwdTime shown_ns[2], OwdTime recv_ns)
{
  if (shown_ns[0] == 0)
    shown_ns[0] = recv_ns;
  else if (shown_ns[1] == 0)
    shown_ns[1] = recv_ns;
}

/* Which steps and reboots does the header of a datagram show, that was sent at t and arrives at recv_ns? */
static void
note_shown (OwdSim *self, SimExporter *ex, OwdTime t, OwdTime recv_ns)
{
  OwdTime rtc = sim_clock_rtc (ex, t);
  gint64 tick_ns = ex->set.header_frac ? 1 : OWD_NS_PER_S;

  for (guint i = 0; i < ex->set.n_rtc; i++)
    if (t >= self->config->start_ns + ex->set.rtc[i].at_ns
        && rtc / tick_ns != (rtc - ex->set.rtc[i].delta_ns) / tick_ns)
      note (ex->counts.step_shown_ns[i], recv_ns);
  for (guint i = 0; i < ex->set.n_reboots; i++)
    if (t >= ex->boot_ns[i + 1])
      note (ex->counts.reboot_shown_ns[i], recv_ns);
}

static void
emit (OwdSim *self, guint exporter, OwdTime t)
{
  SimExporter *ex = &self->exporters[exporter];
  gboolean templates = ex->set.version != 5 && t >= ex->template_due, lost;
  SimDatagram *d;

  if (ex->pending->len == 0)
    return;
  t = ex->sent_ns = MAX (t, ex->sent_ns + BURST_GAP_NS);
  d = sim_datagram (self);
  d->exporter = exporter;
  d->len = sim_wire (ex, t, ex->pending, templates, d->bytes);
  g_assert (d->len <= sizeof d->bytes);
  if (templates)
    ex->template_due = t + ex->set.template_ns;
  lost = sim_rng_chance (&ex->rng, ex->set.datagram_loss);
  ex->counts.datagrams++;
  ex->counts.records += ex->pending->len;
  if (lost) {
    ex->counts.datagrams_lost++;
    ex->counts.records_in_lost += ex->pending->len;
    g_ptr_array_add (self->spare, d);
  } else {
    transport (self, ex, d, t);
    note_shown (self, ex, t, d->recv_ns);
  }
  for (guint i = 0; i < ex->pending->len; i++) {
    SimRecord *r = g_ptr_array_index (ex->pending, i);

    r->lost = lost;
    ex->counts.biflows += r->twin != NULL;
    sim_record_done (self, r);
  }
  g_ptr_array_set_size (ex->pending, 0);
}

/* With tick_only a full datagram waits, too: then `pending` holds the overflow and the tick sends several. */
void
sim_export_record (OwdSim *self, SimRecord *record, OwdTime t)
{
  SimExporter *ex = &self->exporters[record->exporter];

  check_reboot (self, ex, t);
  if (ex->pending->len == 0 && ex->set.float_ns != 0)
    ex->float_ns = sim_clock_rtc (ex, t) - ex->set.float_ns;
  g_ptr_array_add (ex->pending, record);
  if (!ex->set.tick_only && ex->pending->len >= ex->set.max_records)
    emit (self, record->exporter, t);
  else
    set_tick (self, record->exporter, t);
}

void
sim_export_tick (OwdSim *self, guint exporter, OwdTime t)
{
  SimExporter *ex = &self->exporters[exporter];

  ex->tick_set = FALSE;
  check_reboot (self, ex, t);
  if (ex->pending->len <= ex->set.max_records) {
    emit (self, exporter, t);
    return;
  }
  /* more than one datagram: the rest as events of their own, so that time goes on between them */
  GPtrArray *all = ex->pending, *first = g_ptr_array_new ();

  for (guint i = 0; i < ex->set.max_records; i++)
    g_ptr_array_add (first, g_ptr_array_index (all, i));
  ex->pending = first;
  emit (self, exporter, t);
  g_ptr_array_remove_range (all, 0, ex->set.max_records);
  ex->pending = all;
  g_ptr_array_unref (first);
  ex->tick_set = TRUE;
  sim_event (self, t + BURST_GAP_NS, EVENT_TICK, exporter, NULL);
}
