/* SPDX-License-Identifier: Apache-2.0
 *
 * The database in domain words; the only part of Oneway that knows libpq. No free-form query leaves this folder.
 *
 * Every call returns FALSE with error set:
 *   OWD_ERROR_DB_AWAY  not reachable or lost in the middle: call again later (the store reconnects by itself)
 *   OWD_ERROR_DB       refused: a defect or a missing right; the message has SQLSTATE, server text and what was tried
 *   OWD_ERROR_FENCED   another process took the partition over
 *   OWD_ERROR_CONFIG   the conninfo cannot be read
 *   OWD_ERROR_FAILED   a batch that breaks the promises made to readers: a defect of the caller
 * Conninfo may be NULL or "": libpq's environment (PGHOST, ...) counts. Passwords never appear in messages.
 * A store is one connection: one thread at a time.
 */
#ifndef OWD_STORE_H
#define OWD_STORE_H

#include "owd-light.h"
#include "owd-prior.h"
#include "owd-sample.h"

G_BEGIN_DECLS

typedef struct OwdStore OwdStore;

/* Connects and checks the schema version: too old is OWD_ERROR_DB with the hint to run `oneway db migrate`.
 * application_name becomes e.g. "oneway-correlator". */
OwdStore *owd_store_open (const char *conninfo, const char *program, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_store_free (OwdStore *self); /* NULL is fine */

/* Brings the schema to the newest version, each step in its own transaction, under an advisory lock; works on an empty
 * database. The steps are built into the library (sql/). progress: called after each step; may be NULL. */
typedef void (*OwdMigrateFunc) (void *user, guint step, const char *name);
gboolean owd_store_migrate (const char *conninfo, OwdMigrateFunc progress, void *user,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Version in the database (0: no schema) and newest version known here. */
gboolean owd_store_version (const char *conninfo, guint *ret_database, guint *ret_newest,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- the correlator's side --------------------------------------------------------------------- */

/* Where a partition stands: committed together with the samples that it produced. */
typedef struct {
  guint64 offset;    /* next log offset to read */
  guint64 seq;       /* number of samples kept raw so far = seq of the last one */
  guint64 excess;    /* number of those delivered that were not (OWD_SAMPLE_EXCESS) */
  OwdTime watermark; /* no sample with ts at or before it will be added; OWD_TIME_NONE: none yet */
  guint64 shed_ppm;  /* share of the flows that is shed now; written, never read */
  gint64 horizon_ns; /* likewise: how long samples wait */
} OwdMark;

/* Takes partition `part` of log `uuid` over: raises the partition's epoch, so that an earlier owner's next commit ends
 * with OWD_ERROR_FENCED. Returns the committed mark (zeros, OWD_TIME_NONE for a new one). A log with another uuid than
 * the one the database has been filled from is OWD_ERROR_DB, with the hint what to do. */
gboolean owd_store_claim (OwdStore *self, const char *log_uuid, guint part, guint n_parts, OwdMark *ret_mark,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One transaction: samples, counts, mark, log time. After an error nothing of it is there, or all of it (connection
 * lost during COMMIT: the next call finds out by itself: it compares marks, and does not write twice). Samples with
 * OWD_SAMPLE_EXCESS are kept until roll-ups hold them; their seq is that of the last one without. Both arrays are
 * in the order of ts, behind the last mark's watermark and not behind this one's; each may be empty. src and dst:
 * indices of owd_store_points(). */
gboolean owd_store_commit (OwdStore *self, guint part, const OwdSample *samples, gsize n, const OwdCount *counts,
                           gsize n_counts, const OwdMark *mark, OwdTime log_time,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An observation point and its name: configured, else address, else address#domain. */
#define OWD_POINT_NAME 160
typedef struct {
  OwdStateKey key;
  char name[OWD_POINT_NAME];
} OwdPoint;

/* What the database shows of an exporter state in owd.exporters; counters are totals of this log. */
typedef struct {
  OwdStateKey key;
  char name[OWD_POINT_NAME]; /* as of owd_store_points() */
  OwdTime first_ns, last_ns; /* receive times */
  guint64 records;
  gint64 boot_lo_ns, boot_hi_ns;     /* boot interval, OWD_TIME_NONE: not known or not needed */
  guint32 segments;                  /* reboots and steps seen, plus 1 */
  gint64 start_step_ns, end_step_ns; /* resolution of its stamps; 0: not known yet */
  gint64 lag_p50_ns, lag_p99_ns;     /* receive time minus stamp; OWD_TIME_NONE: none yet */
  guint32 sampling;                  /* 1 in N, 0 nothing said */
  /* what the collector noted; without it the columns keep what they have */
  gboolean is_noted;
  guint64 datagrams, received; /* datagrams, records */
  guint64 lost, reordered, restarts, given_up, malformed, over_limit;
  gint64 clock_lag_ns; /* receive minus export time */
} OwdExporterRow;

/* What the collector noted of itself. */
typedef struct {
  OwdTime since_ns, at_ns; /* its start; the note */
  guint64 states, max_states, kernel_dropped, buffer_asked, buffer_got, disallowed, unattributed, over_limit,
      log_dropped;
  guint64 memory_used, memory_max, memory_refused; /* bytes, bytes, states and templates */
} OwdCollectorRow;

/* Registers observation points: sample indices src and dst in later commits of this store refer to this array. Call
 * again whenever it has grown (the keys of a prefix never change). A point is its key; the name is what views show and
 * may change later, for past samples too: it does when a second domain of an address turns up. */
gboolean owd_store_points (OwdStore *self, const OwdPoint *points, gsize n, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What owd.paths shows as the least delay of paths that are used from here on. */
void owd_store_set_floor (OwdStore *self, OwdFloorFunc floor, const void *user);
/* Upserts rows of owd.exporters, key (addr, domain, version). */
gboolean owd_store_exporters (OwdStore *self, const OwdExporterRow *rows, gsize n,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Replaces the row of owd.collector. */
gboolean owd_store_collector (OwdStore *self, const OwdCollectorRow *row, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Rolls up, in one transaction, some of the minutes that the watermark of all partitions has passed. *ret_more: there
 * is more to do, call again. It does not matter who calls, nor how often: nothing is rolled up twice or left out, and
 * what is not rolled up yet is read from the samples. patient: while the watermark runs much faster than time itself,
 * which is to say a backlog is being worked off, only whole hours are rolled up; their rows are then written once and
 * not put together later. */
gboolean owd_store_roll (OwdStore *self, gboolean patient, gboolean *ret_more,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How long samples and roll-ups of each resolution are kept; 0: for good. */
typedef struct {
  gint64 samples_ns, by_10s_ns, by_1min_ns, by_5min_ns, by_1h_ns, by_1d_ns;
} OwdRetention;

/* Drops the tables that ended longer ago than keep says; "now" is the watermark. What no roll-up holds yet stays. Call
 * it once in a while; where a reader stands in the way it is OWD_ERROR_DB_AWAY after two seconds. */
gboolean owd_store_retain (OwdStore *self, const OwdRetention *keep, guint *ret_dropped,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Raises and clears events over what has become final since the last call, an hour of the log at most. ret_more: call
 * again. Thresholds: sql/functions/event_rules.sql; 0: that rule does not apply. */
typedef struct {
  gint64 threshold_ns, level_shift_ns; /* delays */
  gint64 silent_ns, stalled_ns;
  double loss, distribution;      /* 0 to 1 */
  guint raise_after, clear_after; /* minutes in a row */
} OwdEventRules;
gboolean owd_store_evaluate (OwdStore *self, const OwdEventRules *rules, gboolean *ret_more,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Profiles as the correlator uses them, appended to priors (OwdPrior): those with after < id <= upto, in their order.
 */
gboolean owd_store_priors (OwdStore *self, guint32 after, guint32 upto, GArray *priors, GError **error);

/* TRUE: profiles may have been added since the last call; also where the connection is new, as notices may have been
 * lost. Asks nobody, so that it may be called often. */
gboolean owd_store_profiles_changed (OwdStore *self);

/* From a place in a partition's log on, profiles up to an id count. */
typedef struct {
  guint64 offset;
  guint32 newest;
} OwdProfileUse;

/* Appends what was noted for a partition to uses (OwdProfileUse), by id. */
gboolean owd_store_profile_uses (OwdStore *self, guint part, GArray *uses, GError **error);
/* Notes for a claimed partition that all profiles there are count from `offset` on, and appends that to uses; nothing
 * where none is new, or where the partition belongs to another process now (the next commit will tell). uses: all that
 * is known to be noted. After an error it may be noted: call again with the same. */
gboolean owd_store_use_profiles (OwdStore *self, guint part, guint64 offset, GArray *uses, GError **error);

/* From a place in a partition's log on, at most this share of the flows is kept. */
typedef struct {
  guint64 offset;
  guint32 keep_ppm;
} OwdShareUse;

/* Appends what was noted for a partition to shares (OwdShareUse), by offset. */
gboolean owd_store_shares (OwdStore *self, guint part, GArray *shares, GError **error);
/* Notes one more for a claimed partition, behind the others, and appends it to shares; nothing where the partition
 * belongs to another process now. After an error it may be noted: call again with the same. */
gboolean owd_store_use_share (OwdStore *self, guint part, const OwdShareUse *use, GArray *shares, GError **error);

/* ---- the profiler's side ----------------------------------------------------------------------- */

/* One segment of an exporter state's profile. */
typedef struct {
  OwdStateKey key;
  char name[OWD_POINT_NAME];
  OwdTime from_ns, to_ns; /* receive times that it holds for */
  char *measured;         /* JSON object; borrowed */
} OwdProfileRow;

/* Appends rows to owd.profiles, all or none, and notifies who listens. Earlier ones stay. */
gboolean owd_store_profiles (OwdStore *self, const OwdProfileRow *rows, gsize n,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Least delay of a path in a part of a time range: upper end of its interval, with room for one sample in a hundred
 * that is wrong. */
typedef struct {
  char src[OWD_POINT_NAME], dst[OWD_POINT_NAME];
  guint bin; /* of n_bins equal parts */
  guint64 n; /* samples */
  double least_ms;
} OwdLeastDelay;
/* Returns: (transfer full) (element-type OwdLeastDelay): parts with at least `least_n` samples, ordered by src and dst.
 */
GArray *owd_store_least_delays (OwdStore *self, OwdTime from_ns, OwdTime to_ns, guint n_bins, guint least_n,
                                GError **error);
/* What probes have shown of an exporter's clock in a window: its stamps minus the probe's clock lie in [lo_ms, hi_ms].
 */
typedef struct {
  char point[OWD_POINT_NAME], clock[OWD_POINT_NAME]; /* clock: which end of a probe it was held against */
  OwdTime from_ns, to_ns;
  double lo_ms, hi_ms; /* -INFINITY, INFINITY: no bound */
  double error_ms;     /* that this clock states of itself; INFINITY: nothing */
} OwdCalibrated;
/* Returns: (transfer full) (element-type OwdCalibrated): windows that meet the time range, ordered by clock, point,
 * time. */
GArray *owd_store_calibrations (OwdStore *self, OwdTime from_ns, OwdTime to_ns, GError **error);
/* Appends what a run found of clocks up to to_ns, all or nothing. relations, offsets: JSON arrays of objects, with a
 * and b, or point, from_ns, and what the views owd.clock_relations and owd.clock_offsets show. */
gboolean owd_store_clocks (OwdStore *self, OwdTime to_ns, const char *relations, const char *offsets,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- the front end's side ---------------------------------------------------------------------- */

/* A result as text, for printing: rows x columns, NULL where SQL has NULL; instants as 2026-11-22T06:46:54.5Z.
 * Free with owd_table_free(). */
typedef struct {
  guint n_rows, n_columns;
  char **names;      /* n_columns */
  gboolean *numeric; /* n_columns: a column of numbers */
  gboolean *json;    /* n_columns: a column of JSON */
  char **cells;      /* row-major, n_rows * n_columns; an entry may be NULL */
} OwdTable;
void owd_table_free (OwdTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdTable, owd_table_free)

/* from, to: text that PostgreSQL reads as timestamptz, e.g. "now", "2026-11-22 06:00+00"; step: interval, "10 s". */
OwdTable *owd_store_timeline (OwdStore *self, const char *src, const char *dst, const char *from, const char *to,
                              const char *step, GError **error) G_GNUC_WARN_UNUSED_RESULT;
OwdTable *owd_store_matrix (OwdStore *self, const char *from, const char *to, GError **error) G_GNUC_WARN_UNUSED_RESULT;
OwdTable *owd_store_list_exporters (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The newest run's profiles of each exporter state. */
OwdTable *owd_store_list_profiles (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* name, finding: what the newest profiles and the exporters say is wrong. */
OwdTable *owd_store_list_findings (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
OwdTable *owd_store_list_paths (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The time range to show: from and to as above, or NULL for the last hour with samples of the path (src and dst NULL:
 * of all paths); "-15 min" counts back, from the end in `from`, from now in `to`. OWD_TIME_NONE: there is no sample. */
gboolean owd_store_range (OwdStore *self, const char *src, const char *dst, const char *from, const char *to,
                          OwdTime *ret_from, OwdTime *ret_to, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* One row: watermark, log_time, samples, partitions, first_sample, last_sample, paths, exporters, sample_bytes,
 * schema_version. */
OwdTable *owd_store_status (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Events that lasted at any time of [from, to), oldest first. from, to: as PostgreSQL reads a timestamptz, or a time
 * before the watermark as "-15 min"; NULL: without end. open_only: those that still last. */
OwdTable *owd_store_list_events (OwdStore *self, const char *from, const char *to, gboolean open_only,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* role, login, ready, advice: group roles (login is NULL) and the logins that have them. */
OwdTable *owd_store_list_roles (OwdStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- the probe's side -------------------------------------------------------------------------- */

/* lines: JSON lines as `oneway-probe send --format json` prints them, whole ones; they go into owd.probe_results and
 * owd.probe_runs, all or none. What is there already (agent, run, target, size, seq) is left alone: after an error or a
 * lost connection simply give them again. *ret_new: packets that were new. Lines that are none are OWD_ERROR_DB. */
gboolean owd_store_probe_lines (OwdStore *self, const char *lines, guint64 *ret_new,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A probe packet beside the samples of the very same packet and of its answer (owd.probe_matches). Delays in ms, NaN
 * where there is none. Texts are borrowed for the call. */
typedef struct {
  const char *src, *dst; /* observation points in the direction of the probe packet */
  const char *probe_src, *probe_dst, *mode;
  guint size;
  double rtt, up, up_lo, up_hi, down, down_lo, down_hi;
  double there, there_lo, there_hi, there_sigma; /* sample src to dst */
  double back, back_lo, back_hi, back_sigma;     /* sample dst to src, of the answer */
} OwdProbeMatch;
typedef void (*OwdProbeMatchSink) (const OwdProbeMatch *match, void *user);
/* Packets that left in [from, to); samples may be slack_ns apart in time. Rows of one path and probe are neighbours. */
gboolean owd_store_probe_matches (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeMatchSink sink,
                                  void *user, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A sample src to dst of a probe's packet beside the sum of those over via (owd.probe_vias). */
typedef struct {
  const char *src, *via, *dst;
  double owd, lo, hi, sigma;
  double sum, sum_lo, sum_hi;
} OwdProbeVia;
typedef void (*OwdProbeViaSink) (const OwdProbeVia *via, void *user);
gboolean owd_store_probe_vias (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeViaSink sink,
                               void *user, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Mean active delay src to dst of one minute beside the sum of those over via (owd.probe_compose). sigma: standard
 * error of their difference; NaN: too few packets. Rows of the same three and size are neighbours. */
typedef struct {
  const char *src, *via, *dst;
  guint size;
  double owd, lo, hi, sigma;
  double sum, sum_lo, sum_hi;
} OwdProbeComposed;
typedef void (*OwdProbeComposedSink) (const OwdProbeComposed *composed, void *user);
gboolean owd_store_probe_compose (OwdStore *self, OwdTime from, OwdTime to, OwdProbeComposedSink sink, void *user,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Columns src, dst, mode, size, sent, answered: a row for each probe with packets that left in [from, to). */
OwdTable *owd_store_probe_counts (OwdStore *self, OwdTime from, OwdTime to, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* from, to: as of owd_store_range(), or NULL for the last day with probe results. OWD_TIME_NONE: there are none. */
gboolean owd_store_probe_range (OwdStore *self, const char *from, const char *to, OwdTime *ret_from, OwdTime *ret_to,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* lines: JSON lines of `oneway-probe report --format json`, into owd.validation; rows of the same key are replaced. */
gboolean owd_store_validation_lines (OwdStore *self, const char *lines, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An exporter's stamp of a probe packet against that of the probe's end beside it (owd.probe_stamps), with the largest
 * step that the exporter's stamps are known to have; 0: none is known. Texts are borrowed for the call. */
typedef struct {
  const char *point, *clock;
  OwdTime sent;
  gint64 residual_ns, step_ns;
  gboolean later;        /* the packet passed the exporter after the probe's end */
  double clock_error_ms; /* NaN: not stated */
} OwdProbeStamp;
typedef void (*OwdProbeStampSink) (const OwdProbeStamp *stamp, void *user);
/* In the order of point, clock, time. */
gboolean owd_store_probe_stamps (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeStampSink sink,
                                 void *user, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* lines: JSON lines of `oneway-probe calibrate --format json`, into owd.calibration; rows of the same key are replaced.
 */
gboolean owd_store_calibration_lines (OwdStore *self, const char *lines, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Drops the days of probe results that ended longer than keep_ns before the end of the newest one. */
gboolean owd_store_retain_probes (OwdStore *self, gint64 keep_ns, guint *ret_dropped,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdStore, owd_store_free)

G_END_DECLS

#endif
