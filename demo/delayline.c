/* SPDX-License-Identifier: Apache-2.0
 *
 * A line with a known delay between two Ethernet interfaces, for kernels without netem, and with its own measurement
 * of what it really did.
 *
 *   namespace A  eth0 ==veth== a  [delayline]  b ==veth== eth0  namespace B
 *
 * Idea: one packet socket per interface. The kernel stamps each frame on arrival (SO_TIMESTAMPNS); the frame becomes
 * due at stamp + delay, waits in a list ordered by due time, and leaves through the other interface. The time of
 * leaving minus the kernel's stamp of arrival is the truth that passive measurement is held against: per second and
 * direction a JSON line on stdout has its count, minimum, median and maximum.
 *
 * Commands on stdin change the line while it runs; DIR is "ab" or "ba":
 *   DIR delay MS      frames that arrive from now on; by itself it never lets one overtake another
 *   DIR loss P        drop, with probability P (0..1)
 *   DIR duplicate P   send twice, the second copy right behind the first
 *   DIR reorder P MS  hold back for MS longer, so that later frames overtake
 *   port N            loss, duplicates and reordering hit only UDP frames from or to this port; 0: all IP frames
 *   size N            of these, only those with a payload of N bytes are counted, though all are hit; 0: all
 * They are drawn from a seeded generator and counted exactly over the whole run; "reordered" frames left after a frame
 * of their direction that had arrived later (RFC 4737).
 *
 * Invariants: a slot is in the free list or in one waiting list. Frames not held back leave in order of arrival.
 * Cost: two system calls per frame; frames not held back are inserted in O(frames held back); memory fixed at start.
 * Needs CAP_NET_RAW; with CAP_SYS_NICE it runs in a real-time class, so that load does not add delay. Frames travel
 * with their virtio header, so that checksums which the sending end left to its "hardware" stay left to it; segments
 * must not be joined by the sender: ip link set eth0 gso_max_segs 1.
 */
#include <errno.h>
#include <glib.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "owd-wire.h"

#define FRAME_MAX 2048
#define SLOTS 16384         /* frames that may wait: 32 MiB, 160 ms at 100,000 frames a second */
#define TURN 64             /* frames taken from one socket before the other gets its turn */
#define GIVEN_MAX (1 << 17) /* measured delays kept per direction and second */
#define DELAY_MAX_MS 10000.0
#define MS 1000000.0
#define S_NS G_GINT64_CONSTANT (1000000000)

enum { AB, BA, DIRECTIONS };
static const char *const direction_names[DIRECTIONS] = { "ab", "ba" };

typedef struct Slot Slot;
struct Slot {
  Slot *prev, *next;
  gint64 arrived_ns; /* kernel's stamp, CLOCK_REALTIME */
  gint64 due_ns;     /* CLOCK_MONOTONIC */
  guint64 number;    /* in order of arrival, per direction */
  gsize length;      /* of the frame */
  gboolean impaired; /* loss, duplicates and reordering apply to it */
  gboolean counted;  /* and are counted */
  gboolean twice;
  struct virtio_net_hdr offload;
  guint8 frame[FRAME_MAX];
};

typedef struct {
  guint64 frames, lost, duplicated, reordered, overflow, refused;
} Counts;

typedef struct {
  int in, out; /* packet sockets: in is the other direction's out */
  gint64 delay_ns;
  gint64 hold_ns; /* extra delay of a frame held back */
  double loss, duplicate, reorder;
  Slot *first, *last;   /* waiting, by due time */
  gint64 newest_due_ns; /* of frames not held back */
  guint64 arrivals;
  guint64 newest_sent; /* highest number that has left, of frames that are counted */
  Counts counts;
  gint64 *given_ns; /* measured delays of the current second */
  guint n_given;
} Direction;

typedef struct {
  Direction dir[DIRECTIONS];
  Slot *slots, *unused;
  GRand *random;
  guint16 port, size;
  gint64 second;     /* of the report under way, since 1970 */
  GString *commands; /* an unfinished line of stdin */
  gboolean stdin_open;
} Line;

static gint64
clock_ns (clockid_t id)
{
  struct timespec t;

  clock_gettime (id, &t);
  return t.tv_sec * S_NS + t.tv_nsec;
}

