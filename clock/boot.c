/* SPDX-License-Identifier: Apache-2.0
 *
 * Boot time of one exporter state by feasible lines; see owd-clock.h for the idea.
 *
 * A header read at true time T and true uptime U shows floor (T) and floor (U):
 *     boot (U) = T - U  lies in  (export - uptime - uptime_step, export - uptime + tick).
 * boot (U) moves with the skew between wall clock and uptime, so each header gives two half-planes over (skew, offset).
 * Their intersection is kept as a polygon of few corners: a new header clips it, the extent at an uptime is read off
 * the corners. Both cost O(corners); a header that would need one corner too many is left out, which only loses
 * sharpness.
 *
 * Clocks wander, so lines are good for hours at most: `young` starts anew each hour and then takes over, so that what
 * is used rests on the last one to two hours.
 *
 * A contradiction is one of
 *   jitter      a gap of a few ms: the header's two fields were not read at one instant, or the clock has wandered off
 *               its line; older knowledge is dropped, and if that does not help constraints are widened by the gap,
 *               until a step turns out to be the cause
 *   floating    sysUptime does not follow time (fprobe's stands still, but for jumps of a second); there is no boot
 *               time, each datagram has its own
 *   alternative everything else: kept beside the main lines until a header refutes it; confirmed by one that fits it
 * and not the main ones. Uptime that began anew: a reboot. Uptime going on: somebody set the clock. unstable    steps
 * again and again within few headers: not steps but bad header times; then only their hull is honest.
 *
 * When a clock was stepped is not seen at once: a step that is small beside the header's tick contradicts few headers.
 * It came after the last header that the new lines refute and before the first one that refuted the old lines; stamps
 * between these two may be read either way.
 *
 * As long as headers come that fit both the main lines and the alternative, nobody knows whether the one that began it
 * was wrong or the others after it have bent the main lines towards a clock that was stepped. So both count: boot times
 * are the hull of both, and of the main lines without the headers that may have come after a step. While the skew is
 * little known, one header may be all that a step of a tenth of a tick ever shows.
 *
 * Source: the feasible region of a clock's line under interval constraints is textbook linear programming in two
 * variables; Moon, Skelly, Towsley (INFOCOM 1999) use it for delays.
 */
#include "owd-clock.h"

#include <math.h>

#define JITTER_NS (5 * OWD_NS_PER_MS)
#define WRAP_MS (G_GINT64_CONSTANT (1) << 32)
#define WRAP_NEAR_NS                                                                                                   \
  (86400 * OWD_NS_PER_S)                /* a wrap leaves the boot time where it was, but for skew and clock steps      \
                                         */
#define WINDOW 256                      /* headers; so many contradictions in it are */
#define UNSTABLE 3                      /* not steps any more, if each is */
#define UNSTABLE_NS (10 * OWD_NS_PER_S) /* no larger than this */
#define CALM 1024                       /* headers without contradiction after which the jitter is halved */
#define ASTRAY_NS (400 * OWD_NS_PER_MS) /* between two headers: uptime and receive time disagree */
#define STRIKES_FLOATING 3
#define STRIKES_MAX 16
#define GENERATION_MS (G_GINT64_CONSTANT (3600) * 1000)

#define PRIOR_SIGMAS 2               /* its range of skews holds 95 %; it is taken for so much wider, */
#define DRIFT_PPM 0.3                /* for temperature within the time that it rests on, */
#define WANDER_PPM 1.0               /* and so much more beyond that time */
#define PRIOR_SLACK_NS OWD_NS_PER_MS /* a straight line through an hour of a crystal is off by as much */
#define LOCATE 256                   /* headers after a step that still help to find when it was */

typedef OwdBootHeader Constraint;

/* ---- lines ---------------------------------------------------------------------------------------- */

