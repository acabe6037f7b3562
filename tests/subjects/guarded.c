/* guarded.c - subject: programs that guard themselves: a filter that kills, memory that is closed to others, chroot.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static void work(const char *who) {
    show(text("%s stat", who), "file");
    show_content(text("%s read", who), "dir/a");
    (void)say(text("%s write", who), put(text("by-%s", who), "made"));
    (void)say(text("%s change", who), put("dir/b", who) > 0);
    (void)say(text("%s mkdir", who), SYS(mkdir, text("dir-%s", who), 0755));
    (void)say(text("%s rename", who), SYS(rename, text("dir-%s", who), text("dir2-%s", who)));
    (void)say(text("%s unlink", who), SYS(unlink, text("full/entry-%s", who)));
    show_list(text("%s list", who), "dir");
}

/* Only the calls that work() makes are allowed, any other kills the process. */
static void filtered(void) {
    static const int allowed[] = {
        __NR_newfstatat, __NR_openat,     __NR_read,   __NR_write, __NR_close,  __NR_getdents64,
        __NR_lseek,      __NR_exit_group, __NR_brk,    __NR_mmap,  __NR_munmap,
#ifdef __NR_mkdir
        __NR_mkdir,      __NR_rename,     __NR_unlink,
#else
        __NR_mkdirat,    __NR_renameat2,  __NR_unlinkat,
#endif
    };
    struct sock_filter filter[2 * (sizeof allowed / sizeof *allowed) + 2];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {(unsigned short)n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        give_up("filter");
    work("filtered");
}

static void closed(void) {
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        give_up("dumpable");
    work("closed");
}

static void own_root(const char *base) {
    long result = SYS(chroot, base);
    if (result < 0) {
        say_text("chroot", "refused");
        return;
    }
    show("chroot file", "/file");
    show("chroot dotdot", "/../../dir/a");
    (void)say("chroot write", put("/dir/b", "inside") > 0);
}

static void in_child(const char *who, void (*run)(void)) {
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run();
        (void)fflush(stdout);
        _exit(0);
    }
    int status;
    (void)waitpid(pid, &status, 0);
    say_status(who, status);
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    in_child("filtered", filtered);
    in_child("closed", closed);
    if (argc > 2)
        own_root(base);
    show_list("top", ".");
    return 0;
}
