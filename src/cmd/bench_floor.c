/* bench_floor: `kitten bench floor`, the least that an HTTP server can do, as this machine's limit.
 *
 * One level-triggered epoll loop without fibers, parser or checks: whatever ends with an empty line
 * is answered by the same canned bytes, sent in one call. It measures sockets and the kernel, and
 * nothing else; figures of the real server are given as a share of it. This is the one place
 * besides src/rt that calls the OS (listed in tools/tidy-exceptions.txt): going through the runtime
 * would measure the runtime.
 *
 * Failure: a connection that errs is closed. Only GETs whose head fits FLOOR_HEAD_MAX are
 * understood. */
#include "base/buf.h"
#include "base/err.h"
#include "cmd/bench_data.h"
#include "cmd/table.h"
#include "rt/rt.h"
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOOR_HEAD_MAX 4096
#define FLOOR_EVENTS 256

struct floor_conn {
    int fd;
    size_t have;   /* bytes of the head so far */
    size_t unsent; /* bytes of the answer still to send */
    char head[FLOOR_HEAD_MAX];
};

struct floor_server {
    int epoll, listener;
    struct buf answer; /* head and body */
};

static void conn_end(struct floor_conn *c)
{
    close(c->fd);
    mem_free(c);
}

/* Sends what is left; false when the connection is gone. */
static bool send_rest(const struct floor_server *s, struct floor_conn *c)
{
    ssize_t n = send(c->fd, s->answer.p + (s->answer.len - c->unsent), c->unsent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    c->unsent -= (size_t)n;
    return true;
}

static bool watch(const struct floor_server *s, struct floor_conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};
    return epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0;
}

static bool on_input(const struct floor_server *s, struct floor_conn *c)
{
    ssize_t n = recv(c->fd, c->head + c->have, sizeof(c->head) - c->have, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->have += (size_t)n;
    if (c->have < 4 || memcmp(c->head + c->have - 4, "\r\n\r\n", 4) != 0)
        return c->have < sizeof(c->head);
    c->have = 0;
    c->unsent = s->answer.len;
    if (!send_rest(s, c))
        return false;
    return c->unsent == 0 || watch(s, c, EPOLLOUT);
}

static bool on_event(const struct floor_server *s, struct floor_conn *c)
{
    if (c->unsent == 0)
        return on_input(s, c);
    if (!send_rest(s, c))
        return false;
    return c->unsent > 0 || watch(s, c, EPOLLIN);
}

static void on_accept(const struct floor_server *s)
{
    int one = 1;
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct floor_conn *c = mem_zalloc(sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    c->fd = fd;
    bool ok = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
              epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
    if (!ok)
        conn_end(c);
}

static int serve(const struct floor_server *s)
{
    struct epoll_event events[FLOOR_EVENTS];
    for (;;) {
        int n = epoll_wait(s->epoll, events, FLOOR_EVENTS, -1);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "epoll_wait");
        for (int i = 0; i < n; i++) {
            struct floor_conn *c = events[i].data.ptr;
            if (!c)
                on_accept(s);
            else if (!on_event(s, c))
                conn_end(c);
        }
    }
}

static int open_listener(struct floor_server *s, const struct rt_addr *addr)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    struct epoll_event ev = {.events = EPOLLIN};
    socklen_t len = sizeof(sa);
    int one = 1, zero = 0;
    memcpy(&sa.sin6_addr, addr->ip, sizeof(addr->ip));
    s->listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->listener < 0 || s->epoll < 0)
        return err_sys(errno, "open a socket");
    bool ok = setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
              setsockopt(s->listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) == 0 &&
              bind(s->listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
              listen(s->listener, 1024) == 0 &&
              epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &ev) == 0 &&
              getsockname(s->listener, (struct sockaddr *)&sa, &len) == 0;
    if (!ok)
        return errno == EADDRINUSE ? err_set(KT_ERR_CONFLICT, "port %u is taken", addr->port)
                                   : err_sys(errno, "listen on port %u", addr->port);
    printf("listening on port %u\n", ntohs(sa.sin6_port));
    fflush(stdout);
    return 0;
}

static int make_answer(struct floor_server *s, uint64_t size)
{
    s->answer = BUF_INIT(size + KIB(1));
    uint8_t label[DATA_LABEL_LEN];
    struct iovec iov[DATA_PIECES_MAX];
    data_pattern_make();
    int n = data_pieces(1, 0, (uint32_t)size, label, iov);
    int rc = buf_addf(
        &s->answer,
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %" PRIu64
        "\r\n\r\n",
        size);
    for (int i = 0; i < n && rc == 0; i++)
        rc = buf_add(&s->answer, iov[i].iov_base, iov[i].iov_len);
    return rc;
}

static int floor_run(const struct cmd_args *args)
{
    struct floor_server s = {.epoll = -1, .listener = -1};
    struct rt_addr addr;
    uint64_t size = cmd_count(args, "size");
    int rc = rt_addr_parse(slice_str(cmd_text(args, "listen")), &addr);
    if (rc < 0)
        return rc;
    if (size > DATA_SIZE_MAX)
        return err_set(KT_ERR_INVALID, "--size is at most 32MiB");
    rc = make_answer(&s, size);
    if (rc == 0)
        rc = open_listener(&s, &addr);
    if (rc == 0)
        rc = serve(&s);
    buf_done(&s.answer);
    return rc;
}

static const struct cmd_option options[] = {
    {"listen", CMD_TEXT, "ADDRESS:PORT", "127.0.0.1:0",
     "address to serve; port 0 chooses a free one"},
    {"size", CMD_SIZE, "SIZE", "1KiB", "length of the canned answer"},
    {0},
};

static const struct cmd_example examples[] = {
    {"kitten bench floor --listen 127.0.0.1:9100 --size 1KiB", "Serve 1 KiB answers until killed"},
    {0},
};

const struct command cmd_bench_floor = {
    .name = "bench floor",
    .operands = "",
    .summary = "serve canned bytes from a raw loop, as this machine's limit",
    .text = "Answers every GET with the same bytes on one thread. Load it with 'kitten bench get "
            "--target raw "
            "--prefix /' to see what the sockets of this machine allow at most.",
    .options = options,
    .examples = examples,
    .run = floor_run,
};
