/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <string.h>

gboolean
owd_socket_address_parse (const char *text, OwdSocketAddress *ret_address, GError **error)
{
  const char *colon = strrchr (text, ':');
  OwdSocketAddress address = { 0 };
  g_autofree char *host = NULL;
  guint64 port = 0;
  gboolean ok;

  if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 0, 65535, &port, NULL))
    goto nonsense;
  host = g_strndup (text, (gsize) (colon - text));
  if (host[0] == '[' && g_str_has_suffix (host, "]")) {
    host[strlen (host) - 1] = '\0';
    address.v6.sin6_family = AF_INET6;
    ok = inet_pton (AF_INET6, host + 1, &address.v6.sin6_addr) == 1;
  } else if (host[0] == '\0' || strcmp (host, "*") == 0) {
    address.v6.sin6_family = AF_INET6;
    ok = TRUE;
  } else {
    address.v4.sin_family = AF_INET;
    ok = inet_pton (AF_INET, host, &address.v4.sin_addr) == 1;
  }
  if (!ok)
    goto nonsense;
  if (address.any.sa_family == AF_INET6)
    address.v6.sin6_port = g_htons ((guint16) port);
  else
    address.v4.sin_port = g_htons ((guint16) port);
  *ret_address = address;
  return TRUE;

nonsense:
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
               "address \"%s\": expected ADDR:PORT, as 192.0.2.1:2055, [2001:db8::1]:2055 or *:2055", text);
  return FALSE;
}

socklen_t
owd_socket_address_len (const OwdSocketAddress *address)
{
  return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

char *
owd_socket_address_bound (int fd)
{
  OwdSocketAddress address = { 0 };
  socklen_t len = sizeof address;
  char host[INET6_ADDRSTRLEN] = "?";

  (void) getsockname (fd, &address.any, &len);
  if (address.any.sa_family == AF_INET6) {
    (void) inet_ntop (AF_INET6, &address.v6.sin6_addr, host, sizeof host);
    return g_strdup_printf ("[%s]:%u", host, g_ntohs (address.v6.sin6_port));
  }
  (void) inet_ntop (AF_INET, &address.v4.sin_addr, host, sizeof host);
  return g_strdup_printf ("%s:%u", host, g_ntohs (address.v4.sin_port));
}
