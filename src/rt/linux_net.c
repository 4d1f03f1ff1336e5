/* linux_net: TCP sockets, non-blocking, close-on-exec, without Nagle's delay (accepted sockets
 * inherit it). An IPv6 socket carries IPv6 only, so that 0.0.0.0 and [::] can be listened on side
 * by side.
 */
#include "rt/linux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union any_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static socklen_t to_kernel(const struct rt_addr *a, union any_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(a->port);
        memcpy(&ret->v4.sin_addr, a->ip + 12, 4);
        return sizeof(ret->v4);
    }
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(a->port);
    memcpy(&ret->v6.sin6_addr, a->ip, 16);
    return sizeof(ret->v6);
}

static void from_kernel(const union any_addr *k, struct rt_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (k->any.sa_family == AF_INET) {
        memcpy(ret->ip, v4_prefix, sizeof(v4_prefix));
        memcpy(ret->ip + 12, &k->v4.sin_addr, 4);
        ret->port = ntohs(k->v4.sin_port);
    } else if (k->any.sa_family == AF_INET6) {
        memcpy(ret->ip, &k->v6.sin6_addr, 16);
        ret->port = ntohs(k->v6.sin6_port);
    }
}

static int make_socket(const union any_addr *k)
{
    int one = 1;
    int sock = socket(k->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    if (setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        (k->any.sa_family == AF_INET6 &&
         setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)) {
        int rc = -errno;
        close(sock);
        return rc;
    }
    return sock;
}

int linux_listen(void *self, const struct rt_addr *addr, int backlog, bool reuse_port)
{
    (void)self;
    union any_addr k = {0};
    socklen_t len = to_kernel(addr, &k);
    int one = 1, sock = make_socket(&k);
    if (sock < 0)
        return sock;
    if (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        (reuse_port && setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0) ||
        bind(sock, &k.any, len) < 0 || listen(sock, backlog) < 0) {
        int rc = -errno;
        close(sock);
        return rc;
    }
    return sock;
}

int linux_local(void *self, int sock, struct rt_addr *ret)
{
    (void)self;
    union any_addr k = {0};
    socklen_t len = sizeof(k);
    if (getsockname(sock, &k.any, &len) < 0)
        return -errno;
    from_kernel(&k, ret);
    return 0;
}

int linux_accept(void *self, int sock, struct rt_addr *ret_peer)
{
    (void)self;
    union any_addr k = {0};
    socklen_t len = sizeof(k);
    memset(&k, 0, sizeof(k));
    int conn = accept4(sock, &k.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (conn < 0)
        return -errno;
    from_kernel(&k, ret_peer);
    return conn;
}

int linux_connect(void *self, const struct rt_addr *addr)
{
    (void)self;
    union any_addr k = {0};
    socklen_t len = to_kernel(addr, &k);
    int sock = make_socket(&k);
    if (sock < 0)
        return sock;
    if (connect(sock, &k.any, len) < 0 && errno != EINPROGRESS) {
        int rc = -errno;
        close(sock);
        return rc;
    }
    return sock;
}

int linux_connect_result(void *self, int sock)
{
    (void)self;
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

ssize_t linux_recv(void *self, int sock, void *p, size_t len)
{
    (void)self;
    ssize_t n = recv(sock, p, len, 0);
    return n < 0 ? -errno : n;
}

ssize_t linux_sendv(void *self, int sock, const struct iovec *iov, int n)
{
    (void)self;
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    ssize_t sent = n == 1 ? send(sock, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                          : sendmsg(sock, &m, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int linux_shutdown(void *self, int sock)
{
    (void)self;
    return shutdown(sock, SHUT_WR) < 0 ? -errno : 0;
}

int linux_sock_close(void *self, int sock)
{
    (void)self;
    return close(sock) < 0 ? -errno : 0;
}

int linux_resolve(void *self, const char *host, uint16_t port, struct rt_addr *ret)
{
    (void)self;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return rc == EAI_SYSTEM   ? -errno
               : rc == EAI_MEMORY ? -ENOMEM
               : rc == EAI_AGAIN  ? -ETIMEDOUT
                                  : -ENOENT;
    rc = -ENOENT;
    for (const struct addrinfo *a = list; a && rc < 0; a = a->ai_next) {
        union any_addr k = {0};
        if (a->ai_addrlen > sizeof(k))
            continue;
        memset(&k, 0, sizeof(k));
        memcpy(&k, a->ai_addr, a->ai_addrlen);
        from_kernel(&k, ret);
        rc = 0;
    }
    freeaddrinfo(list);
    return rc;
}
