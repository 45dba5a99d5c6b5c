/* SPDX-License-Identifier: Apache-2.0
 *
 * The only user of libfixbuf. It parses templates, NetFlow v9's too (rewritten, so that there is one registry), and
 * knows the types of elements. It never sees a data record: those run through our compiled plan, being faster and
 * safe against hostile bytes. Options records do the same, since the library takes the wrong end of an integer that
 * is longer than its element's type (samplerId in two bytes, as Cisco sends it).
 *
 * The guard: the library gets one message of our own making per template, never a byte of a datagram. A field goes
 * in as itself only if the information model knows it, its length suits its type, it is no list (RFC 6313), and it
 * does not come up more than DUPLICATES_MAX times (the library compares all pairs). Everything else goes in as a
 * placeholder: an element of a reserved enterprise, numbered by its position. So the model, in which the library
 * notes each stranger for good, never grows by more than OWD_FIELDS_MAX. The template is taken out again at once:
 * what we keep of it is the plan, and its limits and expiry are template.c's.
 *
 * Cost: some 10 us per new or changed template; nothing per record.
 */
#include "fixbuf.h"

#include <fixbuf/public.h>

#define DUPLICATES_MAX 8
#define PEN_PLACEHOLDER 0xffffffffu /* IANA: reserved */
#define TEMPLATE_ID 256
#define DOMAIN 1

#define HEADER_LEN 16 /* of a message, RFC 7011 3.1 */
#define SLACK 4       /* the library may look that far past the end */
#define MESSAGE_MAX (HEADER_LEN + 4 + 6 + 8 * OWD_FIELDS_MAX)

struct OwdFixbuf {
  fbInfoModel_t *model;
  fbSession_t *session; /* owned by fbuf */
  fBuf_t *fbuf;
  GByteArray *message;
  const OwdTemplateDef *def; /* being read */
  const gboolean *known;     /* per field: not a placeholder */
  OwdField *fields;          /* what the callback makes of it */
  gboolean accepted;
};

/* ---- the information model --------------------------------------------------------------------- */

static void
add_element (fbInfoModel_t *model, const OwdElement *e)
{
  gboolean is_addr = e->use == OWD_USE_ADDR;
  fbInfoElement_t ie = FB_IE_INIT_FULL (e->name, e->pen, e->id, is_addr ? 4 : 8, FB_IE_F_ENDIAN, 0, 0,
                                        is_addr ? FB_IP4_ADDR : FB_UINT_64, NULL);

  if (is_addr)
    ie.flags = 0;
  fbInfoModelAddElement (model, &ie);
}

/* What our table has and the library's model of its day has not. */
static void
complete_model (fbInfoModel_t *model)
{
  guint n;
  const OwdElement *elements = owd_elements (&n);

  for (guint i = 0; i < n; i++)
    if (fbInfoModelGetElementByID (model, elements[i].id, elements[i].pen) == NULL)
      add_element (model, &elements[i]);
}

static gboolean
length_suits (guint8 type, guint16 len)
{
  switch (type) {
  case FB_OCTET_ARRAY:
  case FB_STRING:
    return len >= 1;
  case FB_UINT_8:
  case FB_INT_8:
  case FB_BOOL:
    return len == 1;
  case FB_UINT_16:
  case FB_INT_16:
    return len >= 1 && len <= 2;
  case FB_UINT_32:
  case FB_INT_32:
    return len >= 1 && len <= 4;
  case FB_UINT_64:
  case FB_INT_64:
    return len >= 1 && len <= 8;
  case FB_FLOAT_32:
  case FB_DT_SEC:
  case FB_IP4_ADDR:
    return len == 4;
  case FB_FLOAT_64:
    return len == 4 || len == 8;
  case FB_DT_MILSEC:
  case FB_DT_MICROSEC:
  case FB_DT_NANOSEC:
    return len == 8;
  case FB_MAC_ADDR:
    return len == 6;
  case FB_IP6_ADDR:
    return len == 16;
  default: /* lists, and whatever comes after this library */
    return FALSE;
  }
}

static gboolean
is_known (const OwdFixbuf *self, const OwdTemplateDef *def, guint i)
{
  const OwdField *field = &def->fields[i];
  const fbInfoElement_t *ie;
  guint before = 0;

  if (field->id >= 0x8000 || field->pen == PEN_PLACEHOLDER)
    return FALSE;
  ie = fbInfoModelGetElementByID (self->model, field->id, field->pen);
  if (ie == NULL || !length_suits (ie->type, field->len))
    return FALSE;
  for (guint k = 0; k < i; k++)
    before += def->fields[k].id == field->id && def->fields[k].pen == field->pen;
  return before < DUPLICATES_MAX;
}

/* ---- one template through the library ---------------------------------------------------------- */

