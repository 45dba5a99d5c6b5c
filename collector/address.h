/* SPDX-License-Identifier: Apache-2.0
 *
 * Socket addresses as users write them, and what UDP and TCP sockets have in common.
 */
#ifndef OWD_ADDRESS_H
#define OWD_ADDRESS_H

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "owd-error.h"
#include "owd-flow.h"

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} OwdSocketAddress;

/* "192.0.2.1:2055", "[2001:db8::1]:2055"; "*:2055" and ":2055" are the IPv6 wildcard. FALSE: OWD_ERROR_CONFIG. */
gboolean owd_socket_address_parse (const char *text, OwdSocketAddress *ret_address,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
socklen_t owd_socket_address_len (const OwdSocketAddress *address);
/* As the rest of the program names who sent something; IPv4 as ::ffff:a.b.c.d. */
void owd_socket_address_split (const OwdSocketAddress *address, OwdAddr *ret_addr, guint16 *ret_port);
/* After bind() failed, with its errno: on a machine without IPv6 the IPv6 wildcard becomes that of IPv4, and it is
 * worth another try. */
gboolean owd_socket_address_fall_back (OwdSocketAddress *address);
/* Filter code that leaves a hash of the datagram's source address in A: OWD_SOCKET_HASH_CODE instructions. It is the
 * address times OWD_SOCKET_HASH_FACTOR, modulo 2^32 (Fibonacci hashing: the high bits are the good ones); of an IPv6
 * address the four words XORed. */
#define OWD_SOCKET_HASH_CODE 16
#define OWD_SOCKET_HASH_FACTOR 0x9e3779b1u
void owd_socket_hash_code (struct sock_filter *code);
/* Tells the kernel to choose among the sockets that share an address (SO_REUSEPORT) by the source address only; each is
 * the n-th choice in its order of coming, for UDP bind(), for TCP listen(). FALSE: errno. */
gboolean owd_socket_steer_by_source (int fd, guint workers);
/* The address that a socket is bound to, in the same form. Returns: (transfer full). */
char *owd_socket_address_bound (int fd);

#endif
