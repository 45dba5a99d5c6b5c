/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of information elements: its own order, and docs/fields.md, whose list of elements must be what the table
 * says. With OWD_UPDATE_DOCS=1 in the environment the list is written anew instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "elements.h"

#include <string.h>

#define FIELDS_MD OWD_SOURCE_DIR "/docs/fields.md"
#define BEGIN "<!-- elements begin: written by tests/unit/test_elements.c -->\n"
#define END "<!-- elements end -->\n"

static void
rows_are_sorted (void **state)
{
  guint n, rows;
  const OwdElement *e = owd_elements (&n);

  (void) state;
  for (guint i = 0; i < n; i++) {
    const OwdElement *first = owd_element_find (e[i].pen, e[i].id, &rows);

    assert_non_null (e[i].name);
    assert_non_null (e[i].field);
    if (i > 0)
      assert_true (e[i - 1].pen < e[i].pen || (e[i - 1].pen == e[i].pen && e[i - 1].id <= e[i].id));
    assert_true (first != NULL && first <= &e[i] && &e[i] < first + rows);
  }
  assert_null (owd_element_find (0, 65535, &rows));
  assert_null (owd_element_find (OWD_PEN_CERT, 1, &rows));
}

static char *
number_text (const OwdElement *e)
{
  if (e->pen == OWD_PEN_V9)
    return g_strdup_printf ("v9 %u", e->id + 0x8000u);
  if (e->pen != 0)
    return g_strdup_printf ("%u/%u", e->pen, e->id);
  return g_strdup_printf ("%u", e->id);
}

static char *
list_text (void)
{
  GString *text = g_string_new (BEGIN);
  guint n;
  const OwdElement *e = owd_elements (&n);

  g_string_append (text, "| number | element | record | field | rank |\n| --- | --- | --- | --- | --- |\n");
  for (guint i = 0; i < n; i++) {
    g_autofree char *number = number_text (&e[i]);

    g_string_append_printf (text, "| %s | %s | %s | %s | %u |\n", number, e[i].name,
                            e[i].use == OWD_USE_OPTION ? "options" : "flow", e[i].field, e[i].rank);
  }
  g_string_append (text, END);
  return g_string_free (text, FALSE);
}

static void
docs_list_them (void **state)
{
  g_autofree char *md = NULL, *list = list_text ();
  char *begin, *end;

  (void) state;
  assert_true (g_file_get_contents (FIELDS_MD, &md, NULL, NULL));
  begin = strstr (md, BEGIN);
  end = begin != NULL ? strstr (begin, END) : NULL;
  assert_non_null (end);
  end += strlen (END);
  if (g_getenv ("OWD_UPDATE_DOCS") != NULL) {
    g_autofree char *head = g_strndup (md, (gsize) (begin - md));
    g_autofree char *whole = g_strconcat (head, list, end, NULL);

    assert_true (g_file_set_contents (FIELDS_MD, whole, -1, NULL));
    return;
  }
  if (strncmp (begin, list, strlen (list)) != 0)
    fail_msg ("docs/fields.md is not what collector/elements.c says; OWD_UPDATE_DOCS=1 test_elements writes it anew");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (rows_are_sorted),
    cmocka_unit_test (docs_list_them),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