/* ---- frames ------------------------------------------------------------------------------------ */

/* Is it an IP frame, and where a port is told, UDP from or to it? Fragments and extension headers count as no UDP.
 * ret_size: then its payload's length. */
static gboolean
is_impaired (const guint8 *frame, gsize length, guint16 port, guint *ret_size)
{
  OwdWire w = owd_wire (frame, length);
  guint16 type;
  guint8 proto;
  guint16 sport, dport, size;

  *ret_size = 0;
  owd_wire_take (&w, 12);
  type = owd_wire_u16 (&w);
  if (type != ETH_P_IP && type != ETH_P_IPV6)
    return FALSE;
  if (port == 0)
    return !w.failed;
  if (type == ETH_P_IP) {
    gsize header = (owd_wire_u8 (&w) & 0xf) * 4u;

    owd_wire_take (&w, 8);
    proto = owd_wire_u8 (&w);
    owd_wire_take (&w, header > 10 ? header - 10 : 0);
  } else {
    owd_wire_take (&w, 6);
    proto = owd_wire_u8 (&w);
    owd_wire_take (&w, 33);
  }
  sport = owd_wire_u16 (&w);
  dport = owd_wire_u16 (&w);
  size = owd_wire_u16 (&w);
  *ret_size = size >= 8 ? size - 8u : 0;
  return !w.failed && proto == IPPROTO_UDP && (sport == port || dport == port);
}

/* Puts the slot where its due time belongs; behind those with the same one. */
static void
insert (Direction *dir, Slot *slot)
{
  Slot *before = dir->last;

  while (before != NULL && before->due_ns > slot->due_ns)
    before = before->prev;
  slot->prev = before;
  slot->next = before != NULL ? before->next : dir->first;
  *(slot->next != NULL ? &slot->next->prev : &dir->last) = slot;
  *(before != NULL ? &before->next : &dir->first) = slot;
}

static Slot *
take_first (Direction *dir)
{
  Slot *slot = dir->first;

  dir->first = slot->next;
  *(slot->next != NULL ? &slot->next->prev : &dir->last) = NULL;
  return slot;
}

/* A frame is in slot, with length and stamp set: it is given a due time, or lost. Returns FALSE where the slot is free
 * again. */
static gboolean
accept_frame (Line *line, Direction *dir, Slot *slot)
{
  gint64 age_ns = clock_ns (CLOCK_REALTIME) - slot->arrived_ns;
  guint size;

  slot->number = ++dir->arrivals;
  slot->impaired = is_impaired (slot->frame, slot->length, line->port, &size);
  slot->counted = slot->impaired && (line->size == 0 || size == line->size);
  slot->twice = FALSE;
  slot->due_ns = clock_ns (CLOCK_MONOTONIC) - age_ns + dir->delay_ns;
  slot->due_ns = MAX (slot->due_ns, dir->newest_due_ns);
  dir->newest_due_ns = slot->due_ns;
  if (slot->impaired) {
    if (dir->loss > 0 && g_rand_double (line->random) < dir->loss) {
      dir->counts.lost += slot->counted;
      return FALSE;
    }
    slot->twice = dir->duplicate > 0 && g_rand_double (line->random) < dir->duplicate;
    if (dir->reorder > 0 && g_rand_double (line->random) < dir->reorder)
      slot->due_ns += dir->hold_ns;
  }
  insert (dir, slot);
  return TRUE;
}

/* One frame from the socket into slot. Returns FALSE when there is none for now. */
static gboolean
receive (int fd, Slot *slot)
{
  char control[CMSG_SPACE (sizeof (struct timespec))];
  struct iovec iov[] = { { &slot->offload, sizeof slot->offload }, { slot->frame, sizeof slot->frame } };
  struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control };
  ssize_t length = recvmsg (fd, &message, MSG_DONTWAIT | MSG_TRUNC);

  if (length < (ssize_t) sizeof slot->offload)
    return FALSE;
  slot->length = (gsize) length - sizeof slot->offload;
  slot->arrived_ns = clock_ns (CLOCK_REALTIME);
  for (struct cmsghdr *c = CMSG_FIRSTHDR (&message); c != NULL; c = CMSG_NXTHDR (&message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec t;

      memcpy (&t, CMSG_DATA (c), sizeof t);
      slot->arrived_ns = t.tv_sec * S_NS + t.tv_nsec;
    }
  return TRUE;
}

