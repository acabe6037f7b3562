/* seen.h - the credentials that a task of a fake root sees: root's, and what it makes of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SEEN_H
#define PTOVERLAY_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session;
struct task;

enum seen_id { SEEN_REAL, SEEN_EFFECTIVE, SEEN_SAVED, SEEN_FS, SEEN_IDS };

/* credentials(7), capabilities(7).  Once it is a task's it never changes and lasts as long as the session. */
struct seen {
    uid_t uid[SEEN_IDS];
    gid_t gid[SEEN_IDS];
    uint64_t inheritable, permitted, effective, bounding, ambient;
    unsigned securebits;        /* SECBIT_* */
    size_t ngroups;
    gid_t groups[];             /* in their order, as the kernel keeps them */
};

/* Does the run have a fake root? */
bool seen_wanted(const struct session *session);
/* What the task sees; NULL: out of memory, or the run has no fake root. */
const struct seen *seen_of(struct task *task);
/* The same of another process of the run. */
const struct seen *seen_of_process(struct session *session, pid_t pid);
/* A copy with room for other groups, to be freed. */
struct seen *seen_copy(const struct seen *seen, size_t ngroups);
/* From now on the task sees these, and so does what it starts.  0, or -errno. */
int seen_set(struct task *task, const struct seen *seen);
static inline bool seen_capable(const struct seen *seen, int cap) {
    return seen->effective >> cap & 1;
}
/* What it sees after the execution of a file that shows this mode and this owner (execve(2), capabilities(7)). */
int seen_after_exec(const struct seen *seen, mode_t mode, uid_t uid, gid_t gid, struct seen **after);
/* The text of /proc/PID/status (ended by a NUL) with what the process sees, to be freed; NULL: out of memory. */
char *seen_status(struct task *task, pid_t pid, const char *text, size_t *length);
bool seen_equal(const struct seen *a, const struct seen *b);
void seen_clear(struct session *session);

#endif