/* One constraint, any skew within the bound: a rectangle. */
static OwdBootLines
lines_from (const Constraint *c, double skew_bound_ppm)
{
  OwdBootLines l = { .ref_ns = c->lo_ns,
                     .ref_uptime_ms = c->uptime_ms,
                     .first_uptime_ms = c->uptime_ms,
                     .last_uptime_ms = c->uptime_ms,
                     .headers = 1,
                     .n = 4 };

  for (guint i = 0; i < 4; i++) {
    l.corner[i].skew_ppm = i == 1 || i == 2 ? skew_bound_ppm : -skew_bound_ppm;
    l.corner[i].offset_ns = i >= 2 ? (double) (c->hi_ns - c->lo_ns) : 0;
  }
  return l;
}

/* Offset of corner i at uptime; ms * ppm = ns. */
static double
value_at (const OwdBootLines *l, guint i, gint64 uptime_ms)
{
  return l->corner[i].offset_ns + l->corner[i].skew_ppm * (double) (uptime_ms - l->ref_uptime_ms);
}

static Constraint
extent (const OwdBootLines *l, gint64 uptime_ms)
{
  double lo = INFINITY, hi = -INFINITY;

  for (guint i = 0; i < l->n; i++) {
    double v = value_at (l, i, uptime_ms);

    lo = MIN (lo, v);
    hi = MAX (hi, v);
  }
  return (Constraint){ .lo_ns = l->ref_ns + (gint64) floor (lo),
                       .hi_ns = l->ref_ns + MAX ((gint64) ceil (hi), (gint64) floor (lo) + 1),
                       .uptime_ms = uptime_ms };
}

/* Does the whole polygon lie on the side of clip()? Most headers cut nothing off. */
static gboolean
lies_within (const OwdBootLines *l, gint64 uptime_ms, double limit_ns, double sign)
{
  double most = -INFINITY;

  for (guint i = 0; i < l->n; i++)
    most = MAX (most, sign * (value_at (l, i, uptime_ms) - limit_ns));
  return most <= 0;
}

/* Keeps the side of the polygon where sign * (value at uptime - limit) <= 0 (Sutherland and Hodgman for one edge).
 * FALSE, and nothing changed: nothing would be left, or it would need too many corners. */
static gboolean
clip (OwdBootLines *l, gint64 uptime_ms, double limit_ns, double sign)
{
  OwdBootLines out;

  if (lies_within (l, uptime_ms, limit_ns, sign))
    return TRUE;
  out = *l;
  out.n = 0;
  for (guint i = 0; i < l->n; i++) {
    guint k = i + 1 < l->n ? i + 1 : 0;
    double di = sign * (value_at (l, i, uptime_ms) - limit_ns), dk = sign * (value_at (l, k, uptime_ms) - limit_ns);

    if (out.n + 2 > OWD_BOOT_CORNERS)
      return FALSE;
    if (di <= 0)
      out.corner[out.n++] = l->corner[i];
    if ((di < 0 && dk > 0) || (di > 0 && dk < 0)) {
      double f = di / (di - dk);

      out.corner[out.n].skew_ppm = l->corner[i].skew_ppm + f * (l->corner[k].skew_ppm - l->corner[i].skew_ppm);
      out.corner[out.n++].offset_ns = l->corner[i].offset_ns + f * (l->corner[k].offset_ns - l->corner[i].offset_ns);
    }
  }
  if (out.n < 3)
    return FALSE;
  *l = out;
  return TRUE;
}

static void
take (OwdBootLines *l, const Constraint *c)
{
  (void) clip (l, c->uptime_ms, (double) (c->hi_ns - l->ref_ns), 1);
  (void) clip (l, c->uptime_ms, (double) (c->lo_ns - l->ref_ns), -1);
  l->last_uptime_ms = MAX (l->last_uptime_ms, c->uptime_ms);
  l->headers++;
}

/* 0 if they intersect, else the gap between them. */
static gint64
gap (const Constraint *a, const Constraint *b)
{
  if (b->lo_ns >= a->hi_ns)
    return b->lo_ns - a->hi_ns + 1;
  if (b->hi_ns <= a->lo_ns)
    return a->lo_ns - b->hi_ns + 1;
  return 0;
}

static gint64
gap_to (const OwdBootLines *l, const Constraint *c)
{
  Constraint now = extent (l, c->uptime_ms);

  return gap (&now, c);
}

/* ---- headers -------------------------------------------------------------------------------------- */

