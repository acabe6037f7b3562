/* stage.c - a private mount namespace with one mount in it, for a command: `stage OPTIONS MOUNT -- CMD…`.
 *
 *   --user-namespace     make one first (the way for an ordinary user); uid and gid stay the same inside
 *   --drop UID:GID       after mounting: this user, no groups, no capabilities at all
 *   --bind DIR           mount DIR on MOUNT
 *   --overlay OPTIONS    mount the kernel's overlayfs with these options on MOUNT
 *   --chdir DIR          where the command starts
 *
 * Rules: nothing is left on the host, whatever happens: the mount goes away with the last process in it.
 * Exit status 120 and one line when something here fails, else the command's own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noreturn)) static void fail(const char *what) {
    fprintf(stderr, "stage: %s: %s\n", what, strerror(errno));
    exit(120);
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail(path);
    (void)close(fd);
}

static void map_ids(uid_t uid, gid_t gid) {
    char line[64];
    write_file("/proc/self/setgroups", "deny");
    (void)snprintf(line, sizeof line, "%u %u 1\n", uid, uid);
    write_file("/proc/self/uid_map", line);
    (void)snprintf(line, sizeof line, "%u %u 1\n", gid, gid);
    write_file("/proc/self/gid_map", line);
}

static void no_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (syscall(SYS_capset, &header, data) != 0)
        fail("capset");
}

static void drop(const char *ids) {
    unsigned uid, gid;
    if (sscanf(ids, "%u:%u", &uid, &gid) != 2)
        fail("--drop");
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        fail("set ids");
    no_capabilities();
}

int main(int argc, char **argv) {
    const char *source = NULL, *options = NULL, *ids = NULL, *start = NULL;
    int user_namespace = 0, i = 1;
    for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i++) {
        if (!strcmp(argv[i], "--user-namespace"))
            user_namespace = 1;
        else if (!strcmp(argv[i], "--bind"))
            source = argv[++i];
        else if (!strcmp(argv[i], "--overlay"))
            options = argv[++i];
        else if (!strcmp(argv[i], "--drop"))
            ids = argv[++i];
        else if (!strcmp(argv[i], "--chdir"))
            start = argv[++i];
    }
    if (i + 2 >= argc || strcmp(argv[i + 1], "--") != 0) {
        errno = EINVAL;
        fail("usage");
    }
    const char *mount_point = argv[i];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWNS | (user_namespace ? CLONE_NEWUSER : 0)) != 0)
        fail("unshare");
    if (user_namespace)
        map_ids(uid, gid);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        fail("make private");
    if (source && mount(source, mount_point, NULL, MS_BIND, NULL) != 0)
        fail("bind");
    if (options && mount("overlay", mount_point, "overlay", 0, options) != 0)
        fail("overlay");
    if (ids)
        drop(ids);
    else if (user_namespace)
        no_capabilities();
    if (chdir(start ? start : "/") != 0)
        fail("chdir");
    execvp(argv[i + 2], argv + i + 2);
    fail(argv[i + 2]);
}
