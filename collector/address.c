/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
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

void
owd_socket_address_split (const OwdSocketAddress *address, OwdAddr *ret_addr, guint16 *ret_port)
{
  if (address->any.sa_family == AF_INET) {
    owd_addr_set_v4 (ret_addr, (const guint8 *) &address->v4.sin_addr);
    *ret_port = g_ntohs (address->v4.sin_port);
  } else {
    memcpy (ret_addr->b, &address->v6.sin6_addr, sizeof ret_addr->b);
    *ret_port = g_ntohs (address->v6.sin6_port);
  }
}

gboolean
owd_socket_address_fall_back (OwdSocketAddress *address)
{
  OwdSocketAddress v4 = { .v4 = { .sin_family = AF_INET } };

  if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED (&address->v6.sin6_addr)
      || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
    return FALSE;
  v4.v4.sin_port = address->v6.sin6_port;
  *address = v4;
  return TRUE;
}

void
owd_socket_hash_code (struct sock_filter *code)
{
  enum { NET = SKF_NET_OFF };
  const struct sock_filter hash[OWD_SOCKET_HASH_CODE] = {
    BPF_STMT (BPF_LD | BPF_B | BPF_ABS, (guint32) NET),
    BPF_STMT (BPF_ALU | BPF_RSH | BPF_K, 4),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 2),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (guint32) NET + 12),
    BPF_JUMP (BPF_JMP | BPF_JA, 10, 0, 0),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (guint32) NET + 8),
    BPF_STMT (BPF_MISC | BPF_TAX, 0),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (guint32) NET + 12),
    BPF_STMT (BPF_ALU | BPF_XOR | BPF_X, 0),
    BPF_STMT (BPF_MISC | BPF_TAX, 0),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (guint32) NET + 16),
    BPF_STMT (BPF_ALU | BPF_XOR | BPF_X, 0),
    BPF_STMT (BPF_MISC | BPF_TAX, 0),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, (guint32) NET + 20),
    BPF_STMT (BPF_ALU | BPF_XOR | BPF_X, 0),
    BPF_STMT (BPF_ALU | BPF_MUL | BPF_K, OWD_SOCKET_HASH_FACTOR),
  };

  memcpy (code, hash, sizeof hash);
}

gboolean
owd_socket_steer_by_source (int fd, guint workers)
{
  struct sock_filter code[OWD_SOCKET_HASH_CODE + 3] = {
    [OWD_SOCKET_HASH_CODE] = BPF_STMT (BPF_ALU | BPF_RSH | BPF_K, 16),
    [OWD_SOCKET_HASH_CODE + 1] = BPF_STMT (BPF_ALU | BPF_MOD | BPF_K, workers),
    [OWD_SOCKET_HASH_CODE + 2] = BPF_STMT (BPF_RET | BPF_A, 0),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (code), .filter = code };

  owd_socket_hash_code (code);
  return setsockopt (fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
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
