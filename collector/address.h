/* SPDX-License-Identifier: Apache-2.0
 *
 * Socket addresses as users write them.
 */
#ifndef OWD_ADDRESS_H
#define OWD_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "owd-error.h"

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} OwdSocketAddress;

/* "192.0.2.1:2055", "[2001:db8::1]:2055"; "*:2055" and ":2055" are the IPv6 wildcard. FALSE: OWD_ERROR_CONFIG. */
gboolean owd_socket_address_parse (const char *text, OwdSocketAddress *ret_address,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
socklen_t owd_socket_address_len (const OwdSocketAddress *address);
/* The address that a socket is bound to, in the same form. Returns: (transfer full). */
char *owd_socket_address_bound (int fd);

#endif
