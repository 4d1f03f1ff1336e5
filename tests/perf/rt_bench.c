/* rt_bench: what the runtime's parts cost, and a keep-alive server on fibers against a hand-written
 * epoll loop.
 *
 *     rt_bench [seconds per measurement, default 1]
 *
 * Echo: one client thread drives 64 connections with a request of 100 bytes each, answered with 1
 * KiB; the figure is the server thread's CPU time per request. The two servers take turns, five
 * times; medians are printed. Measured by hand: nothing here fails a build.
 */
#include "rt/rt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNS = 64, REQUEST = 100, ANSWER = 1024, TURNS = 5 };
static double seconds = 1;

static int64_t clock_ns(clockid_t which)
{
    struct timespec ts;
    clock_gettime(which, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "rt_bench: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* ---- switch, spawn, offload ---- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int yield_many(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++)
        rt_yield();
    return 0;
}

static int parts(void *arg)
{
    (void)arg;
    int n = 2000000;
    struct rt_group g;
    int64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    rt_group_open(&g);
    must(rt_go(&g, yield_many, &n) == 0 && rt_go(&g, yield_many, &n) == 0, "spawn");
    must(rt_group_wait(&g, 0) == 0, "join");
    printf("yield (two switches and the ready list)  %7.1f ns\n",
           (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from) / (2.0 * n));

    n = 1000000;
    from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < n; i += 20) {
        rt_group_open(&g);
        for (int k = 0; k < 20; k++)
            must(rt_go(&g, nothing, NULL) == 0, "spawn");
        must(rt_group_wait(&g, 0) == 0, "join");
    }
    printf("spawn, run, join                         %7.1f ns\n",
           (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from) / n);

    n = 50000;
    from = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < n; i++)
        must(rt_offload(nothing, NULL) == 0, "offload");
    printf("offload and back, one at a time          %7.1f ns\n",
           (double)(clock_ns(CLOCK_MONOTONIC) - from) / n);
    return 0;
}

/* ---- the client ---- */

static struct {
    uint16_t port;
    _Atomic bool stop;
    uint64_t requests;
} client;

static int client_connect(void)
{
    int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(client.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(s >= 0 && connect(s, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    must(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0, "nodelay");
    return s;
}

static void *client_main(void *arg)
{
    static char out[REQUEST], in[ANSWER];
    int sock[CONNS];
    for (int i = 0; i < CONNS; i++)
        sock[i] = client_connect();
    client.requests = 0;
    while (!client.stop) {
        for (int i = 0; i < CONNS; i++)
            must(send(sock[i], out, sizeof(out), MSG_NOSIGNAL) == sizeof(out), "send");
        for (int i = 0; i < CONNS; i++)
            must(recv(sock[i], in, sizeof(in), MSG_WAITALL) == sizeof(in), "recv");
        client.requests += CONNS;
    }
    for (int i = 0; i < CONNS; i++)
        close(sock[i]);
    return arg;
}

static char answer[ANSWER];

/* ---- the server on fibers ---- */

struct conn {
    struct rt_sock sock;
};

static void conn_ready(struct rt_sock *s);

static int conn_serve(void *arg)
{
    struct conn *c = arg;
    char buf[4096];
    ssize_t n = rt_recv_now(&c->sock, buf, sizeof(buf));
    struct iovec v = {answer, sizeof(answer)};
    if (n > 0 && rt_sendv(&c->sock, &v, 1, rt_after_ms(1000)) == 0 &&
        rt_park(&c->sock, conn_ready) == 0)
        return 0;
    rt_close(&c->sock);
    free(c);
    return 0;
}

static void conn_ready(struct rt_sock *s)
{
    must(rt_go_root(conn_serve, KT_CONTAINER_OF(s, struct conn, sock)) == 0, "spawn");
}

static int server_accept(void *arg)
{
    for (;;) {
        struct conn *c = malloc(sizeof(*c));
        must(c != NULL, "malloc");
        if (rt_accept(arg, &c->sock, NULL, RT_NEVER) < 0) {
            free(c);
            return 0;
        }
        must(rt_park(&c->sock, conn_ready) == 0, "park");
    }
}

static int fiber_server(void *arg)
{
    struct rt_sock listener;
    struct rt_addr a;
    pthread_t t;
    must(rt_addr_parse(slice_str("127.0.0.1:0"), &a) == 0 && rt_listen(&a, &listener) == 0 &&
             rt_sock_local(&listener, &a) == 0,
         "listen");
    client.port = a.port;
    client.stop = false;
    struct rt_group g;
    rt_group_open(&g);
    must(rt_go(&g, server_accept, &listener) == 0, "spawn");
    must(pthread_create(&t, NULL, client_main, NULL) == 0, "thread");
    int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    must(rt_sleep_until(rt_after_ms((int64_t)(seconds * 1000))) == 0, "sleep");
    cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    *(double *)arg = (double)cpu / (double)client.requests;
    client.stop = true;
    must(rt_sleep_until(rt_after_ms(50)) == 0, "sleep");
    pthread_join(t, NULL);
    rt_close(&listener);
    (void)rt_group_wait(&g, 0);
    return 0;
}

/* ---- the server by hand ---- */

static double hand_server(void)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
        ep = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    int one = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(listener >= 0 && ep >= 0 &&
             setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
             bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 128) == 0 &&
             getsockname(listener, (struct sockaddr *)&a, &len) == 0,
         "listen");
    client.port = ntohs(a.sin_port);
    client.stop = false;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ev[256];
    must(epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) == 0, "epoll_ctl");
    pthread_t t;
    must(pthread_create(&t, NULL, client_main, NULL) == 0, "thread");
    int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID),
            end = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    double result = 0;
    for (int open_conns = 1; open_conns > 0 || result == 0;) {
        int n = epoll_wait(ep, ev, 256, 100);
        if (result == 0 && clock_ns(CLOCK_MONOTONIC) >= end) {
            result = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)client.requests;
            client.stop = true;
            open_conns = CONNS;
        }
        for (int i = 0; i < n; i++) {
            int s = ev[i].data.fd;
            char buf[4096];
            if (s == listener) {
                int c = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                e = (struct epoll_event){.events = EPOLLIN, .data.fd = c};
                must(c < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) == 0, "epoll_ctl");
            } else if (recv(s, buf, sizeof(buf), 0) > 0) {
                must(send(s, answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer), "send");
            } else {
                close(s);
                open_conns--;
            }
        }
    }
    pthread_join(t, NULL);
    close(listener);
    close(ep);
    return result;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    struct rt_options o = {.loops = 1, .workers = 2};
    double fibers[TURNS], hand[TURNS];
    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    must(seconds > 0, "usage: rt_bench [seconds]");
    must(rt_run(&o, parts, NULL) == 0, "run");
    for (int i = 0; i < TURNS; i++) {
        must(rt_run(&o, fiber_server, &fibers[i]) == 0, "run");
        hand[i] = hand_server();
    }
    qsort(fibers, TURNS, sizeof(*fibers), by_value);
    qsort(hand, TURNS, sizeof(*hand), by_value);
    printf(
        "echo, CPU a request: fibers %.0f ns, by hand %.0f ns: %.2fx the requests a CPU second\n",
        fibers[TURNS / 2], hand[TURNS / 2], hand[TURNS / 2] / fibers[TURNS / 2]);
    return 0;
}