static void
receive_turn (Line *line, Direction *dir)
{
  for (guint n = 0; n < TURN && line->unused != NULL; n++) {
    Slot *slot = line->unused;

    if (!receive (dir->in, slot))
      return;
    line->unused = slot->next;
    dir->counts.frames++;
    if (slot->length > FRAME_MAX)
      dir->counts.overflow++;
    else if (accept_frame (line, dir, slot))
      continue;
    slot->next = line->unused;
    line->unused = slot;
  }
}

static gboolean
send_frame (int fd, Slot *slot)
{
  struct iovec iov[] = { { &slot->offload, sizeof slot->offload }, { slot->frame, slot->length } };
  struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

  return sendmsg (fd, &message, MSG_DONTWAIT) >= 0;
}

static void
send_slot (Direction *dir, Slot *slot)
{
  gint64 now_ns = clock_ns (CLOCK_REALTIME);

  if (!send_frame (dir->out, slot)) {
    dir->counts.refused++;
    return;
  }
  if (dir->n_given < GIVEN_MAX)
    dir->given_ns[dir->n_given++] = now_ns - slot->arrived_ns;
  if (slot->twice && send_frame (dir->out, slot))
    dir->counts.duplicated += slot->counted;
  if (!slot->counted)
    return;
  if (slot->number < dir->newest_sent)
    dir->counts.reordered++;
  else
    dir->newest_sent = slot->number;
}

static void
send_due (Line *line, Direction *dir)
{
  while (dir->first != NULL && dir->first->due_ns <= clock_ns (CLOCK_MONOTONIC)) {
    Slot *slot = take_first (dir);

    send_slot (dir, slot);
    slot->next = line->unused;
    line->unused = slot;
  }
}

/* ---- report ------------------------------------------------------------------------------------ */

