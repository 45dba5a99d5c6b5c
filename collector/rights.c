/* SPDX-License-Identifier: Apache-2.0
 *
 * The log is opened by the user, not by root and handed over: so every file in it is the user's, and rights that are
 * missing show at the start, not when the first segment is full.
 *
 * Only a directory made here changes hands. The user may own what is above it; giving away whatever a path leads to
 * would let him choose it with a link.
 */
#include "rights.h"
#include "owd-program.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
give_to (const struct passwd *pw, const char *dir, GError **error)
{
  int saved = 0, fd = open (dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0 || fchown (fd, pw->pw_uid, pw->pw_gid) != 0)
    saved = errno;
  if (fd >= 0)
    close (fd);
  if (saved != 0)
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot give %s to %s: %s", dir, pw->pw_name, g_strerror (saved));
  return saved == 0;
}

static gboolean
make_directory (const struct passwd *pw, const char *log_dir, GError **error)
{
  g_autofree char *dir = g_canonicalize_filename (log_dir, NULL);
  g_autofree char *above = g_path_get_dirname (dir);

  if (g_mkdir_with_parents (above, 0755) == 0 && mkdir (dir, 0755) == 0)
    return give_to (pw, dir, error);
  if (errno == EEXIST)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot create %s: %s", dir, g_strerror (errno));
  return FALSE;
}

gboolean
owd_rights_drop (const char *user, const char *log_dir, GError **error)
{
  gboolean becomes = user[0] != '\0' && geteuid () == 0;
  const struct passwd *pw = becomes ? getpwnam (user) : NULL;

  if (pw != NULL && !make_directory (pw, log_dir, error))
    return FALSE;
  if (!owd_program_drop_rights (becomes ? user : NULL, error))
    return FALSE;
  if (!becomes || access (log_dir, R_OK | W_OK | X_OK) == 0)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "user %s may not write to %s (%s): chown -R %s %s", user, log_dir,
               g_strerror (errno), user, log_dir);
  return FALSE;
}
