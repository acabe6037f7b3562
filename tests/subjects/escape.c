/* escape.c - subject: ways out of a root.  Usage: escape FILE SOCKET PID DIRFD: an absolute path outside of the root, a
 * socket that listens there, a process whose root and current directory are there, a descriptor of the file's directory
 * (-1: none).  Says of each way 1 (it leads to the file) or 0.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[2 * PATH_MAX];

static const char *text(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(buffer, sizeof buffer, format, args);
    va_end(args);
    return buffer;
}

static int holds_secret(int fd) {
    char found[7] = "";
    int yes = fd >= 0 && read(fd, found, 6) == 6 && strcmp(found, "secret") == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static void say(const char *name, int reached) {
    printf("%s %d\n", name, reached);
    fflush(stdout);
}

static void by_path(const char *name, const char *path) {
    struct stat st;
    say(name, holds_secret(open(path, O_RDONLY)) || (stat(path, &st) == 0 && st.st_size == 7));
}

static void by_link(const char *name, const char *target) {
    (void)unlink("/escape-link");
    if (symlink(target, "/escape-link") == 0)
        by_path(name, "/escape-link");
    (void)unlink("/escape-link");
}

static void by_socket(const char *name, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) < sizeof address.sun_path)
        strcpy(address.sun_path, path);
    say(name, connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    close(fd);
}

/* A script and a program that name an interpreter outside. */
static void by_interpreter(const char *name, const char *file) {
    char line[PATH_MAX + 8];
    int length = snprintf(line, sizeof line, "#!%s\n", file), fd = open("/escape-script", O_WRONLY | O_CREAT, 0755);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        exit(99);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"escape-script", NULL};
        execv("/escape-script", argv);
        _exit(7);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    say(name, WEXITSTATUS(status) != 7);
    (void)unlink("/escape-script");
}

static void climb(const char *name, const char *file, int dir) {
    pid_t pid = fork();
    if (pid == 0) {
        if (dir >= 0 ? fchdir(dir) : chdir("/"))
            _exit(0);
        for (int i = 0; i < 64; i++)
            (void)!chdir("..");
        _exit(holds_secret(open(file + 1, O_RDONLY)));
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    say(name, WEXITSTATUS(status));
}

static void by_descriptor(const char *file, int dir) {
    const char *last = strrchr(file, '/') + 1;
    say("openat", holds_secret(openat(dir, last, O_RDONLY)));
    say("openat ..", holds_secret(openat(dir, text("../%s", strrchr(file, '/')), O_RDONLY)));
    by_path("/proc/self/fd", text("/proc/self/fd/%d/%s", dir, last));
    by_path("/dev/fd", text("/dev/fd/%d/%s", dir, last));
    climb("fchdir", file, dir);
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    const char *file = argv[1], *socket_path = argv[2], *pid = argv[3];
    int dir = atoi(argv[4]);
    by_path("absolute", file);
    by_path("dotdot", text("/../../../../../../..%s", file));
    by_path("root/dotdot", text("/bin/../../../../../..%s", file));
    by_link("absolute link", file);
    by_link("link with dotdot", text("../../../../../../..%s", file));
    by_path("/proc/self/root", text("/proc/self/root%s", file));
    by_path("/proc/self/root/..", text("/proc/self/root/..%s", file));
    by_path("/proc/1/root", text("/proc/1/root%s", file));
    by_path("/proc/PID/root", text("/proc/%s/root%s", pid, file));
    by_path("/proc/PID/cwd", text("/proc/%s/cwd%s", pid, strrchr(file, '/')));
    by_link("link to /proc/PID/cwd", text("/proc/%s/cwd%s", pid, strrchr(file, '/')));
    by_path("/proc/self/cwd/..", text("/proc/self/cwd/../../../../../..%s", file));
    by_path("/proc/self/exe", text("/proc/self/exe/../../../../..%s", file));
    climb("chdir ..", file, -1);
    by_socket("socket", socket_path);
    by_socket("socket by dotdot", text("/../../../..%s", socket_path));
    by_interpreter("interpreter", argc > 5 ? argv[5] : file);
    if (dir >= 0)
        by_descriptor(file, dir);
    return 0;
}