/* sysUptime wraps each 49.7 days: the number of wraps that brings the boot time back to what is known. Half-way between
 * two wraps it is a reboot. */
static Constraint
constraint_near (const Constraint *c, gint64 near_ns)
{
  gint64 wrap_ns = WRAP_MS * OWD_NS_PER_MS;
  gint64 k = llround ((double) (c->lo_ns - near_ns) / (double) wrap_ns);

  /* a boot time later than known is a reboot, never a wrap */
  if (k < 0 || ABS (c->lo_ns - near_ns - k * wrap_ns) > WRAP_NEAR_NS)
    k = 0;
  return (Constraint){ .lo_ns = c->lo_ns - k * wrap_ns,
                       .hi_ns = c->hi_ns - k * wrap_ns,
                       .uptime_ms = c->uptime_ms + k * WRAP_MS,
                       .recv_ns = c->recv_ns };
}

static void
use (OwdBoot *self, const Constraint *c, guint32 segment)
{
  self->use_lo_ns = c->lo_ns;
  self->use_hi_ns = c->hi_ns;
  self->use_uptime_ms = c->uptime_ms;
  self->use_segment = segment;
}

/* The hull of both. */
static Constraint
span (const Constraint *a, const Constraint *b)
{
  return (
      Constraint){ .lo_ns = MIN (a->lo_ns, b->lo_ns), .hi_ns = MAX (a->hi_ns, b->hi_ns), .uptime_ms = b->uptime_ms };
}

/* The current segment's boot times, whichever of the lines is right. */
static Constraint
current (const OwdBoot *self, gint64 uptime_ms)
{
  Constraint c = extent (&self->main, uptime_ms), other;

  if (!owd_boot_doubtful (self))
    return c;
  if (uptime_ms > self->before_alt_ms) {
    other = extent (&self->alt, uptime_ms);
    c = span (&c, &other);
  }
  if (uptime_ms < self->alt.first_uptime_ms) {
    other = extent (&self->before, uptime_ms);
    c = span (&c, &other);
  }
  return c;
}

/* What may be used of a segment's lines. Their constraints carry the jitter once; that they agree shows only that the
 * errors of two headers differ by at most twice the jitter, so the one error common to all may be as large again. */
static Constraint
usable (const OwdBoot *self, gboolean past, gint64 uptime_ms)
{
  Constraint c = past ? extent (&self->past, uptime_ms) : current (self, uptime_ms);
  gint64 slack_ns = self->jitter_ns + (self->likely[past ? 1 : 0].segment != 0 ? PRIOR_SLACK_NS : 0);

  c.lo_ns -= slack_ns;
  c.hi_ns += slack_ns;
  return c;
}

static void
use_main (OwdBoot *self, gint64 uptime_ms)
{
  Constraint now = usable (self, FALSE, uptime_ms);

  use (self, &now, self->segment);
}

/* An export cannot arrive before it was sent: boot <= recv - uptime in the collector's time. Where that contradicts the
 * header times, the exporter's clock is ahead. Where it does not, it could sharpen the upper end only if both clocks
 * agree; that is an assumption, so it is used only to prove the contradiction. */
static void
check_receive (OwdBoot *self, OwdTime recv_ns)
{
  gint64 latest_ns;

  if (recv_ns == OWD_TIME_NONE)
    return;
  latest_ns = recv_ns - self->use_uptime_ms * OWD_NS_PER_MS;
  if (latest_ns < self->use_lo_ns)
    self->rtc_ahead_ns = MAX (self->rtc_ahead_ns, self->use_lo_ns - latest_ns);
}

/* Uptime has begun anew. */
static gboolean
is_reboot (const OwdBoot *self, gint64 uptime_ms)
{
  return uptime_ms < self->main.last_uptime_ms - 1000;
}

/* Lines that hold both constraints and what lies between them. */
static OwdBootLines
lines_over (const Constraint *a, const Constraint *b, double skew_bound_ppm)
{
  Constraint both = span (a, b);

  return lines_from (&both, skew_bound_ppm);
}

