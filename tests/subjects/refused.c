/* refused.c - subject: calls that ptoverlay has to refuse so that programs fall back, and ways round it.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>

static void clones(void) {
    (void)say("unshare mount", SYS(unshare, CLONE_NEWNS));
    (void)say("unshare user", SYS(unshare, CLONE_NEWUSER));
    (void)say("unshare both", SYS(unshare, CLONE_NEWNS | CLONE_NEWUSER | CLONE_FS));
    (void)say("setns", SYS(setns, hold("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS));
    (void)say("setns any", SYS(setns, hold("/proc/self/ns/mnt", O_RDONLY), 0));
    long pid = SYS(clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    (void)say("clone mount", pid);
    pid = SYS(clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    (void)say("clone user", pid);
}

static void mounts(const char *base) {
    (void)say("mount", SYS(mount, "none", base, "tmpfs", 0, NULL));
    (void)say("mount bind", SYS(mount, "/etc", base, NULL, MS_BIND, NULL));
    (void)say("umount2", SYS(umount2, base, 0));
    (void)say("pivot_root", SYS(pivot_root, base, base));
    (void)say("open_tree", SYS(open_tree, AT_FDCWD, base, 1));
    (void)say("move_mount", SYS(move_mount, AT_FDCWD, base, AT_FDCWD, base, 0));
    (void)say("fsopen", SYS(fsopen, "tmpfs", 0));
    (void)say("fsmount", SYS(fsmount, 999, 0, 0));
    (void)say("mount_setattr", SYS(mount_setattr, AT_FDCWD, base, 0, NULL, 0));
}

static void unseen(void) {
    char params[256] = {0};
    (void)say("io_uring_setup", SYS(io_uring_setup, 8, params));
    (void)say("io_uring_enter", SYS(io_uring_enter, 999, 1, 0, 0, NULL, 0));
    (void)say("io_uring_register", SYS(io_uring_register, 999, 0, NULL, 0));
    char handle[128] = {0};
    int mount_id;
    *(unsigned *)handle = 100;
    (void)say("name_to_handle_at", SYS(name_to_handle_at, AT_FDCWD, "file", handle, &mount_id, 0));
    (void)say("open_by_handle_at", SYS(open_by_handle_at, AT_FDCWD, handle, O_RDWR));
    (void)say("call 600", raw(syscall(600, "file", 0, 0)));
    (void)say("call 1000", raw(syscall(1000, "file", 0, 0)));
    (void)say("x32 open", raw(syscall(0x40000000 | __NR_open, "x32-made", O_WRONLY | O_CREAT, 0644)));
    (void)say("x32 mkdir", raw(syscall(0x40000000 | __NR_mkdir, "x32-dir", 0755)));
}

#ifdef __x86_64__
/* open, mkdir and chmod by the numbers of i386, through the 32-bit gate. */
static long gate(long nr, unsigned a, unsigned b, unsigned c) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}
#endif

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    if (argc > 2) {
#ifdef __x86_64__
        /* a static program without PIE has its texts below 4 GiB */
        static char made[] = "int80-made", dir[] = "int80-dir", file[] = "file";
        (void)say("int80 open", gate(5, (unsigned)(uintptr_t)made, O_WRONLY | O_CREAT, 0644));
        (void)say("int80 mkdir", gate(39, (unsigned)(uintptr_t)dir, 0755, 0));
        (void)say("int80 chmod", gate(15, (unsigned)(uintptr_t)file, 0600, 0));
        (void)say("int80 unlink", gate(10, (unsigned)(uintptr_t)file, 0, 0));
#endif
        return 0;
    }
    unseen();
    mounts(base);
    clones();
    show_list("nothing was made", base);
    show("file", "file");
    return 0;
}
