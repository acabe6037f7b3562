/* task.c - what is known of a thread that calls: its credentials, its umask.
 *
 * Rules: all of it is the kernel's and only cached here.  Credentials belong to one thread and change by its
 * own calls alone (credentials(7), execve(2)), so those forget them before they run.  The umask and the
 * current directory may be shared with other tasks (CLONE_FS), so a change of one makes all tasks ask again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "../process/family.h"
#include "internal.h"

/* The fields of /proc/PID/status that matter, in the kernel's order. fs/proc/array.c */
struct status {
    pid_t tgid;
    mode_t umask;
    uid_t uid[4];           /* real, effective, saved, file system */
    gid_t gid[4];
    uint64_t permitted, effective;
    size_t ngroups;
    gid_t *groups;          /* to be freed */
};

struct identity {
    struct status status;
    bool known;
};

/* What follows "\nname:\t". */
static const char *field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? at + strlen(name) : "";
}

static void parse_ids(const char *at, uint32_t ids[4]) {
    char *end = (char *)at;
    for (int i = 0; i < 4; i++)
        ids[i] = (uint32_t)strtoul(end, &end, 10);
}

static int parse_groups(const char *at, struct status *status) {
    const char *line_end = strchr(at, '\n');
    size_t most = line_end ? (size_t)(line_end - at) / 2 + 1 : 0;
    if (most == 0)
        return 0;
    status->groups = malloc(most * sizeof *status->groups);
    if (!status->groups)
        return -ENOMEM;
    for (char *end = (char *)at; status->ngroups < most;) {
        char *from = end;
        while (*from == ' ' || *from == '\t')
            from++;
        if (*from < '0' || *from > '9')
            break;
        status->groups[status->ngroups++] = (gid_t)strtoul(from, &end, 10);
    }
    return 0;
}

/* The whole file, ended by a NUL; NULL with errno. To be freed unless it is buffer. */
static char *read_text(const char *path, char *buffer, size_t size) {
    CLOSE_DESCRIPTOR fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = buffer;
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, text + length, size - length - 1);
        if (n == 0)
            break;
        char *larger = NULL;
        length += n > 0 ? (size_t)n : 0;
        if (n > 0 && length < size - 1)
            continue;
        if (n > 0 && (larger = malloc(size * 4))) {
            memcpy(larger, text, length);
            size *= 4;
        }
        if (text != buffer)
            free(text);
        if (!larger)
            return NULL;
        text = larger;
    }
    text[length] = '\0';
    return text;
}

static int read_status(const char *path, struct status *status) {
    char buffer[4096];
    char *text = read_text(path, buffer, sizeof buffer);
    if (!text)
        return -EPERM;
    *status = (struct status){
        .tgid = (pid_t)strtol(field(text, "\nTgid:"), NULL, 10),
        .umask = (mode_t)strtoul(field(text, "\nUmask:"), NULL, 8),
        .permitted = strtoull(field(text, "\nCapPrm:"), NULL, 16),
        .effective = strtoull(field(text, "\nCapEff:"), NULL, 16),
    };
    parse_ids(field(text, "\nUid:"), status->uid);
    parse_ids(field(text, "\nGid:"), status->gid);
    int rc = parse_groups(field(text, "\nGroups:"), status);
    if (text != buffer)
        free(text);
    return rc;
}

struct identity *identity_new(void) {
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity)
        identity->known = read_status("/proc/thread-self/status", &identity->status) == 0;
    return identity;
}

void identity_free(struct identity *identity) {
    if (identity)
        free(identity->status.groups);
    free(identity);
}

bool identity_cred(const struct session *session, struct cred *cred) {
    const struct identity *identity = session->identity;
    if (!identity || !identity->known)
        return false;
    const struct status *own = &identity->status;
    *cred = (struct cred){
        .own = true,
        .fsuid = own->uid[3],
        .fsgid = own->gid[3],
        .caps = own->effective,
        .umask = own->umask,
        .ngroups = own->ngroups,
        .groups = own->groups,
    };
    return true;
}

bool identity_privileged(const struct session *session) {
    const struct identity *identity = session->identity;
    if (!identity || !identity->known || identity->status.permitted)
        return true;
    const struct status *own = &identity->status;
    for (int i = 1; i < 4; i++)
        if (own->uid[i] != own->uid[0] || own->gid[i] != own->gid[0])
            return true;
    return false;
}

bool identity_traces_all(const struct session *session) {
    const struct identity *identity = session->identity;
    return identity && identity->known && identity->status.effective & (1ull << CAP_SYS_PTRACE);
}