/* What is kept of the segment begins anew with its lines as they are now. */
static void
keep_from_here (OwdBoot *self)
{
  self->older[0] = self->older[1] = self->older[2] = self->main;
  self->n_recent = 0;
  self->recent_segment = self->segment;
}

/* The main lines have taken it. */
static void
remember (OwdBoot *self, const Constraint *c)
{
  if (self->recent_segment != self->segment)
    keep_from_here (self);
  self->recent[self->n_recent++ % OWD_BOOT_RECENT] = *c;
  if (self->n_recent % (OWD_BOOT_RECENT / 2) == 0) {
    self->older[2] = self->older[1];
    self->older[1] = self->older[0];
    self->older[0] = self->main;
  }
}

/* Headers that came after a step, and had not contradicted anything yet, have narrowed the lines before it wrongly:
 * these are made anew of those that surely came before. FALSE: nothing that old was kept. */
static gboolean
lines_until (const OwdBoot *self, gint64 before_ms, OwdBootLines *ret_lines)
{
  const OwdBootLines *from = NULL;

  for (guint i = G_N_ELEMENTS (self->older); i-- > 0;)
    if (self->older[i].last_uptime_ms <= before_ms)
      from = &self->older[i];
  if (from == NULL || self->n_recent == 0)
    return FALSE;
  *ret_lines = *from;
  for (guint32 i = 0; i < MIN (self->n_recent, OWD_BOOT_RECENT); i++) {
    const Constraint *c = &self->recent[i];

    if (c->uptime_ms > from->last_uptime_ms && c->uptime_ms <= before_ms)
      take (ret_lines, c);
  }
  return TRUE;
}

/* The last of the kept headers from an uptime on that lines refute; NULL: none. */
static const Constraint *
last_refuted (const OwdBoot *self, const OwdBootLines *l, gint64 from_ms)
{
  const Constraint *last = NULL;

  for (guint32 i = 0; i < MIN (self->n_recent, OWD_BOOT_RECENT); i++) {
    const Constraint *c = &self->recent[i];

    if (c->uptime_ms >= from_ms && gap_to (l, c) > JITTER_NS) {
      last = c;
      from_ms = c->uptime_ms;
    }
  }
  return last;
}

/* The last header that the lines behind a step refute was sent before it. */
static void
locate_step (OwdBoot *self)
{
  const Constraint *last = last_refuted (self, &self->main, self->before_step_ms);

  if (last == NULL)
    return;
  self->before_step_ms = last->uptime_ms;
  self->before_step_recv_ns = last->recv_ns;
  (void) lines_until (self, self->before_step_ms, &self->past);
}

static gboolean
is_locating (const OwdBoot *self)
{
  return self->stepped && self->main.headers <= LOCATE && self->main.first_uptime_ms == self->segment_uptime_ms;
}

/* Of what is kept of headers before `ms`; of lines, if there are none. */
static gint64
oldest_kept_ms (const OwdBoot *self, gint64 ms, const OwdBootLines *l)
{
  gint64 oldest_ms = self->n_recent > 0 ? ms : l->first_uptime_ms;

  for (guint32 i = 0; i < MIN (self->n_recent, OWD_BOOT_RECENT); i++)
    oldest_ms = MIN (oldest_ms, self->recent[i].uptime_ms);
  return oldest_ms;
}

/* Contradictions that were taken for jitter, and that a step explains, leave none behind. */
static void
unlearn_jitter (OwdBoot *self)
{
  guint32 n = self->n_doubted;

  self->n_doubted = 0;
  if (n == 0 || n > OWD_BOOT_DOUBTED)
    return;
  for (guint32 i = 0; i < n; i++)
    if (self->doubted[i].uptime_ms <= self->before_step_ms || gap_to (&self->main, &self->doubted[i]) > 0)
      return;
  self->jitter_ns = MIN (self->jitter_ns, self->settled_ns);
}

