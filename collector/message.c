/* SPDX-License-Identifier: Apache-2.0
 *
 * What v9 and IPFIX have in common: a message is a row of sets, and a set holds template records or data records of
 * one template. A refused part never takes its neighbours along, unless its own length cannot be believed: then what
 * comes behind it cannot be found.
 *
 * Data sets of an unknown template are kept (late.h). When their template comes they are decoded after the message
 * that brought it, each message of theirs under its own header again, so a sink sees header, flows, header, flows.
 */
#include "decode.h"

#define SET_HEADER_LEN 4
#define STRANGERS 2      /* exporters whose budget of templates all share that never brought a flow, */
#define STRANGER_FREE 16 /* but for so many of each */

/* Nobody gets a state for a version and some noise: the first set must be one, or there must be none. */
static gboolean
plausible (const OwdDatagram *datagram, gsize header_len)
{
  gsize set_len;

  if (datagram->len < header_len + SET_HEADER_LEN)
    return datagram->len == header_len;
  set_len = owd_be16 (datagram->data + header_len + 2);
  return set_len >= SET_HEADER_LEN && set_len <= datagram->len - header_len;
}

OwdState *
owd_message_state (OwdDecoder *self, const OwdStateKey *key, const OwdDatagram *datagram, gsize header_len)
{
  if (owd_state_table_find (self->states, key) == NULL && !plausible (datagram, header_len)) {
    owd_decoder_refuse (self, NULL, datagram->from, OWD_REASON_SET_LENGTH, header_len);
    return NULL;
  }
  return owd_decoder_get_state (self, key, datagram->recv_ns);
}

static gsize
offset_of (const OwdMessage *self, const guint8 *p)
{
  return (gsize) (p - self->begin);
}

/* ---- templates --------------------------------------------------------------------------------- */

/* The template of this id, unless it is too old. Over a stream none is: what such a message uses counts as announced
 * again, so that it is not taken for forgotten when room is needed. */
static OwdTemplate *
find_template (OwdMessage *self, guint16 id)
{
  OwdTime now = self->header.recv_ns;
  OwdTemplate *template;

  if (!self->decoder->over_stream)
    return owd_template_table_find (&self->state->templates, id, now);
  template = owd_template_table_find (&self->state->templates, id, OWD_TIME_NONE);
  if (template != NULL)
    template->seen_ns = MAX (template->seen_ns, now);
  return template;
}

static void
withdraw (OwdMessage *self, guint16 id, gboolean is_options, guint16 set_id)
{
  if (id == set_id)
    owd_template_table_remove_all (&self->state->templates, is_options);
  else
    owd_template_table_remove (&self->state->templates, id);
}

/* May this state have another template compiled? Beyond the first few, those that never brought a flow share one
 * budget: there may be any number of them. */
static gboolean
take_budget (OwdMessage *self)
{
  OwdDecoder *decoder = self->decoder;
  OwdTemplateBudget *own = &self->state->templates.budget;
  guint most = decoder->limits.max_templates;
  OwdTime now = self->header.recv_ns;

  if (self->state->counters.flows == 0 && own->spent >= STRANGER_FREE
      && !owd_template_budget_take (&decoder->strangers, STRANGERS * most, STRANGERS * OWD_TEMPLATES_PER_S, now))
    return FALSE;
  return owd_template_budget_take (own, most, OWD_TEMPLATES_PER_S, now);
}

/* The new template as understood, into ret_fields; or why not. */
static OwdReason
judge (OwdMessage *self, const OwdTemplateDef *def, OwdField *ret_fields)
{
  OwdTemplateTable *table = &self->state->templates;

  if (!owd_template_check (def))
    return OWD_REASON_TEMPLATE;
  if (!owd_template_table_has_room (table, def))
    owd_template_table_sweep (table, self->header.recv_ns);
  if (!owd_template_table_has_room (table, def) || !take_budget (self))
    return OWD_REASON_LIMIT;
  self->decoder->n_templates++;
  return owd_fixbuf_learn (self->decoder->fixbuf, def, ret_fields) ? OWD_REASONS : OWD_REASON_TEMPLATE;
}

