/* SPDX-License-Identifier: Apache-2.0
 *
 * roll: rolls up what the watermark has passed, as the correlator does, and ends. Database: libpq's environment.
 */
#include "owd-store.h"

int
main (void)
{
  GError *error = NULL;
  g_autoptr (OwdStore) store = owd_store_open (NULL, "roll", &error);
  gboolean more = store != NULL;

  while (more && owd_store_roll (store, FALSE, &more, &error))
    ;
  if (error == NULL)
    return 0;
  g_printerr ("roll: %s\n", error->message);
  g_error_free (error);
  return 1;
}