/* It has risen by a contradiction of this header. */
static void
doubt_header (OwdBoot *self, const Constraint *c, gint64 was_ns)
{
  if (self->n_doubted == 0)
    self->settled_ns = was_ns;
  if (self->n_doubted < OWD_BOOT_DOUBTED) {
    self->doubted[self->n_doubted] = *c;
    self->doubted[self->n_doubted].lo_ns += was_ns;
    self->doubted[self->n_doubted].hi_ns -= was_ns;
  }
  self->n_doubted = MIN (self->n_doubted + 1, OWD_BOOT_DOUBTED + 1);
}

/* The alternative has its second witness. */
static OwdBootEvent
confirm (OwdBoot *self, const Constraint *c)
{
  gboolean reboot = is_reboot (self, c->uptime_ms);

  self->segments++;
  self->segment++;
  self->past = self->before;
  self->likely[1] = self->likely[0];
  self->likely[0] = (OwdBootLikely){ 0 };
  self->main = self->young = self->alt;
  self->stepped = !reboot;
  self->segment_uptime_ms = self->alt.first_uptime_ms;
  self->alt.headers = 0;
  if (reboot || self->recent_segment + 1 != self->segment)
    self->n_recent = 0;
  self->before_step_ms = oldest_kept_ms (self, self->segment_uptime_ms, &self->past);
  self->before_step_recv_ns = OWD_TIME_NONE;
  (void) lines_until (self, self->before_step_ms, &self->past);
  locate_step (self);
  if (reboot)
    self->n_doubted = 0;
  else
    unlearn_jitter (self);
  use_main (self, c->uptime_ms);
  if (reboot)
    self->reboots++;
  else
    self->steps++;
  return reboot ? OWD_BOOT_REBOOT : OWD_BOOT_STEP;
}

/* Counts contradictions that are small enough to be jitter. TRUE: there are too many for steps. */
static gboolean
is_unstable (OwdBoot *self, gint64 gap_ns)
{
  self->calm = 0;
  if (gap_ns > UNSTABLE_NS)
    return FALSE;
  self->small++;
  self->largest_ns = MAX (self->largest_ns, gap_ns);
  return self->small >= UNSTABLE;
}

static void
count_header (OwdBoot *self)
{
  if (++self->window == WINDOW) {
    self->window = self->small = 0;
    self->largest_ns = 0;
  }
  if (++self->calm == CALM) {
    self->calm = 0;
    self->jitter_ns /= 2;
    self->n_doubted = 0;
  }
}

/* Uptime and header time agree with each other and not with receive time: it is that which is no clock; captures have
 * been rewritten. Whole seconds that agree to the millisecond are no chance either. */
static gboolean
is_rewritten (gint64 elapsed_ns, gint64 exported_ns, gint64 up_ns, gint64 tick_ns)
{
  gint64 apart_ns = ABS (exported_ns - up_ns), off_ns = ABS (exported_ns - elapsed_ns);

  return (apart_ns <= tick_ns + ASTRAY_NS && off_ns > tick_ns + ASTRAY_NS)
         || (exported_ns >= tick_ns && apart_ns <= JITTER_NS && off_ns > ASTRAY_NS);
}

/* Does uptime follow receive time, which no setting of the exporter's clock touches? A reboot looks like one failure,
 * an uptime that is no clock fails again and again, though not each time: some exporters send bursts whose uptimes lie
 * a second apart, and now and then two of them fit. That two of one burst agree speaks for no clock: one that stands
 * still does so, too. */
static void
watch_uptime (OwdBoot *self, OwdTime recv_ns, OwdTime export_ns, gint64 tick_ns, guint32 uptime_ms)
{
  gint64 up_ns = owd_uptime_diff_ms (uptime_ms, self->watch_uptime_ms) * OWD_NS_PER_MS;
  gint64 elapsed_ns = recv_ns - self->watch_recv_ns;

  if (recv_ns == OWD_TIME_NONE)
    return;
  if (self->main.headers > 0 && !is_rewritten (elapsed_ns, export_ns - self->watch_export_ns, up_ns, tick_ns)) {
    if (ABS (elapsed_ns - up_ns) > ASTRAY_NS + ABS (elapsed_ns) / 1000)
      self->strikes = MIN (self->strikes + 2, STRIKES_MAX);
    else if (self->strikes > 0 && elapsed_ns > ASTRAY_NS)
      self->strikes--;
  }
  self->floating = self->strikes >= STRIKES_FLOATING;
  self->watch_recv_ns = recv_ns;
  self->watch_export_ns = export_ns;
  self->watch_uptime_ms = uptime_ms;
}

