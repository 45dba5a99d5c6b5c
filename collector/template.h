/* SPDX-License-Identifier: Apache-2.0
 *
 * The templates of one exporter state, and the guard in front of them: what leaves owd_template_check() is safe for
 * the plan compiler and for libfixbuf.
 */
#ifndef OWD_TEMPLATE_H
#define OWD_TEMPLATE_H

#include "memory.h"
#include "plan.h"

G_BEGIN_DECLS

/* A template record as read from a message. */
typedef struct {
  guint16 id;
  gboolean is_options;
  guint n_scope;  /* fields of the scope, first among fields; for options only */
  guint n_fields; /* stored in fields */
  gboolean too_many;
  OwdField fields[OWD_FIELDS_MAX];
} OwdTemplateDef;

/* What reading a template record gave. */
typedef enum {
  OWD_TEMPLATE_READ,       /* def is filled, not checked */
  OWD_TEMPLATE_WITHDRAWAL, /* def->id is to be forgotten */
  OWD_TEMPLATE_END,        /* only padding is left */
  OWD_TEMPLATE_BROKEN,     /* runs past its set: nothing behind it can be read */
} OwdTemplateRead;

/* Adds a field. Fields of no length carry nothing, so they are left out here (some v9 exporters announce them). */
void owd_template_def_add (OwdTemplateDef *def, guint32 pen, guint16 id, guint16 len, gboolean is_scope);
/* Id at least 256, 1 to 256 fields, the least record not longer than OWD_RECORD_MAX. */
gboolean owd_template_check (const OwdTemplateDef *def);

typedef struct {
  guint16 id;
  gboolean is_options;
  guint n_scope, n_fields;
  gsize bytes; /* charged */
  OwdTime seen_ns; /* last announced */
  OwdField *fields;
  OwdPlan *plan;
} OwdTemplate;

/* Templates of a state have that many fields on average at most, so that the limit of templates is one of memory. */
#define OWD_FIELDS_PER_TEMPLATE 32

/* New or changed templates cost a hundred times what a record does: an exporter may bring as many as it may have at
 * once, and then OWD_TEMPLATES_PER_S. Zeroed: full. */
typedef struct {
  OwdTime since_ns; /* receive time up to which `spent` holds */
  guint spent;
} OwdTemplateBudget;

#define OWD_TEMPLATES_PER_S 100

/* Takes one of at most `most`. FALSE: none is left at now. */
gboolean owd_template_budget_take (OwdTemplateBudget *self, guint most, guint per_s, OwdTime now_ns);

typedef struct {
  GHashTable *by_id;
  OwdTemplate *last;  /* the one looked up last, or NULL */
  OwdTime timeout_ns; /* 0: never */
  guint max_templates;
  guint n_fields; /* of all templates */
  OwdTemplateBudget budget;
  OwdMemory *memory; /* borrowed; is charged */
} OwdTemplateTable;

void owd_template_table_init (OwdTemplateTable *self, OwdMemory *memory, guint max_templates, guint64 timeout_ns);
void owd_template_table_set_limits (OwdTemplateTable *self, guint max_templates, guint64 timeout_ns);
void owd_template_table_clear (OwdTemplateTable *self);
/* (transfer none) NULL where unknown or expired at now. */
OwdTemplate *owd_template_table_find (OwdTemplateTable *self, guint16 id, OwdTime now_ns);
gboolean owd_template_equal (const OwdTemplate *template, const OwdTemplateDef *def);
/* May def be put, be it a new one or another one of its id? */
gboolean owd_template_table_has_room (const OwdTemplateTable *self, const OwdTemplateDef *def);
/* What a template costs. */
gsize owd_template_bytes (const OwdTemplateDef *def, const OwdPlan *plan);
/* plan: (transfer full). Replaces one of the same id. */
void owd_template_table_put (OwdTemplateTable *self, const OwdTemplateDef *def, OwdPlan *plan, OwdTime now_ns);
void owd_template_table_remove (OwdTemplateTable *self, guint16 id);
/* Forgets all data templates, or all options templates (withdrawal of set 2 or 3). */
void owd_template_table_remove_all (OwdTemplateTable *self, gboolean is_options);
/* Forgets all. Returns how many. */
guint owd_template_table_forget (OwdTemplateTable *self);
/* Forgets what expired. */
void owd_template_table_sweep (OwdTemplateTable *self, OwdTime now_ns);

G_END_DECLS

#endif