static bool is_own(const struct session *session, const struct status *status) {
    if (!session->identity || !session->identity->known)
        return false;
    const struct status *own = &session->identity->status;
    return status->uid[3] == own->uid[3] && status->gid[3] == own->gid[3] && status->effective == own->effective &&
           status->ngroups == own->ngroups &&
           (own->ngroups == 0 || memcmp(status->groups, own->groups, own->ngroups * sizeof *own->groups) == 0);
}

bool task_same_ids(const struct task *task, pid_t pid) {
    struct status status;
    char path[PROC_LINK];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (read_status(path, &status) < 0)
        return false;
    free(status.groups);
    bool same = true;
    for (int i = 0; i < 3; i++)   /* that of the file system does not count */
        same = same && status.uid[i] == task->uid && status.gid[i] == task->gid;
    return same;
}

static int load(struct call *call) {
    struct task *task = call->task;
    struct session *session = call->session;
    struct status status;
    char path[PROC_LINK];
    bool pending = __atomic_load_n(&session->umask_pending, __ATOMIC_SEQ_CST) != 0;
    uint64_t generation = __atomic_load_n(&session->umask_generation, __ATOMIC_SEQ_CST);
    snprintf(path, sizeof path, "/proc/%d/status", task->tid);
    int rc = read_status(path, &status);
    if (rc < 0)
        return rc;
    free(task->groups);
    task->groups = status.groups;
    task->tgid = status.tgid;
    task->uid = status.uid[0];
    task->gid = status.gid[0];
    task->permitted = status.permitted;
    task->cred = (struct cred){
        .own = is_own(session, &status),
        .fsuid = status.uid[3],
        .fsgid = status.gid[3],
        .caps = status.effective,
        .umask = status.umask,
        .ngroups = status.ngroups,
        .groups = status.groups,
    };
    task->cred_known = true;
    task->umask_generation = pending ? 0 : generation;
    return 0;
}

const struct cred *task_cred(struct call *call) {
    if (!call->task->cred_known && load(call) < 0) {
        refuse(call, EPERM, "the credentials of the task cannot be read");
        return NULL;
    }
    return &call->task->cred;
}

const struct cred *task_cred_umask(struct call *call) {
    if (call->task->umask_generation != __atomic_load_n(&call->session->umask_generation, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&call->session->umask_pending, __ATOMIC_SEQ_CST) != 0)
        call->task->cred_known = false;
    return task_cred(call);
}

/* access(2) asks for the real ids; without root's the capabilities do not count, with it the permitted ones do.
 * fs/open.c, access_override_creds() */
const struct cred *task_real_cred(struct call *call, struct cred *out) {
    const struct task *task = call->task;
    *out = task->cred;
    uint64_t caps = task->uid == 0 ? task->permitted : 0;
    if (task->uid == task->cred.fsuid && task->gid == task->cred.fsgid && caps == task->cred.caps)
        return out;
    out->own = false;
    out->fsuid = task->uid;
    out->fsgid = task->gid;
    out->caps = caps;
    return out;
}

int task_pidfd(struct task *task) {
    if (task->pidfd < 0)
        task->pidfd = family_pidfd(task->tid);
    return task->pidfd;
}

int task_descriptor(struct call *call, int fd) {
    if (!task_cred(call))
        return -EPERM;
    int pidfd = task_pidfd(call->task);
    if (pidfd < 0)
        return pidfd;
    int ours = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    return ours < 0 ? -errno : ours;
}

void task_init(struct task *task, struct session *session, pid_t tid) {
    memset(task, 0, sizeof *task);
    task->tid = tid;
    task->pidfd = -1;
    tasks_enter(session, task);
}

/* The child's process is not known yet, and its copy of the umask is asked for when first needed. */
void task_copy(struct task *child, const struct task *parent) {
    child->dumpable = parent->dumpable;
    child->cred_known = false;
    child->umask_generation = 0;
    child->cwd_generation = 0;
}

void task_exec(struct task *task) {
    dumpable_again(task);
    task->tgid = 0;
    task->cred_known = false;
    if (task->pidfd >= 0)
        close(task->pidfd);
    task->pidfd = -1;
}

void task_clear(struct task *task) {
    tasks_leave(task);
    free(task->groups);
    free(task->cwd);
    if (task->pidfd >= 0)
        close(task->pidfd);
    task->groups = NULL;
    task->cwd = NULL;
    task->pidfd = -1;
}

void do_umask(struct call *call) {
    call->task->cred_known = false;
    watch(call, &call->session->umask_generation, &call->session->umask_pending);
}

bool task_filtered(const struct call *call) {
    return __atomic_load_n(&call->session->filtered, __ATOMIC_SEQ_CST) && family_filtered(call->task->tid);
}

/* The set*id calls and capset: the thread's next call asks anew. */
void do_set_credentials(struct call *call) {
    call->task->cred_known = false;
}