/* There is nothing to intersect with: the newest epoch is as good as any, and only its own datagram has it. */
static OwdBootEvent
take_epoch (OwdBoot *self, const Constraint *c, double skew_bound_ppm)
{
  self->segment++;
  self->past = self->main;
  self->main = self->young = lines_from (c, skew_bound_ppm);
  self->alt.headers = 0;
  keep_from_here (self);
  self->jitter_ns = 0;
  use (self, c, 0);
  return OWD_BOOT_FLOATING;
}

static OwdBootEvent
contradicts (OwdBoot *self, const Constraint *c, double skew_bound_ppm)
{
  gint64 gap_ns = gap_to (&self->main, c);

  if (is_unstable (self, gap_ns)) {
    Constraint was = extent (&self->main, c->uptime_ms);

    self->jitter_ns += self->largest_ns;
    self->n_doubted = OWD_BOOT_DOUBTED + 1;
    self->main = self->young = lines_over (&was, c, skew_bound_ppm);
    keep_from_here (self);
    self->alt.headers = 0;
    use_main (self, c->uptime_ms);
    return OWD_BOOT_UNSTABLE;
  }
  self->alt = lines_from (c, skew_bound_ppm);
  self->before = self->main;
  /* After a step most of the datagram's packets came before it; a header that is plain wrong says nothing of them. But
   * an uptime that may be no clock has nothing to do with those before. */
  if (is_reboot (self, c->uptime_ms) || self->strikes > 0)
    use (self, c, 0);
  else
    use_main (self, c->uptime_ms);
  self->outliers++;
  return OWD_BOOT_OUTLIER;
}

/* c lies at most a jitter beside the main lines. */
static void
refine (OwdBoot *self, const Constraint *c, double skew_bound_ppm)
{
  gint64 gap_ns = gap_to (&self->main, c);

  if (gap_ns > 0 && gap_to (&self->young, c) == 0) {
    self->main = self->young;
    gap_ns = 0;
  }
  if (gap_ns > 0) {
    Constraint was = extent (&self->main, c->uptime_ms);

    self->calm = 0;
    doubt_header (self, c, self->jitter_ns);
    self->jitter_ns += gap_ns;
    /* no further: the header itself spans a tick, and would hide a step that has just begun to show */
    was.lo_ns -= gap_ns;
    was.hi_ns += gap_ns;
    /* what was known before is kept beside it: should this be a step that begins to show, it holds before the step */
    self->main = self->young = lines_from (&was, skew_bound_ppm);
    return;
  }
  take (&self->main, c);
  take (&self->young, c);
  if (is_locating (self))
    locate_step (self);
  else if (self->alt.headers == 0) /* else what came before it is not lost, be it ever so long */
    remember (self, c);
  if (c->uptime_ms - self->young.first_uptime_ms < GENERATION_MS)
    return;
  if (self->main.first_uptime_ms != self->young.first_uptime_ms)
    self->main = self->young;
  if (self->alt.headers > 0 && self->main.first_uptime_ms > self->alt.first_uptime_ms)
    self->alt.headers = 0; /* the main lines rest on what came after it: nothing speaks against them */
  self->young = lines_from (c, skew_bound_ppm);
}

/* The header fits the main lines. If it fits the alternative as well it decides nothing: of a step that is small beside
 * the tick few headers tell. */
static void
doubt (OwdBoot *self, const Constraint *header)
{
  Constraint c = constraint_near (header, self->alt.ref_ns);
  const Constraint *last;

  if (gap_to (&self->alt, &c) != 0) {
    self->alt.headers = 0;
    return;
  }
  take (&self->alt, &c);
  self->before_alt_ms = self->before.first_uptime_ms;
  if (self->recent_segment != self->segment)
    return;
  self->before_alt_ms = oldest_kept_ms (self, self->alt.first_uptime_ms, &self->before);
  last = last_refuted (self, &self->alt, self->before_alt_ms);
  if (last != NULL)
    self->before_alt_ms = last->uptime_ms;
  (void) lines_until (self, self->before_alt_ms, &self->before);
}