static void
put16 (GByteArray *to, guint v)
{
  guint8 be[2] = { (guint8) (v >> 8), (guint8) v };

  g_byte_array_append (to, be, sizeof be);
}

static void
put32 (GByteArray *to, guint32 v)
{
  put16 (to, v >> 16);
  put16 (to, v & 0xffff);
}

/* A message of one set of one template. */
static void
build_message (OwdFixbuf *self, const OwdTemplateDef *def, const gboolean *known)
{
  GByteArray *m = self->message;
  guint n_scope = def->is_options ? MAX (def->n_scope, 1) : 0; /* the library knows options by their scope */
  gsize len = HEADER_LEN + 4 + (n_scope > 0 ? 6 : 4);

  for (guint i = 0; i < def->n_fields; i++)
    len += !known[i] || def->fields[i].pen != 0 ? 8 : 4;

  g_byte_array_set_size (m, 0);
  put16 (m, 10);
  put16 (m, (guint) len);
  put32 (m, 0); /* export time */
  put32 (m, 0); /* sequence: no data record ever goes through, so it stays */
  put32 (m, DOMAIN);
  put16 (m, n_scope > 0 ? 3 : 2);
  put16 (m, (guint) len - HEADER_LEN);
  put16 (m, TEMPLATE_ID);
  put16 (m, def->n_fields);
  if (n_scope > 0)
    put16 (m, n_scope);
  for (guint i = 0; i < def->n_fields; i++) {
    const OwdField *field = &def->fields[i];
    guint32 pen = known[i] ? field->pen : PEN_PLACEHOLDER;

    put16 (m, (known[i] ? field->id : i + 1) | (pen != 0 ? 0x8000 : 0));
    put16 (m, field->len);
    if (pen != 0)
      put32 (m, pen);
  }
  put32 (m, 0); /* slack */
  g_assert (m->len == len + SLACK);
}

/* The library has read the template: take over what it understood. */
static void
take_template (fbSession_t *session, uint16_t tid, fbTemplate_t *tmpl, void *app_ctx, void **tmpl_ctx,
               fbTemplateCtxFree_fn *tmpl_ctx_free_fn)
{
  OwdFixbuf *self = app_ctx;
  const OwdTemplateDef *def = self->def;

  (void) session;
  (void) tmpl_ctx;
  (void) tmpl_ctx_free_fn;
  if (tid != TEMPLATE_ID || fbTemplateCountElements (tmpl) != def->n_fields
      || (fbTemplateGetOptionsScope (tmpl) > 0) != def->is_options)
    return;
  for (guint i = 0; i < def->n_fields; i++) {
    const fbInfoElement_t *ie = fbTemplateGetIndexedIE (tmpl, i);

    if (ie == NULL || ie->len != def->fields[i].len)
      return;
    self->fields[i] = self->known[i] ? (OwdField){ .pen = ie->ent, .id = ie->num, .len = ie->len } : def->fields[i];
  }
  self->accepted = TRUE;
}

gboolean
owd_fixbuf_learn (OwdFixbuf *self, const OwdTemplateDef *def, OwdField *ret_fields)
{
  g_autoptr (GError) error = NULL;
  gboolean known[OWD_FIELDS_MAX];
  uint16_t tid;

  for (guint i = 0; i < def->n_fields; i++)
    known[i] = is_known (self, def, i);
  build_message (self, def, known);
  self->def = def;
  self->known = known;
  self->fields = ret_fields;
  self->accepted = FALSE;

  fBufSetBuffer (self->fbuf, self->message->data, self->message->len - SLACK);
  if (fBufNextMessage (self->fbuf, &error)) {
    /* Always NULL: there is no data set. Reads the template on its way to the end of the message. */
    (void) fBufNextCollectionTemplate (self->fbuf, &tid, &error);
    fbSessionSetDomain (self->session, DOMAIN);
    (void) fbSessionRemoveTemplate (self->session, FALSE, TEMPLATE_ID, NULL);
  }
  self->def = NULL;
  self->known = NULL;
  self->fields = NULL;
  return self->accepted;
}

OwdFixbuf *
owd_fixbuf_new (void)
{
  OwdFixbuf *self = g_new0 (OwdFixbuf, 1);

  self->message = g_byte_array_sized_new (MESSAGE_MAX + SLACK);
  self->model = fbInfoModelAlloc ();
  complete_model (self->model);
  self->session = fbSessionAlloc (self->model);
  fbSessionAddNewTemplateCallback (self->session, take_template, self);
  self->fbuf = fBufAllocForCollection (self->session, NULL);
  fBufSetAutomaticMode (self->fbuf, FALSE);
  return self;
}

void
owd_fixbuf_free (OwdFixbuf *self)
{
  if (self == NULL)
    return;
  fBufFree (self->fbuf); /* with the session */
  fbInfoModelFree (self->model);
  g_byte_array_unref (self->message);
  g_free (self);
}
