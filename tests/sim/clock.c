/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks of an exporter. Two hands: an oscillator with skew and a daily swing of temperature drives sysUptime; the
 * wall clock is held by NTP, wanders a little, steps and slews. Stamps and headers read one or the other and are cut
 * to their steps (floor). All in integers but for the small corrections, so 50 days lose less than a nanosecond.
 */
#include "internal.h"

#define NTP_UNIX_S 2208988800u
#define WANDER_NS (1800.0 * (double) OWD_NS_PER_S)

void
sim_clock_init (SimExporter *ex, OwdTime start_ns, guint64 seed)
{
  ex->temp_phase = 2 * G_PI * (double) (sim_hash (seed, 1) >> 11) * 0x1p-53;
  ex->wander_phase = 2 * G_PI * (double) (sim_hash (seed, 2) >> 11) * 0x1p-53;
  ex->boot_ns[0] = start_ns - ex->set.up_before_ns;
  for (guint i = 0; i < ex->set.n_reboots; i++)
    ex->boot_ns[i + 1] = start_ns + ex->set.reboot_ns[i];
}

guint
sim_clock_epoch (const SimExporter *ex, OwdTime t)
{
  guint i = ex->set.n_reboots;

  while (i > 0 && ex->boot_ns[i] > t)
    i--;
  return i;
}

gint64
sim_shift_at (const OwdSimShift *shifts, guint n, gint64 elapsed_ns)
{
  gint64 sum = 0;

  for (guint i = 0; i < n; i++) {
    const OwdSimShift *s = &shifts[i];
    gint64 into = elapsed_ns - s->at_ns;

    if (into >= s->over_ns)
      sum += into >= 0 ? s->delta_ns : 0;
    else if (into > 0)
      sum += (gint64) ((double) s->delta_ns * (double) into / (double) s->over_ns);
  }
  return sum;
}

/* Counts from the first boot. */
gint64
sim_clock_oscillator (const SimExporter *ex, OwdTime t)
{
  gint64 elapsed = t - ex->boot_ns[0];
  double extra = (double) elapsed * ex->set.skew_ppm;

  if (ex->set.temp_ppm != 0)
    extra += ex->set.temp_ppm * (double) DAY_NS / (2 * G_PI)
             * (cos (ex->temp_phase) - cos (2 * G_PI * (double) elapsed / (double) DAY_NS + ex->temp_phase));
  return elapsed + (gint64) floor (extra * 1e-6);
}

gint64
sim_clock_uptime (const SimExporter *ex, OwdTime t)
{
  guint epoch = sim_clock_epoch (ex, t);

  return sim_clock_oscillator (ex, t) - (epoch > 0 ? sim_clock_oscillator (ex, ex->boot_ns[epoch]) : 0);
}

OwdTime
sim_clock_rtc (const SimExporter *ex, OwdTime t)
{
  gint64 elapsed = t - ex->boot_ns[0] - ex->set.up_before_ns;
  gint64 rtc = t + ex->set.rtc_offset_ns;

  if (ex->set.rtc_wander_ns != 0)
    rtc += (gint64) ((double) ex->set.rtc_wander_ns * sin (2 * G_PI * (double) elapsed / WANDER_NS + ex->wander_phase));
  return rtc + sim_shift_at (ex->set.rtc, ex->set.n_rtc, elapsed);
}

/* The wall clock behind absolute stamps. */
static OwdTime
stamp_clock (const SimExporter *ex, OwdTime t)
{
  if (ex->set.epoch_at_boot)
    return sim_clock_rtc (ex, ex->boot_ns[sim_clock_epoch (ex, t)]) + sim_clock_uptime (ex, t);
  return sim_clock_rtc (ex, t);
}

gint64
sim_clock_error (const SimExporter *ex, OwdTime t)
{
  if (ex->set.stamps == OWD_STAMP_UPTIME_MS)
    return sim_clock_rtc (ex, t) - t;
  return stamp_clock (ex, t) - t;
}

/* 64-bit NTP format. The fraction is rounded up, so that reading it back (floor) gives the same nanosecond; then the
 * unused bits are cut: 11 for microsecond stamps (RFC 7011 6.1.9), which makes them up to 477 ns early. */
static guint64
ntp (OwdTime t, guint64 unused_bits)
{
  guint64 frac = (((guint64) (t % OWD_NS_PER_S) << 32) + OWD_NS_PER_S - 1) / (guint64) OWD_NS_PER_S;
  guint64 s = (guint64) (t / OWD_NS_PER_S) + NTP_UNIX_S;

  return (s << 32) + (frac & ~unused_bits);
}

/* What counts milliseconds for uptime stamps and headers. */
static gint64
uptime_counter (const SimExporter *ex, OwdTime t)
{
  return ex->set.float_ns != 0 ? sim_clock_rtc (ex, t) - ex->float_ns : sim_clock_uptime (ex, t);
}

guint32
sim_clock_header_uptime (const SimExporter *ex, OwdTime t)
{
  gint64 v = sim_floor (uptime_counter (ex, t), ex->set.uptime_step_ns, ex->set.uptime_phase_ns);

  return (guint32) (sim_floor (v, OWD_NS_PER_MS, 0) / OWD_NS_PER_MS);
}

guint64
sim_clock_stamp (const SimExporter *ex, guint bound, OwdTime t, gint64 offset_ns, OwdTime export_s)
{
  gboolean uptime = ex->set.stamps == OWD_STAMP_UPTIME_MS;
  gint64 v = (uptime ? uptime_counter (ex, t) : stamp_clock (ex, t)) + offset_ns;

  v = sim_floor (v, ex->set.step_ns[bound], ex->set.phase_ns[bound]);
  if (uptime) {
    gint64 ms = sim_floor (v, OWD_NS_PER_MS, 0) / OWD_NS_PER_MS;
    return ex->set.wide_uptime ? (guint64) MAX (ms, 0) : (guint32) ms;
  }
  v = MAX (v, 0);
  switch (ex->set.stamps) {
  case OWD_STAMP_UNIX_S:
    return (guint32) (v / OWD_NS_PER_S);
  case OWD_STAMP_UNIX_MS:
    return (guint64) (v / OWD_NS_PER_MS);
  case OWD_STAMP_NTP_US:
    return ntp (v, 2047);
  case OWD_STAMP_NTP_NS:
    return ntp (v, 0);
  case OWD_STAMP_DELTA_US:
    return (guint32) (MAX (export_s * OWD_NS_PER_S - v, 0) / OWD_NS_PER_US);
  default:
    g_assert_not_reached ();
  }
}