/* A definition that is refused ends the old one of that id too: what comes now is not what that says. */
static void
learn (OwdMessage *self, const OwdTemplateDef *def, gsize offset)
{
  OwdTemplateTable *table = &self->state->templates;
  OwdTime now = self->header.recv_ns;
  OwdTemplate *known = find_template (self, def->id);
  OwdField fields[OWD_FIELDS_MAX];
  OwdReason reason;
  OwdPlan *plan;

  if (known != NULL && owd_template_equal (known, def)) {
    known->seen_ns = MAX (known->seen_ns, now);
    return;
  }
  reason = judge (self, def, fields);
  if (reason != OWD_REASONS) {
    owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, reason, offset);
    owd_template_table_remove (table, def->id);
    return;
  }
  owd_template_table_remove (table, def->id);
  plan = owd_plan_new (fields, def->n_fields, def->is_options, def->id);
  if (!owd_state_table_make_room (self->decoder->states, self->state, owd_template_bytes (def, plan), now)) {
    owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, OWD_REASON_LIMIT, offset);
    owd_plan_free (plan);
    return;
  }
  owd_template_table_put (table, def, plan, now);
  self->state->counters.templates++;
  self->maybe_late = TRUE;
}

static void
walk_templates (OwdMessage *self, OwdWire set, gboolean is_options, guint16 set_id)
{
  OwdTemplateDef *def = &self->decoder->def;

  for (;;) {
    gsize offset = offset_of (self, set.p);

    def->is_options = is_options;
    def->n_scope = def->n_fields = 0;
    def->too_many = FALSE;
    switch (self->read_template (&set, is_options, def)) {
    case OWD_TEMPLATE_READ:
      learn (self, def, offset);
      break;
    case OWD_TEMPLATE_WITHDRAWAL:
      withdraw (self, def->id, is_options, set_id);
      break;
    case OWD_TEMPLATE_BROKEN:
      owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, OWD_REASON_TEMPLATE, offset);
      return;
    case OWD_TEMPLATE_END:
      return;
    }
  }
}

/* ---- data -------------------------------------------------------------------------------------- */

/* Does each record's sampling have to be looked up? */
static gboolean
chooses_sampling (const OwdState *state, const OwdPlanInfo *info)
{
  return info->own_sampling || info->sampler || state->n_interfaces > 0;
}

/* Of a record whose template or state knows more than one sampling for all. */
static guint32
sampling_of (const OwdState *state, const OwdPlanInfo *info, const OwdRecord *rec)
{
  if (info->own_sampling) /* 0: has the element, says nothing */
    return rec->flow[0].sampling != 0 ? rec->flow[0].sampling : state->sampling;
  if (info->sampler)
    return owd_state_sampling (state, FALSE, rec->aux[OWD_AUX_SAMPLER]);
  return owd_state_sampling (state, TRUE, rec->flow[0].in_if);
}

/* Records of fixed length that need nothing but the plan: nearly all. Returns how many. */
static guint32
run_plain (OwdMessage *self, const OwdPlan *plan, OwdWire *set)
{
  const OwdDecoderSink sink = self->decoder->sink;
  OwdRecord *rec = &self->decoder->record;
  gsize len = owd_plan_info (plan)->min_len, n = owd_wire_left (set) / len;
  const guint8 *p = owd_wire_take (set, n * len), *end = p + n * len;

  for (; p < end; p += len) {
    owd_plan_plain (plan, p, rec);
    sink.flow (sink.user, &self->header, &rec->flow[0]);
  }
  return (guint32) n;
}

/* All others. Returns how many records; ret_flows: what they made. */
static guint32
run_special (OwdMessage *self, const OwdPlan *plan, OwdWire *set, guint64 *ret_flows)
{
  const OwdPlanInfo *info = owd_plan_info (plan);
  const OwdDecoderSink *sink = &self->decoder->sink;
  OwdRecord *rec = &self->decoder->record;
  gboolean by_record = chooses_sampling (self->state, info);
  guint32 n = 0;

  for (*ret_flows = 0; owd_plan_next (plan, set, rec); n++) {
    guint flows = 1;

    if (by_record)
      rec->flow[0].sampling = sampling_of (self->state, info, rec);
    if (info->finish)
      flows = owd_plan_finish (plan, rec, &self->header);
    for (guint i = 0; i < flows; i++)
      sink->flow (sink->user, &self->header, &rec->flow[i]);
    *ret_flows += flows;
  }
  return n;
}

static guint32
run_flows (OwdMessage *self, const OwdPlan *plan, OwdWire *set)
{
  const OwdPlanInfo *info = owd_plan_info (plan);
  OwdState *state = self->state;
  guint64 n_flows;
  guint32 n;

  owd_plan_begin (plan, &self->decoder->record, state->sampling,
                  state->init_ms != self->header.init_ms ? state->init_ms : 0);
  if (G_LIKELY (info->plain && !chooses_sampling (state, info)))
    n_flows = n = run_plain (self, plan, set);
  else
    n = run_special (self, plan, set, &n_flows);
  state->counters.flows += n_flows;
  if (self->header.flags & OWD_HEADER_REPLAY)
    state->counters.late_flows += n_flows;
  return n;
}