/* A header that contradicts the main lines and fits an alternative which no header has refuted since is its second
 * witness, be the contradiction ever so small. */
static gboolean
is_witness (const OwdBoot *self, const Constraint *c)
{
  return self->alt.headers > 0 && gap_to (&self->main, c) > 0 && gap_to (&self->alt, c) == 0;
}

static OwdBootEvent
next_header (OwdBoot *self, const Constraint *header, double skew_bound_ppm)
{
  Constraint c = constraint_near (header, self->main.ref_ns);

  if (gap_to (&self->main, &c) <= JITTER_NS && !is_witness (self, &c)) {
    refine (self, &c, skew_bound_ppm);
    if (self->alt.headers > 0)
      doubt (self, header);
    use_main (self, c.uptime_ms);
    return OWD_BOOT_SAME;
  }
  if (self->alt.headers > 0) {
    Constraint near_alt = constraint_near (header, self->alt.ref_ns);

    if (gap_to (&self->alt, &near_alt) <= JITTER_NS) {
      if (gap_to (&self->alt, &near_alt) == 0)
        take (&self->alt, &near_alt);
      else
        self->alt = lines_from (&near_alt, skew_bound_ppm);
      return confirm (self, &near_alt);
    }
  }
  return contradicts (self, &c, skew_bound_ppm);
}

OwdBootEvent
owd_boot_header (OwdBoot *self, OwdTime export_ns, gint64 tick_ns, guint32 uptime_ms, gint64 uptime_step_ns,
                 OwdTime recv_ns, double skew_bound_ppm)
{
  gint64 b_ns = export_ns - (gint64) uptime_ms * OWD_NS_PER_MS;
  Constraint c
      = { .lo_ns = b_ns - uptime_step_ns, .hi_ns = b_ns + tick_ns, .uptime_ms = uptime_ms, .recv_ns = recv_ns };
  OwdBootEvent event = OWD_BOOT_FIRST;

  watch_uptime (self, recv_ns, export_ns, tick_ns, uptime_ms);
  if (self->main.headers == 0) {
    self->main = self->young = lines_from (&c, skew_bound_ppm);
    self->segment = self->segments = 1;
    use_main (self, uptime_ms);
  } else if (self->floating) {
    c = constraint_near (&c, self->main.ref_ns);
    event = take_epoch (self, &c, skew_bound_ppm);
  } else {
    count_header (self);
    c.lo_ns -= self->jitter_ns;
    c.hi_ns += self->jitter_ns;
    event = next_header (self, &c, skew_bound_ppm);
  }
  check_receive (self, recv_ns);
  return event;
}

void
owd_boot_widen (OwdBoot *self, gint64 by_ns, double skew_bound_ppm)
{
  Constraint now;

  if (self->main.headers == 0)
    return;
  now = extent (&self->main, self->main.last_uptime_ms);
  now.lo_ns -= by_ns;
  self->main = self->young = lines_from (&now, skew_bound_ppm);
  keep_from_here (self);
  self->alt.headers = 0;
  if (self->use_segment == self->segment)
    use_main (self, self->use_uptime_ms);
  else
    self->use_lo_ns -= by_ns;
}

gboolean
owd_boot_at (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 *ret_lo_ns, gint64 *ret_hi_ns)
{
  gboolean past = segment != self->segment;
  Constraint at;

  if (segment == 0 || (past && segment + 1 != self->segment) || (past ? &self->past : &self->main)->headers == 0)
    return FALSE;
  at = usable (self, past, uptime_ms);
  *ret_lo_ns = at.lo_ns;
  *ret_hi_ns = at.hi_ns;
  return TRUE;
}

