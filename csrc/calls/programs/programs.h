/* programs.h - the directory of a run, for what must exist under a name of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PROGRAMS_H
#define PTOVERLAY_PROGRAMS_H

#include <stddef.h>

struct cred;
struct session;
struct programs;

/* Its path, made when first needed; NULL when it cannot be made. */
const char *programs_directory(struct session *session);
void programs_clear(struct session *session);
/* A name in it, of the given last component, that leads to target; into out[PATH_MAX]. -errno. */
int programs_link(struct session *session, const char *name, const char *target, char *out);
/* A copy of the program whose PT_INTERP is interpreter; into out[PATH_MAX]. -errno. */
int programs_copy(struct session *session, const char *view_path, const char *real, const char *interpreter, char *out);
/* View path of the program of which real is a copy; NULL: it is none. Valid as long as the session. */
const char *programs_original(struct session *session, const char *real);
/* A short name for a path that is too long for a socket address; out[SHORT_NAME]. Number to give to
 * programs_unshorten. */
#define SHORT_NAME 92
int programs_shorten(struct session *session, const char *path, char out[SHORT_NAME]);
void programs_unshorten(struct session *session, int number);
/* What leads to a path that is longer than a call takes: names of links, each of which begins with the one before. */
#define REACH_LINKS 5
struct reach {
    unsigned count;
    int numbers[REACH_LINKS];   /* to give to programs_unshorten */
};
/* Such a path into out[PATH_MAX]. -errno. */
int programs_reach(struct session *session, const char *path, struct reach *reach, char *out);
/* A file that only the owner of cred may read, under such a name. */
int programs_text(struct session *session, const struct cred *cred, const char *text, size_t length,
                  char out[SHORT_NAME]);

#endif