static guint32
run_options (OwdMessage *self, const OwdPlan *plan, OwdWire *set)
{
  OwdRecord *rec = &self->decoder->record;
  guint32 n = 0;

  owd_plan_begin (plan, rec, 0, 0);
  for (; owd_plan_next (plan, set, rec); n++)
    owd_state_options (self->state, owd_plan_info (plan)->options, rec->option);
  self->state->counters.options += n;
  self->n_options += n;
  return n;
}

static guint32
run_skipped (OwdMessage *self, const OwdPlan *plan, OwdWire *set)
{
  guint32 n = 0;

  while (owd_plan_skip (plan, set))
    n++;
  self->state->counters.skipped += n;
  return n;
}

/* Padding behind the last record is shorter than a record, so a rest without any record is no padding. */
static void
run_set (OwdMessage *self, const OwdTemplate *template, OwdWire set, gsize offset)
{
  gboolean empty = owd_wire_left (&set) == 0;
  guint32 n;

  if (template->is_options)
    n = run_options (self, template->plan, &set);
  else if (owd_plan_info (template->plan)->has_pair)
    n = run_flows (self, template->plan, &set);
  else
    n = run_skipped (self, template->plan, &set);
  self->n_records += n;
  if (set.failed || (n == 0 && !empty))
    owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, OWD_REASON_RECORD, offset);
}

static void
charge_late (OwdMessage *self, guint dropped, gsize offset)
{
  for (guint i = 0; i < dropped; i++)
    owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, OWD_REASON_LATE_DROPPED, offset);
}

static void
walk_data (OwdMessage *self, OwdWire set, guint16 set_id)
{
  OwdState *state = self->state;
  gsize offset = offset_of (self, set.p) - SET_HEADER_LEN;
  const OwdTemplate *template = find_template (self, set_id);

  if (template != NULL) {
    run_set (self, template, set, offset);
    return;
  }
  self->unsure = TRUE;
  owd_decoder_refuse (self->decoder, state, &self->header.key.addr, OWD_REASON_NO_TEMPLATE, offset);
  charge_late (
      self, owd_late_keep (&state->late, &self->header, self->decoder->n_messages, set_id, set.p, owd_wire_left (&set)),
      offset);
}

void
owd_message_walk (OwdMessage *self, OwdWire sets, guint template_set, guint options_set)
{
  charge_late (self, owd_late_expire (&self->state->late, self->header.recv_ns), 0);
  while (owd_wire_left (&sets) >= SET_HEADER_LEN) {
    gsize offset = offset_of (self, sets.p);
    guint16 set_id = owd_wire_u16 (&sets);
    guint16 len = owd_wire_u16 (&sets);
    OwdWire set = owd_wire_sub (&sets, len >= SET_HEADER_LEN ? (gsize) len - SET_HEADER_LEN : G_MAXSIZE);

    if (set.failed) {
      self->unsure = TRUE;
      owd_decoder_refuse (self->decoder, self->state, &self->header.key.addr, OWD_REASON_SET_LENGTH, offset);
      return;
    }
    if (set_id == template_set || set_id == options_set)
      walk_templates (self, set, set_id == options_set, set_id);
    else if (set_id >= 256)
      walk_data (self, set, set_id);
  }
}

/* ---- late sets --------------------------------------------------------------------------------- */

static gboolean
has_template (void *user, guint16 set_id)
{
  return find_template (user, set_id) != NULL;
}

void
owd_message_replay_late (OwdMessage *self)
{
  OwdDecoder *decoder = self->decoder;
  OwdState *state = self->state;
  guint64 shown = 0; /* message whose header the sink has last seen */
  OwdLateSet *set;

  if (!self->maybe_late)
    return;
  while ((set = owd_late_take (&state->late, has_template, self)) != NULL) {
    OwdMessage late = { .decoder = decoder, .state = state, .header = set->header, .begin = set->data };

    if (set->message != shown)
      decoder->sink.header (decoder->sink.user, &late.header);
    shown = set->message;
    run_set (&late, owd_template_table_find (&state->templates, set->set_id, self->header.recv_ns),
             owd_wire (set->data, set->len), 0);
    g_free (set);
  }
}