gboolean
owd_boot_around_step (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 *ret_lo_ns, gint64 *ret_hi_ns,
                      gboolean *ret_either)
{
  gint64 lo_ns, hi_ns;

  if (!self->stepped || (segment != self->segment && segment + 1 != self->segment)
      || !owd_boot_at (self, uptime_ms < self->segment_uptime_ms ? self->segment - 1 : self->segment, uptime_ms,
                       ret_lo_ns, ret_hi_ns))
    return FALSE;
  *ret_either = uptime_ms > self->before_step_ms && uptime_ms < self->segment_uptime_ms;
  if (*ret_either && owd_boot_at (self, self->segment, uptime_ms, &lo_ns, &hi_ns)) {
    *ret_lo_ns = MIN (*ret_lo_ns, lo_ns);
    *ret_hi_ns = MAX (*ret_hi_ns, hi_ns);
  }
  return TRUE;
}

/* The rectangle of a profile: its boot time where it knows it best, and its skews. Uptimes on the segment's scale. */
static OwdBootLines
lines_of_prior (const OwdPrior *prior, gint64 boot_lo_ns, gint64 boot_hi_ns, gint64 now_ms)
{
  gint64 at_ms = (prior->boot_at_ns - boot_lo_ns) / OWD_NS_PER_MS;
  double away_ns = (double) ABS (now_ms - at_ms) * OWD_NS_PER_MS, half_ns = (double) prior->over_ns / 2;
  double middle = (prior->skew_lo_ppm + prior->skew_hi_ppm) / 2;
  double half = (prior->skew_hi_ppm - prior->skew_lo_ppm) / 2 * PRIOR_SIGMAS + DRIFT_PPM;
  OwdBootLines l = { .ref_ns = boot_lo_ns, .ref_uptime_ms = at_ms, .n = 4 };

  if (away_ns > half_ns)
    half += WANDER_PPM * (away_ns - half_ns) / away_ns;
  for (guint i = 0; i < 4; i++) {
    l.corner[i].skew_ppm = i == 1 || i == 2 ? middle + half : middle - half;
    l.corner[i].offset_ns = i >= 2 ? (double) (boot_hi_ns - boot_lo_ns) : 0;
  }
  return l;
}

gboolean
owd_boot_prior (OwdBoot *self, const OwdPrior *prior)
{
  gint64 now_ms = self->use_uptime_ms, wrap_ns = WRAP_MS * OWD_NS_PER_MS, shift_ns;
  Constraint known, told, first;
  OwdBootLines lines;

  if (self->main.headers == 0 || self->floating || prior->boot_lo_ns == OWD_TIME_NONE)
    return FALSE;
  known = extent (&self->main, now_ms);
  shift_ns = wrap_ns * llround ((double) (known.lo_ns - prior->boot_lo_ns) / (double) wrap_ns);
  lines = lines_of_prior (prior, prior->boot_lo_ns + shift_ns, prior->boot_hi_ns + shift_ns, now_ms);
  told = extent (&lines, now_ms);
  first = extent (&self->main, self->main.first_uptime_ms);
  if (gap (&known, &told) > 0 || gap_to (&lines, &first) > 0)
    return FALSE;
  self->likely[0] = (OwdBootLikely){ .segment = self->segment,
                                     .at_ms = lines.ref_uptime_ms,
                                     .boot_ns = prior->boot_ns + shift_ns,
                                     .skew_ppm = prior->skew_ppm };
  if (told.hi_ns - told.lo_ns >= known.hi_ns - known.lo_ns)
    return TRUE;
  lines.headers = self->main.headers;
  lines.first_uptime_ms = self->main.first_uptime_ms;
  lines.last_uptime_ms = self->main.last_uptime_ms;
  take (&lines, &first);
  take (&lines, &known);
  self->main = lines;
  if (self->use_segment == self->segment)
    use_main (self, now_ms);
  return TRUE;
}

gint64
owd_boot_likely (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 lo_ns, gint64 hi_ns)
{
  for (guint i = 0; i < 2 && segment != 0; i++) {
    const OwdBootLikely *l = &self->likely[i];

    if (l->segment == segment)
      return CLAMP (l->boot_ns + (gint64) (l->skew_ppm * (double) (uptime_ms - l->at_ms)), lo_ns, hi_ns);
  }
  return lo_ns + (hi_ns - lo_ns) / 2;
}
