/* SPDX-License-Identifier: Apache-2.0
 *
 * Guard, storage and expiry of templates. A template announced again as it was costs a comparison; one that changed
 * gets a new plan. Expiry is looked at when a template is used, so nothing runs on a timer.
 */
#include "template.h"

#include <string.h>

void
owd_template_def_add (OwdTemplateDef *def, guint32 pen, guint16 id, guint16 len, gboolean is_scope)
{
  if (len == 0)
    return;
  if (def->n_fields == OWD_FIELDS_MAX) {
    def->too_many = TRUE;
    return;
  }
  def->fields[def->n_fields++] = (OwdField){ .pen = pen, .id = id, .len = len };
  if (is_scope)
    def->n_scope = def->n_fields;
}

gboolean
owd_template_check (const OwdTemplateDef *def)
{
  gsize len = 0;

  if (def->id < 256 || def->n_fields == 0 || def->too_many)
    return FALSE;
  for (guint i = 0; i < def->n_fields; i++)
    len += def->fields[i].len == OWD_VARLEN ? 1 : def->fields[i].len;
  return len <= OWD_RECORD_MAX;
}

/* Time that goes back gives nothing. */
gboolean
owd_template_budget_take (OwdTemplateBudget *self, guint most, guint per_s, OwdTime now_ns)
{
  OwdTime step_ns = OWD_NS_PER_S / per_s;
  gint64 back = now_ns > self->since_ns ? (now_ns - self->since_ns) / step_ns : 0;

  if (self->spent == 0 || back >= self->spent) {
    self->spent = 0;
    self->since_ns = MAX (self->since_ns, now_ns);
  } else {
    self->spent -= (guint) back;
    self->since_ns += back * step_ns;
  }
  if (self->spent >= most)
    return FALSE;
  self->spent++;
  return TRUE;
}

static void
template_free (gpointer data)
{
  OwdTemplate *template = data;

  owd_plan_free (template->plan);
  g_free (template->fields);
  g_free (template);
}

void
owd_template_table_init (OwdTemplateTable *self, OwdMemory *memory, guint max_templates, guint64 timeout_ns)
{
  *self = (OwdTemplateTable){ .by_id = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, template_free),
                              .memory = memory };
  owd_template_table_set_limits (self, max_templates, timeout_ns);
}

void
owd_template_table_set_limits (OwdTemplateTable *self, guint max_templates, guint64 timeout_ns)
{
  self->timeout_ns = (OwdTime) MIN (timeout_ns, (guint64) G_MAXINT64);
  self->max_templates = max_templates;
}

void
owd_template_table_clear (OwdTemplateTable *self)
{
  g_clear_pointer (&self->by_id, g_hash_table_unref);
  self->last = NULL;
}

/* Before it goes. */
static void
uncharge (OwdTemplateTable *self, const OwdTemplate *template)
{
  self->n_fields -= template->n_fields;
  owd_memory_give (self->memory, template->bytes);
}

gsize
owd_template_bytes (const OwdTemplateDef *def, const OwdPlan *plan)
{
  return sizeof (OwdTemplate) + def->n_fields * sizeof def->fields[0] + owd_plan_bytes (plan) + 3 * OWD_MEMORY_EACH;
}

static gboolean
expired (const OwdTemplateTable *self, const OwdTemplate *template, OwdTime now_ns)
{
  return self->timeout_ns != 0 && now_ns > owd_time_add (template->seen_ns, self->timeout_ns);
}

OwdTemplate *
owd_template_table_find (OwdTemplateTable *self, guint16 id, OwdTime now_ns)
{
  OwdTemplate *template = self->last;

  if (template == NULL || template->id != id)
    template = g_hash_table_lookup (self->by_id, GUINT_TO_POINTER (id));
  if (template == NULL)
    return NULL;
  if (G_UNLIKELY (expired (self, template, now_ns))) {
    owd_template_table_remove (self, id);
    return NULL;
  }
  self->last = template;
  return template;
}

gboolean
owd_template_equal (const OwdTemplate *template, const OwdTemplateDef *def)
{
  return template->is_options == def->is_options && template->n_scope == def->n_scope
         && template->n_fields == def->n_fields
         && memcmp (template->fields, def->fields, def->n_fields * sizeof def->fields[0]) == 0;
}

gboolean
owd_template_table_has_room (const OwdTemplateTable *self, const OwdTemplateDef *def)
{
  const OwdTemplate *old = g_hash_table_lookup (self->by_id, GUINT_TO_POINTER (def->id));
  guint n_templates = g_hash_table_size (self->by_id) + (old == NULL);
  guint n_fields = self->n_fields - (old != NULL ? old->n_fields : 0) + def->n_fields;

  return n_templates <= self->max_templates && n_fields / OWD_FIELDS_PER_TEMPLATE <= self->max_templates;
}

void
owd_template_table_put (OwdTemplateTable *self, const OwdTemplateDef *def, OwdPlan *plan, OwdTime now_ns)
{
  OwdTemplate *template = g_new0 (OwdTemplate, 1);

  template->id = def->id;
  template->is_options = def->is_options;
  template->n_scope = def->n_scope;
  template->n_fields = def->n_fields;
  template->seen_ns = now_ns;
  template->fields = g_memdup2 (def->fields, def->n_fields * sizeof def->fields[0]);
  template->plan = plan;
  owd_template_table_remove (self, def->id);
  self->n_fields += def->n_fields;
  template->bytes = owd_template_bytes (def, plan);
  owd_memory_take (self->memory, template->bytes);
  g_hash_table_insert (self->by_id, GUINT_TO_POINTER (def->id), template);
}

void
owd_template_table_remove (OwdTemplateTable *self, guint16 id)
{
  const OwdTemplate *old = g_hash_table_lookup (self->by_id, GUINT_TO_POINTER (id));

  if (old == NULL)
    return;
  self->last = NULL;
  uncharge (self, old);
  g_hash_table_remove (self->by_id, GUINT_TO_POINTER (id));
}

void
owd_template_table_remove_all (OwdTemplateTable *self, gboolean is_options)
{
  GHashTableIter iter;
  gpointer value;

  self->last = NULL;
  g_hash_table_iter_init (&iter, self->by_id);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const OwdTemplate *template = value;

    if (template->is_options != is_options)
      continue;
    uncharge (self, template);
    g_hash_table_iter_remove (&iter);
  }
}

void
owd_template_table_sweep (OwdTemplateTable *self, OwdTime now_ns)
{
  GHashTableIter iter;
  gpointer value;

  self->last = NULL;
  g_hash_table_iter_init (&iter, self->by_id);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const OwdTemplate *template = value;

    if (!expired (self, template, now_ns))
      continue;
    uncharge (self, template);
    g_hash_table_iter_remove (&iter);
  }
}

guint
owd_template_table_forget (OwdTemplateTable *self)
{
  guint n = g_hash_table_size (self->by_id);

  owd_template_table_remove_all (self, FALSE);
  owd_template_table_remove_all (self, TRUE);
  return n;
}
