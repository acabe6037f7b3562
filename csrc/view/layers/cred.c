/* cred.c - who asks, and who we are ourselves: credentials(7), capabilities(7).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"

bool cred_capable(const struct cred *cred, int cap) {
    return !cred->ids && cred->caps & (1ull << cap);
}

bool cred_in_group(const struct cred *cred, gid_t gid) {
    if (cred->fsgid == gid)
        return true;
    for (size_t i = 0; i < cred->ngroups; i++)
        if (cred->groups[i] == gid)
            return true;
    return false;
}

bool cred_may_give_group(const struct cred *cred, gid_t gid) {
    return cred_in_group(cred, gid) || cred_capable(cred, CAP_CHOWN);
}

/* ---- our own ---- */

static uint64_t own_caps(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return 0;
    return data[0].effective | (uint64_t)data[1].effective << 32;
}

static mode_t own_umask(void) {
    FILE *status = fopen("/proc/self/status", "re");
    unsigned mask = 022;
    char line[256];
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "Umask: %o", &mask) == 1)
            break;
    if (status)
        fclose(status);
    return (mode_t)mask;
}

/* fs.NAME, which is one digit. */
static int own_sysctl(const char *name) {
    char path[64], value = '0';
    snprintf(path, sizeof path, "/proc/sys/fs/%s", name);
    CLOSE_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &value, 1) == 1 ? value - '0' : 0;
}

int cred_learn(pto_view *view) {
    int n = getgroups(0, NULL);
    gid_t *groups = calloc((size_t)(n > 0 ? n : 1), sizeof *groups);
    if (!groups)
        return -ENOMEM;
    n = getgroups(n, groups);
    view->umask = own_umask();
    view->protected_hardlinks = own_sysctl("protected_hardlinks");
    view->protected_symlinks = own_sysctl("protected_symlinks");
    view->protected_regular = own_sysctl("protected_regular");
    view->protected_fifos = own_sysctl("protected_fifos");
    view->own =
        (struct cred){.own = true, .fsuid = geteuid(), .fsgid = getegid(), .caps = own_caps(), .umask = view->umask};
    view->own.groups = groups;
    view->own.ngroups = n > 0 ? (size_t)n : 0;
    return 0;
}
