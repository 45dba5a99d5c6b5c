/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of templates' elements: the only door to libfixbuf.
 */
#ifndef OWD_FIXBUF_H
#define OWD_FIXBUF_H

#include "template.h"

G_BEGIN_DECLS

typedef struct OwdFixbuf OwdFixbuf;

/* One per decoder: an information model is never shared. */
OwdFixbuf *owd_fixbuf_new (void) G_GNUC_WARN_UNUSED_RESULT;
/* def: has passed owd_template_check(). The library reads it as a template of IPFIX, whatever version brought it.
 * ret_fields: def->n_fields, as it understood them; elements that it does not know as they were.
 * FALSE: it refuses the template. */
gboolean owd_fixbuf_learn (OwdFixbuf *self, const OwdTemplateDef *def, OwdField *ret_fields) G_GNUC_WARN_UNUSED_RESULT;
void owd_fixbuf_free (OwdFixbuf *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdFixbuf, owd_fixbuf_free)

G_END_DECLS

#endif