static int
compare_ns (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

static void
report_direction (const Line *line, int which, Direction *dir)
{
  guint n = dir->n_given;

  printf ("{\"t\":%" G_GINT64_FORMAT ",\"dir\":\"%s\",\"set_ms\":%.3f,\"n\":%u", line->second, direction_names[which],
          (double) dir->delay_ns / MS, n);
  if (n > 0) {
    qsort (dir->given_ns, n, sizeof *dir->given_ns, compare_ns);
    printf (",\"min_ms\":%.4f,\"p50_ms\":%.4f,\"max_ms\":%.4f", (double) dir->given_ns[0] / MS,
            (double) dir->given_ns[n / 2] / MS, (double) dir->given_ns[n - 1] / MS);
  }
  printf (",\"frames\":%" G_GUINT64_FORMAT ",\"lost\":%" G_GUINT64_FORMAT ",\"duplicated\":%" G_GUINT64_FORMAT
          ",\"reordered\":%" G_GUINT64_FORMAT ",\"overflow\":%" G_GUINT64_FORMAT ",\"refused\":%" G_GUINT64_FORMAT
          "}\n",
          dir->counts.frames, dir->counts.lost, dir->counts.duplicated, dir->counts.reordered, dir->counts.overflow,
          dir->counts.refused);
  dir->n_given = 0;
}

static void
report (Line *line)
{
  for (int k = 0; k < DIRECTIONS; k++)
    report_direction (line, k, &line->dir[k]);
  fflush (stdout);
}

/* ---- commands ---------------------------------------------------------------------------------- */

static gboolean
parse_number (const char *text, double max, double *ret)
{
  char *end;

  if (text == NULL)
    return FALSE;
  *ret = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && *ret >= 0 && *ret <= max;
}

static gboolean
apply_to (Direction *dir, char **words)
{
  double p, ms;

  if (g_str_equal (words[0], "delay") && parse_number (words[1], DELAY_MAX_MS, &ms)) {
    dir->delay_ns = (gint64) (ms * MS);
    return TRUE;
  }
  if (!parse_number (words[1], 1, &p))
    return FALSE;
  if (g_str_equal (words[0], "loss"))
    dir->loss = p;
  else if (g_str_equal (words[0], "duplicate"))
    dir->duplicate = p;
  else if (g_str_equal (words[0], "reorder") && parse_number (words[2], DELAY_MAX_MS, &ms)) {
    dir->reorder = p;
    dir->hold_ns = (gint64) (ms * MS);
  } else
    return FALSE;
  return TRUE;
}

/* Returns FALSE where the command is not understood. */
static gboolean
apply (Line *line, const char *command)
{
  g_auto (GStrv) words = g_strsplit (command, " ", -1);
  double number;

  if (g_strv_length (words) < 2)
    return FALSE;
  for (int k = 0; k < DIRECTIONS; k++)
    if (g_str_equal (words[0], direction_names[k]))
      return apply_to (&line->dir[k], words + 1);
  if (!parse_number (words[1], G_MAXUINT16, &number))
    return FALSE;
  if (g_str_equal (words[0], "port"))
    line->port = (guint16) number;
  else if (g_str_equal (words[0], "size"))
    line->size = (guint16) number;
  else
    return FALSE;
  return TRUE;
}

static void
read_commands (Line *line)
{
  char buffer[512];
  ssize_t n = read (STDIN_FILENO, buffer, sizeof buffer);
  char *end;

  if (n <= 0) {
    line->stdin_open = n < 0 && errno == EINTR;
    return;
  }
  g_string_append_len (line->commands, buffer, n);
  while ((end = strchr (line->commands->str, '\n')) != NULL) {
    *end = '\0';
    if (!apply (line, line->commands->str))
      fprintf (stderr, "delayline: '%s' is no command\n", line->commands->str);
    g_string_erase (line->commands, 0, end + 1 - line->commands->str);
  }
}

/* ---- set-up and loop --------------------------------------------------------------------------- */

static int
open_interface (const char *name, GError **error)
{
  struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = g_htons (ETH_P_ALL) };
  int one = 1, buffer = 16 << 20;
  int fd = socket (AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

  address.sll_ifindex = (int) if_nametoindex (name);
  if (fd < 0 || address.sll_ifindex == 0 || setsockopt (fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0
      || setsockopt (fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0
      || setsockopt (fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0
      || setsockopt (fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) != 0
      || bind (fd, (const struct sockaddr *) &address, sizeof address) != 0) {
    g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "interface %s: %s", name, g_strerror (errno));
    if (fd >= 0)
      close (fd);
    return -1;
  }
  if (setsockopt (fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
    (void) setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  return fd;
}

/* Real-time class and locked memory where allowed: only precision depends on them. */
static void
be_punctual (void)
{
  const struct sched_param param = { .sched_priority = 10 };

  if (sched_setscheduler (0, SCHED_FIFO, &param) != 0)
    fprintf (stderr, "delayline: no real-time class (%s): other load may add delay\n", g_strerror (errno));
  if (mlockall (MCL_CURRENT | MCL_FUTURE) != 0)
    fprintf (stderr, "delayline: memory not locked (%s)\n", g_strerror (errno));
  prctl (PR_SET_TIMERSLACK, 1UL);
}

/* Time until the next frame is due or the second's report is. */
static struct timespec
time_to_sleep (const Line *line)
{
  gint64 sleep_ns = (line->second + 1) * S_NS - clock_ns (CLOCK_REALTIME);
  gint64 now_ns = clock_ns (CLOCK_MONOTONIC);

  for (int k = 0; k < DIRECTIONS; k++)
    if (line->dir[k].first != NULL)
      sleep_ns = MIN (sleep_ns, line->dir[k].first->due_ns - now_ns);
  sleep_ns = CLAMP (sleep_ns, 0, S_NS);
  return (struct timespec){ .tv_sec = sleep_ns / S_NS, .tv_nsec = sleep_ns % S_NS };
}

static gboolean
run (Line *line, int signals, GError **error)
{
  struct pollfd fds[] = {
    { .fd = line->dir[AB].in, .events = POLLIN },
    { .fd = line->dir[BA].in, .events = POLLIN },
    { .fd = signals, .events = POLLIN },
    { .fd = STDIN_FILENO, .events = POLLIN },
  };

  line->second = clock_ns (CLOCK_REALTIME) / S_NS;
  while (TRUE) {
    struct timespec sleep = time_to_sleep (line);

    if (ppoll (fds, G_N_ELEMENTS (fds), &sleep, NULL) < 0 && errno != EINTR) {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "waiting: %s", g_strerror (errno));
      return FALSE;
    }
    for (int k = 0; k < DIRECTIONS; k++) {
      send_due (line, &line->dir[k]);
      receive_turn (line, &line->dir[k]);
    }
    if (clock_ns (CLOCK_REALTIME) / S_NS != line->second || fds[2].revents != 0) {
      report (line);
      line->second = clock_ns (CLOCK_REALTIME) / S_NS;
    }
    if (fds[2].revents != 0)
      return TRUE;
    if (fds[3].revents != 0)
      read_commands (line);
    if (!line->stdin_open)
      fds[3].fd = -1;
  }
}

static gboolean
open_line (Line *line, const char *a, const char *b, GError **error)
{
  int fd_a = open_interface (a, error);
  int fd_b = fd_a < 0 ? -1 : open_interface (b, error);

  if (fd_b < 0)
    return FALSE;
  line->dir[AB].in = line->dir[BA].out = fd_a;
  line->dir[BA].in = line->dir[AB].out = fd_b;
  line->slots = g_new0 (Slot, SLOTS);
  for (gsize k = 0; k < SLOTS; k++) {
    line->slots[k].next = line->unused;
    line->unused = &line->slots[k];
  }
  for (int k = 0; k < DIRECTIONS; k++)
    line->dir[k].given_ns = g_new0 (gint64, GIVEN_MAX);
  line->commands = g_string_new (NULL);
  line->stdin_open = TRUE;
  return TRUE;
}

static int
block_signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGTERM);
  sigprocmask (SIG_BLOCK, &set, NULL);
  return signalfd (-1, &set, SFD_CLOEXEC);
}

static void
clear_line (Line *line)
{
  for (int k = 0; k < DIRECTIONS; k++) {
    if (line->dir[k].in > 0)
      close (line->dir[k].in);
    g_free (line->dir[k].given_ns);
  }
  if (line->commands != NULL)
    g_string_free (line->commands, TRUE);
  g_free (line->slots);
  g_rand_free (line->random);
}

int
main (int argc, char **argv)
{
  g_autofree char *a = NULL, *b = NULL;
  double ab_ms = 0, ba_ms = 0;
  int seed = 1;
  const GOptionEntry entries[] = {
    { "a", 'a', 0, G_OPTION_ARG_STRING, &a, "Interface towards A", "IF" },
    { "b", 'b', 0, G_OPTION_ARG_STRING, &b, "Interface towards B", "IF" },
    { "ab", 0, 0, G_OPTION_ARG_DOUBLE, &ab_ms, "Delay from A to B", "MS" },
    { "ba", 0, 0, G_OPTION_ARG_DOUBLE, &ba_ms, "Delay from B to A", "MS" },
    { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "Seed of loss, duplicates and reordering (default 1)", "N" },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- a line with a known delay; commands on stdin");
  g_autoptr (GError) error = NULL;
  Line line = { 0 };
  gboolean ok;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || a == NULL || b == NULL || ab_ms < 0 || ba_ms < 0
      || ab_ms > DELAY_MAX_MS || ba_ms > DELAY_MAX_MS) {
    fprintf (stderr, "delayline: %s\n",
             error != NULL ? error->message : "-a IF and -b IF are needed, and delays from 0 to 10000 ms");
    return 2;
  }
  line.random = g_rand_new_with_seed ((guint32) seed);
  line.dir[AB].delay_ns = (gint64) (ab_ms * MS);
  line.dir[BA].delay_ns = (gint64) (ba_ms * MS);
  ok = open_line (&line, a, b, &error);
  if (ok) {
    be_punctual ();
    ok = run (&line, block_signals (), &error);
  }
  if (!ok)
    fprintf (stderr, "delayline: %s\n", error->message);
  clear_line (&line);
  return ok ? 0 : 1;
}
