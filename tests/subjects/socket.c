/* socket.c - subject: AF_UNIX sockets with names in the tree.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HEAD offsetof(struct sockaddr_un, sun_path)

static socklen_t address(struct sockaddr_un *un, const char *path) {
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    size_t n = strlen(path);
    if (n > sizeof un->sun_path)
        n = sizeof un->sun_path;
    memcpy(un->sun_path, path, n);
    return (socklen_t)(HEAD + n + (n < sizeof un->sun_path));
}

static void show_name(const char *what, long result, const struct sockaddr_un *un, socklen_t size) {
    if (result < 0)
        (void)say(what, result);
    else if (size <= HEAD)
        say_text(what, "unnamed");
    else if (!un->sun_path[0])
        say_text(what, text("@%.*s", (int)(size - HEAD - 1), un->sun_path + 1));
    else
        say_text(what, text("%.*s (%u)", (int)(size - HEAD), un->sun_path, size - (unsigned)HEAD));
}

static void names(const char *what, int fd) {
    struct sockaddr_un un;
    socklen_t size = sizeof un;
    memset(&un, '#', sizeof un);
    show_name(text("%s sockname", what), SYS(getsockname, fd, &un, &size), &un, size);
    size = sizeof un;
    memset(&un, '#', sizeof un);
    show_name(text("%s peername", what), SYS(getpeername, fd, &un, &size), &un, size);
    size = HEAD + 3;
    memset(&un, '#', sizeof un);
    long result = SYS(getsockname, fd, &un, &size);
    if (result == 0)
        say_text(text("%s sockname cut", what),
                 text("size %d text %.3s after %c", size > HEAD, un.sun_path, un.sun_path[3]));
}

static void stream(const char *path) {
    struct sockaddr_un un;
    int server = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)say(text("bind %s", path), SYS(bind, server, &un, address(&un, path)));
    show(text("bound %s", path), path);
    (void)say(text("bind twice %s", path), SYS(bind, server, &un, address(&un, "another")));
    int second = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)say(text("bind taken %s", path), SYS(bind, second, &un, address(&un, path)));
    (void)say(text("connect before listen %s", path), SYS(connect, second, &un, address(&un, path)));
    (void)say(text("listen %s", path), SYS(listen, server, 5));
    int client = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)say(text("connect %s", path), SYS(connect, client, &un, address(&un, path)));
    socklen_t size = sizeof un;
    int accepted = (int)SYS(accept4, server, &un, &size, SOCK_CLOEXEC);
    show_name(text("accept %s", path), accepted, &un, size);
    names(text("server %s", path), server);
    names(text("client %s", path), client);
    names(text("accepted %s", path), accepted);
    (void)say(text("write %s", path), SYS(write, client, "hello", 5));
    char data[16] = {0};
    (void)say(text("read %s", path), SYS(read, accepted, data, sizeof data));
    (void)say(text("chmod %s", path), SYS(chmod, path, 0600));
    show(text("chmodded %s", path), path);
    (void)say(text("rename %s", path), SYS(rename, path, "moved-socket"));
    (void)say(text("connect moved %s", path), SYS(connect, second, &un, address(&un, "moved-socket")));
    (void)say(text("connect gone %s", path), SYS(connect, second, &un, address(&un, path)));
    (void)say(text("rename back %s", path), SYS(rename, "moved-socket", path));
    (void)say(text("unlink %s", path), SYS(unlink, path));
    int third = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)say(text("connect unlinked %s", path), SYS(connect, third, &un, address(&un, path)));
    (void)say(text("bind again %s", path), SYS(bind, third, &un, address(&un, path)));
    show(text("bound again %s", path), path);
    (void)say(text("unlink again %s", path), SYS(unlink, path));
    (void)SYS(close, server), (void)SYS(close, client), (void)SYS(close, accepted), (void)SYS(close, second),
        (void)SYS(close, third);
}

static void datagrams(const char *base) {
    struct sockaddr_un un, from;
    int a = (int)SYS(socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        b = (int)SYS(socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)say("bind a", SYS(bind, a, &un, address(&un, "dir/sub/a")));
    (void)say("bind b", SYS(bind, b, &un, address(&un, text("%s/dir/b-socket", base))));
    (void)say("sendto", SYS(sendto, a, "one", 3, 0, &un, address(&un, "dir/b-socket")));
    char data[16] = {0};
    socklen_t size = sizeof from;
    memset(&from, '#', sizeof from);
    long n = SYS(recvfrom, b, data, sizeof data, 0, &from, &size);
    show_name("recvfrom", n, &from, size);
    say_text("received", data);
    struct iovec part = {data, 3};
    struct msghdr message = {
        .msg_name = &un, .msg_namelen = address(&un, "dir/b-socket"), .msg_iov = &part, .msg_iovlen = 1};
    (void)say("sendmsg", SYS(sendmsg, a, &message, 0));
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    memset(&from, '#', sizeof from);
    n = SYS(recvmsg, b, &message, 0);
    show_name("recvmsg", n, &from, message.msg_namelen);
    struct sockaddr_un first, second;
    struct mmsghdr many[2] = {
        {{.msg_name = &first, .msg_namelen = address(&first, "dir/b-socket"), .msg_iov = &part, .msg_iovlen = 1}, 0},
        {{.msg_name = &second,
          .msg_namelen = address(&second, text("%s/dir/b-socket", base)),
          .msg_iov = &part,
          .msg_iovlen = 1},
         0},
    };
    (void)say("sendmmsg", SYS(sendmmsg, a, many, 2, 0));
    (void)say("receive first", SYS(recvfrom, b, data, sizeof data, MSG_DONTWAIT, NULL, NULL));
    (void)say("receive second", SYS(recvfrom, b, data, sizeof data, MSG_DONTWAIT, NULL, NULL));
    (void)say("sendto absent", SYS(sendto, a, "x", 1, 0, &un, address(&un, "dir/absent")));
    (void)say("sendto file", SYS(sendto, a, "x", 1, 0, &un, address(&un, "file")));
    (void)say("sendto stale", SYS(sendto, a, "x", 1, 0, &un, address(&un, "socket")));
    (void)say("connect dgram", SYS(connect, a, &un, address(&un, "dirlink/b-socket")));
    names("connected dgram", a);
    (void)say("send", SYS(sendto, a, "two", 3, 0, NULL, 0));
    (void)say("receive third", SYS(recvfrom, b, data, sizeof data, MSG_DONTWAIT, NULL, NULL));
    (void)SYS(unlink, "dir/sub/a"), (void)SYS(unlink, "dir/b-socket");
}

static void refused(const char *base) {
    static const char *const paths[] = {"file", "dir",   "absent/x", "noaccessdir/x", "dangling", "loop",
                                        "link", "file/", "dir/",     "fifo",          "socket",   "new/"};
    struct sockaddr_un un;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)say(text("bind \"%s\"", paths[i]), SYS(bind, fd, &un, address(&un, paths[i])));
        (void)say(text("connect \"%s\"", paths[i]), SYS(connect, fd, &un, address(&un, paths[i])));
        (void)SYS(close, fd);
    }
    int fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    names("not bound", fd);
    (void)say("bind bad fd", SYS(bind, 999, &un, address(&un, "x")));
    (void)say("bind NULL", SYS(bind, fd, NULL, 10));
    (void)say("bind long size", SYS(bind, fd, &un, 200));
    (void)say("bind short size", SYS(bind, fd, &un, 1));
    (void)say("bind on a file", SYS(bind, hold("file", O_RDONLY), &un, address(&un, "x")));
    (void)say("autobind", SYS(bind, fd, &un, sizeof un.sun_family));
    int abstract = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&un, 0, sizeof un);
    un.sun_family = AF_UNIX;
    int length = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "ptoverlay-test-%d", getpid()); /* nobody else's */
    (void)say("abstract", SYS(bind, abstract, &un, (socklen_t)(HEAD + 1 + (size_t)length)));
    show_list("nothing was made", base);
    /* as long as it goes: 107 and a NUL, 108 without one, by way of "./" */
    char path[120] = "";
    for (int n = 107; n <= 108; n++) {
        size_t length = 0;
        while (length + 2 <= (size_t)n - 4) {
            memcpy(path + length, "./", 3);
            length += 2;
        }
        while (length < (size_t)n)
            path[length++] = 'k';
        path[length] = 0;
        fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)say(text("bind %d", n), SYS(bind, fd, &un, address(&un, path)));
        (void)say(text("listen %d", n), SYS(listen, fd, 1));
        socklen_t size = sizeof un;
        show_name(text("name %d", n), SYS(getsockname, fd, &un, &size), &un, size);
        int client = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)say(text("connect %d", n), SYS(connect, client, &un, address(&un, path)));
        (void)say(text("unlink %d", n), SYS(unlink, path));
    }
    umask(077);
    fd = (int)SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)say("bind umask", SYS(bind, fd, &un, address(&un, "masked")));
    show("masked", "masked");
    (void)say("bind in setgid", SYS(bind, socket(AF_UNIX, SOCK_DGRAM, 0), &un, address(&un, "setgid/socket")));
    show("setgid/socket", "setgid/socket");
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    stream("new-socket");
    stream("dir/new-socket");
    stream(keep(text("%s/emptydir/s", base)));
    datagrams(base);
    refused(base);
    return 0;
}
