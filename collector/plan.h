/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled plan of a template: how a data record becomes an OwdFlow, decided once per template instead of once
 * per record. A plan is a list of steps (load so many bytes from there, store them in that member), sorted by
 * operation, so that each operation is one tight loop whose branch is predicted; bounds are checked once per record
 * (fixed length) or once per variable field, never per step. Elements that mean nothing to us cost nothing.
 *
 * What cannot be decided per template (several address pairs, several sorts of stamps, which sampler) is left to
 * owd_plan_finish(), which a plain plan does not need.
 *
 * Invariant: every member that depends on the record is written for every record; all others come from the
 * prototype that owd_plan_begin() copies once per data set. So nothing is cleared per record.
 */
#ifndef OWD_PLAN_H
#define OWD_PLAN_H

#include "elements.h"
#include "owd-flow.h"
#include "owd-wire.h"

G_BEGIN_DECLS

#define OWD_FIELDS_MAX 256
#define OWD_RECORD_MAX 1500 /* bytes that a record has at least; more fits no datagram on its way here */
#define OWD_VARLEN 0xffff
#define OWD_PAIRS 4 /* address pairs of a record that are looked at */
#define OWD_RECORD_BLOCK 16
#define OWD_RECORD_BLOCKS 80

/* A field of a template, as announced; v9's private numbers translated (elements.h). */
typedef struct {
  guint32 pen;
  guint16 id;
  guint16 len; /* bytes; OWD_VARLEN: each record tells */
} OwdField;

/* Work space of one record. */
typedef struct {
  OwdFlow flow[2];       /* forward, reverse */
  guint32 base_flags[2]; /* what holds for every record of the set */
  struct {
    OwdAddr src, dst;
  } pair[OWD_PAIRS];
  guint64 stamp[OWD_STAMP_KINDS][2]; /* start, end */
  guint64 aux[OWD_AUX_N];
  guint64 option[OWD_OPTION_N];
  guint8 kept[OWD_RECORD_BLOCKS][OWD_RECORD_BLOCK]; /* what stays the same in places that records are written to */
} OwdRecord;

typedef struct OwdPlan OwdPlan;

/* What the caller needs to know about a plan, constant. */
typedef struct {
  guint16 min_len;       /* of a record, at least 1 */
  gboolean has_pair;     /* else the records are no flows */
  gboolean finish;       /* owd_plan_finish() must be called for each record */
  gboolean plain;        /* owd_plan_plain() does it all, for each record */
  gboolean own_sampling; /* each record says its sampling */
  gboolean sampler;      /* aux[OWD_AUX_SAMPLER] is set */
  guint32 options;       /* bits 1 << OwdOption: which option[] are set; 0: nothing of interest */
} OwdPlanInfo;

/* fields: at least one; every length at least 1; the least record at most OWD_RECORD_MAX (the guard in template.c
 * has seen to it). is_options: an options template. */
OwdPlan *owd_plan_new (const OwdField *fields, guint n, gboolean is_options,
                       guint16 template_id) G_GNUC_WARN_UNUSED_RESULT;
void owd_plan_free (OwdPlan *plan); /* NULL is fine */
const OwdPlanInfo *owd_plan_info (const OwdPlan *plan);
/* Memory that it takes. */
gsize owd_plan_bytes (const OwdPlan *plan);

/* Can an exporter have started then (IE 160)? Between 1990 and the end of export times in 2106. Nothing is concluded
 * from the header: its clock may be the wrong one. */
gboolean owd_init_is_sane (guint64 init_ms);
/* Before a data set, of flows or of options: prototype into rec. sampling: of the state, 0 when nothing said. init_ms:
 * for records that do not tell their own, 0 when the header has it already. */
void owd_plan_begin (const OwdPlan *plan, OwdRecord *rec, guint32 sampling, gint64 init_ms);
/* Next record of the set at w. FALSE: no more; then w->failed tells that a record ran past the set. */
gboolean owd_plan_next (const OwdPlan *plan, OwdWire *w, OwdRecord *rec);
/* The record of min_len bytes at p, for a plan that is plain: rec->flow[0] is complete. */
void owd_plan_plain (const OwdPlan *plan, const guint8 *p, OwdRecord *rec);
/* Moves w over the next record without decoding. Returns as owd_plan_next(). */
gboolean owd_plan_skip (const OwdPlan *plan, OwdWire *w);
/* Settles what depends on the record. Returns: flows in rec->flow, 1 or 2. */
guint owd_plan_finish (const OwdPlan *plan, OwdRecord *rec, const OwdHeader *header);

G_END_DECLS

#endif
