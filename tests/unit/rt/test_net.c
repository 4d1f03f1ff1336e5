/* test_net: sockets on loopback: bytes both ways, parking, partial sends, timeouts, closing under a
 * waiter. */
#include "rt/backend.h"
#include "rt_test.h"

#include <fcntl.h>
#include <sys/resource.h>

static void listen_any(struct rt_sock *ret, struct rt_addr *ret_addr)
{
    struct rt_addr a;
    CHECK_EQ(rt_addr_parse(slice_str("127.0.0.1:0"), &a), 0);
    CHECK_EQ(rt_listen(&a, ret), 0);
    CHECK_EQ(rt_sock_local(ret, ret_addr), 0);
    CHECK(ret_addr->port != 0);
}

/* Two ends of one connection. */
static void make_pair(struct rt_sock *a, struct rt_sock *b)
{
    struct rt_sock listener;
    struct rt_addr addr, peer;
    listen_any(&listener, &addr);
    CHECK_EQ(rt_connect(&addr, a, rt_after_ms(5000)), 0);
    CHECK_EQ(rt_accept(&listener, b, &peer, rt_after_ms(5000)), 0);
    struct rt_addr local;
    CHECK_EQ(rt_sock_local(a, &local), 0);
    CHECK_EQ(local.port, peer.port);
    rt_close(&listener);
}

static void send_text(struct rt_sock *s, const char *text)
{
    struct iovec v = {(char *)(uintptr_t)text, strlen(text)};
    CHECK_EQ(rt_sendv(s, &v, 1, rt_after_ms(5000)), 0);
}

/* ---- addresses ---- */

static void addresses_round_trip(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:9000", "0.0.0.0:0", "[::1]:65535",
                                       "[fe80::1:2]:80"};
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      ":80",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[::1:80",
                                      "localhost:80",
                                      "1.2.3:80",
                                      "127.0.0.1:8x",
                                      "[]:80",
                                      "127.0.0.1:-1",
                                      "[127.0.0.1]:80",
                                      "1.2.3.4.5:80",
                                      "127.0.0.1:000080"};
    struct rt_addr a;
    char text[RT_ADDR_TEXT_MAX];
    for (size_t i = 0; i < KT_ARRAY_LEN(good); i++) {
        assert_int_equal(rt_addr_parse(slice_str(good[i]), &a), 0);
        rt_addr_format(&a, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_int_equal(rt_addr_parse(slice_str(bad[i]), &a), -KT_ERR_INVALID);
    assert_int_equal(rt_addr_parse(slice_of("127.0.0.1\0:80", 13), &a), -KT_ERR_INVALID);
}

/* ---- bytes ---- */

static int body_echo(void *arg)
{
    (void)arg;
    struct rt_sock a, b;
    char buf[64];
    make_pair(&a, &b);
    CHECK_EQ(rt_recv_now(&b, buf, sizeof(buf)), -KT_ERR_AGAIN);
    CHECK_EQ(rt_recv(&b, buf, sizeof(buf), rt_after_ms(2)), -KT_ERR_TIMEOUT);
    send_text(&a, "ping");
    CHECK_EQ(rt_recv(&b, buf, sizeof(buf), rt_after_ms(5000)), 4);
    CHECK(memcmp(buf, "ping", 4) == 0);
    send_text(&b, "long answer");
    CHECK_EQ(rt_recv(&a, buf, 4, rt_after_ms(5000)), 4);
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5000)), 7);
    CHECK_EQ(rt_shutdown(&a), 0);
    CHECK_EQ(rt_recv(&b, buf, sizeof(buf), rt_after_ms(5000)), 0);
    send_text(&b, "half open");
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5000)), 9);
    rt_close(&b);
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5000)), 0);
    rt_close(&a);
    rt_close(&a);
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), RT_NEVER), -KT_ERR_CLOSED);
    CHECK_EQ(rt_recv_now(&a, buf, sizeof(buf)), -KT_ERR_CLOSED);
    CHECK_EQ(rt_shutdown(&a), -KT_ERR_CLOSED);
    return 0;
}

static void bytes_go_both_ways(void **state)
{
    (void)state;
    run_on(1, body_echo, NULL);
}

enum { BIG = 8 << 20 };

static int send_big(void *arg)
{
    uint8_t *data = malloc(BIG);
    CHECK(data);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (uint8_t)(i * 31 >> 7);
    struct iovec v[3] = {{data, 1000}, {data + 1000, 0}, {data + 1000, BIG - 1000}};
    CHECK_EQ(rt_sendv(arg, v, 3, rt_after_ms(20000)), 0);
    CHECK_EQ(rt_shutdown(arg), 0);
    free(data);
    return 0;
}

static int body_big(void *arg)
{
    (void)arg;
    struct rt_sock a, b;
    static uint8_t buf[50000];
    make_pair(&a, &b);
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, send_big, &a), 0);
    CHECK_EQ(rt_sleep_until(rt_after_ms(5)), 0); /* the sender fills the buffers and waits */
    size_t at = 0;
    for (;;) {
        ssize_t n = rt_recv(&b, buf, sizeof(buf), rt_after_ms(20000));
        CHECK(n >= 0);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++, at++)
            CHECK(buf[i] == (uint8_t)(at * 31 >> 7));
    }
    CHECK_EQ(at, BIG);
    CHECK_EQ(rt_group_wait(&g, 0), 0);
    rt_close(&a);
    rt_close(&b);
    return 0;
}

static void partial_sends_are_continued(void **state)
{
    (void)state;
    run_on(1, body_big, NULL);
}

static int body_send_timeout(void *arg)
{
    (void)arg;
    struct rt_sock a, b;
    static char block[1 << 20];
    make_pair(&a, &b);
    int rc = 0;
    for (int i = 0; i < 64 && rc == 0; i++) {
        struct iovec v = {block, sizeof(block)};
        rc = rt_sendv(&a, &v, 1, rt_after_ms(20));
    }
    CHECK_EQ(rc, -KT_ERR_TIMEOUT);
    rt_close(&b); /* unread bytes: the peer is reset */
    struct iovec v = {block, sizeof(block)};
    CHECK_EQ(rt_sendv(&a, &v, 1, rt_after_ms(5000)), -KT_ERR_CLOSED);
    rt_close(&a);
    return 0;
}

static void sends_end_at_their_deadline(void **state)
{
    (void)state;
    run_on(1, body_send_timeout, NULL);
}

/* ---- parking ---- */

struct conn {
    struct rt_sock sock;
    int served, hangups;
};

static void conn_ready(struct rt_sock *s);

static int conn_serve(void *arg)
{
    struct conn *c = arg;
    char buf[64];
    ssize_t n = rt_recv_now(&c->sock, buf, sizeof(buf));
    if (n == 0) {
        c->hangups++;
        rt_close(&c->sock);
        return 0;
    }
    CHECK(n > 0);
    c->served++;
    struct iovec v = {buf, (size_t)n};
    CHECK_EQ(rt_sendv(&c->sock, &v, 1, rt_after_ms(5000)), 0);
    return rt_park(&c->sock, conn_ready);
}

static void conn_ready(struct rt_sock *s)
{
    CHECK(!rt_may_yield());
    CHECK_EQ(rt_go_root(conn_serve, KT_CONTAINER_OF(s, struct conn, sock)), 0);
}

static int body_park(void *arg)
{
    (void)arg;
    struct rt_sock a;
    struct conn c = {.served = 0};
    char buf[64];
    make_pair(&a, &c.sock);
    CHECK_EQ(rt_park(&c.sock, conn_ready), 0);
    for (int i = 0; i < 50; i++) {
        send_text(&a, "request");
        CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5000)), 7);
    }
    CHECK_EQ(c.served, 50);
    CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0); /* it parks again */

    rt_unpark(&c.sock);
    send_text(&a, "unseen");
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5)), -KT_ERR_TIMEOUT);
    CHECK_EQ(c.served, 50);
    CHECK_EQ(rt_park(&c.sock, conn_ready), 0); /* what came meanwhile is not lost */
    CHECK_EQ(rt_recv(&a, buf, sizeof(buf), rt_after_ms(5000)), 6);
    CHECK_EQ(c.served, 51);

    rt_close(&a);
    for (int i = 0; i < 1000 && c.hangups == 0; i++)
        CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    CHECK_EQ(c.hangups, 1);
    CHECK_EQ(c.sock.handle, -1);
    return 0;
}

static void parked_sockets_serve_on_input(void **state)
{
    (void)state;
    run_on(1, body_park, NULL);
}

/* The first parked connection that becomes readable closes the others and frees them: their events
 * of the same turn must be dropped. */
enum { MANY = 8 };
static struct conn *many[MANY];
static int many_called;

static void close_all(struct rt_sock *s)
{
    (void)s;
    many_called++;
    for (int i = 0; i < MANY; i++) {
        rt_close(&many[i]->sock);
        memset(many[i], 0xee, sizeof(*many[i]));
        free(many[i]);
    }
}

static int body_close_in_turn(void *arg)
{
    (void)arg;
    struct rt_sock a[MANY];
    for (int i = 0; i < MANY; i++) {
        many[i] = calloc(1, sizeof(*many[i]));
        CHECK(many[i]);
        make_pair(&a[i], &many[i]->sock);
        CHECK_EQ(rt_park(&many[i]->sock, close_all), 0);
    }
    for (int i = 0; i < MANY; i++)
        send_text(&a[i], "x");
    CHECK_EQ(rt_sleep_until(rt_after_ms(5)), 0);
    CHECK_EQ(many_called, 1);
    for (int i = 0; i < MANY; i++)
        rt_close(&a[i]);
    return 0;
}

static void closing_drops_events_of_the_turn(void **state)
{
    (void)state;
    run_on(1, body_close_in_turn, NULL);
}

/* ---- closing under a waiter ---- */

static int recv_forever(void *arg)
{
    char buf[8];
    return (int)rt_recv(arg, buf, sizeof(buf), RT_NEVER);
}

static int accept_forever(void *arg)
{
    struct rt_sock s;
    return rt_accept(arg, &s, NULL, RT_NEVER);
}

static int body_close_waiter(void *arg)
{
    (void)arg;
    for (int data_first = 0; data_first < 2; data_first++) {
        struct rt_sock a, *b = malloc(sizeof(*b));
        CHECK(b);
        make_pair(&a, b);
        struct rt_group g;
        rt_group_open(&g);
        CHECK_EQ(rt_go(&g, recv_forever, b), 0);
        rt_yield();
        if (data_first) {
            send_text(&a, "x");
            usleep(1000); /* the event and the close meet in one turn */
        }
        rt_close(b);
        memset(b, 0xee, sizeof(*b));
        free(b);
        CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CLOSED);
        rt_close(&a);
    }
    struct rt_sock listener;
    struct rt_addr addr;
    listen_any(&listener, &addr);
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, accept_forever, &listener), 0);
    rt_yield();
    rt_close(&listener);
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CLOSED);
    return 0;
}

static void close_wakes_the_waiter(void **state)
{
    (void)state;
    run_on(1, body_close_waiter, NULL);
}

static int body_cancel_recv(void *arg)
{
    (void)arg;
    struct rt_sock a, b;
    char buf[8];
    make_pair(&a, &b);
    struct rt_group g;
    rt_group_open(&g);
    CHECK_EQ(rt_go(&g, recv_forever, &b), 0);
    rt_yield();
    rt_group_cancel(&g);
    CHECK_EQ(rt_group_wait(&g, 0), -KT_ERR_CANCELED);
    send_text(&a, "x"); /* the socket is as good as before */
    CHECK_EQ(rt_recv(&b, buf, sizeof(buf), rt_after_ms(5000)), 1);
    rt_close(&a);
    rt_close(&b);
    return 0;
}

static void cancel_leaves_the_socket_usable(void **state)
{
    (void)state;
    run_on(1, body_cancel_recv, NULL);
}

/* ---- errors of connecting and accepting ---- */

static int body_refused(void *arg)
{
    (void)arg;
    struct rt_sock listener, s;
    struct rt_addr addr;
    listen_any(&listener, &addr);
    struct rt_sock second;
    CHECK_EQ(rt_listen(&addr, &second), -KT_ERR_CONFLICT);
    CHECK_EQ(rt_accept(&listener, &s, NULL, rt_after_ms(1)), -KT_ERR_TIMEOUT);
    rt_close(&listener);
    int rc = rt_connect(&addr, &s, rt_after_ms(5000));
    CHECK(rc < 0 && rc != -KT_ERR_TIMEOUT);
    CHECK(strstr(err_text(rc), "connect to 127.0.0.1:") != NULL);
    return 0;
}

static void refusals_are_named(void **state)
{
    (void)state;
    run_on(1, body_refused, NULL);
}

static int body_out_of_fds(void *arg)
{
    (void)arg;
    struct rt_sock listener, client, s;
    struct rt_addr addr;
    listen_any(&listener, &addr);
    CHECK_EQ(rt_connect(&addr, &client, rt_after_ms(5000)), 0);
    struct rlimit old, low;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(next >= 0);
    close(next);
    low = (struct rlimit){(rlim_t)next, old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    CHECK_EQ(rt_accept(&listener, &s, NULL, rt_after_ms(5000)), -KT_ERR_LIMIT);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(rt_accept(&listener, &s, NULL, rt_after_ms(5000)), 0);
    rt_close(&s);
    rt_close(&client);
    rt_close(&listener);
    return 0;
}

static void no_descriptors_is_a_limit(void **state)
{
    (void)state;
    run_on(1, body_out_of_fds, NULL);
}

/* ---- several loops ---- */

static struct rt_sock shared_listener[3];

static int listen_here(void *arg)
{
    return rt_listen(arg, &shared_listener[rt_loop_index()]);
}

static int close_here(void *arg)
{
    (void)arg;
    rt_close(&shared_listener[rt_loop_index()]);
    return 0;
}

static int body_reuse(void *arg)
{
    (void)arg;
    struct rt_addr a;
    CHECK_EQ(rt_addr_parse(slice_str("[::1]:0"), &a), 0);
    CHECK_EQ(rt_listen(&a, &shared_listener[0]), 0);
    CHECK_EQ(rt_sock_local(&shared_listener[0], &a), 0);
    for (int i = 1; i < 3; i++)
        CHECK_EQ(rt_call_on(i, listen_here, &a), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rt_call_on(i, close_here, NULL), 0);
    return 0;
}

static void loops_share_a_port(void **state)
{
    (void)state;
    run_on(3, body_reuse, NULL);
}

/* SO_REUSEPORT alone would let a second server in silently. */
static int body_taken(void *arg)
{
    (void)arg;
    struct rt_addr a;
    struct rt_sock s;
    CHECK_EQ(rt_addr_parse(slice_str("127.0.0.1:0"), &a), 0);
    int foreign = rt_backend_linux.net_listen(NULL, &a, 1, true);
    CHECK(foreign >= 0);
    CHECK_EQ(rt_backend_linux.net_local(NULL, foreign, &a), 0);
    CHECK_EQ(rt_listen(&a, &s), -KT_ERR_CONFLICT);
    close(foreign);
    return 0;
}

static void a_foreign_shared_port_is_refused(void **state)
{
    (void)state;
    run_on(2, body_taken, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_round_trip),
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(partial_sends_are_continued),
        cmocka_unit_test(sends_end_at_their_deadline),
        cmocka_unit_test(parked_sockets_serve_on_input),
        cmocka_unit_test(closing_drops_events_of_the_turn),
        cmocka_unit_test(close_wakes_the_waiter),
        cmocka_unit_test(cancel_leaves_the_socket_usable),
        cmocka_unit_test(refusals_are_named),
        cmocka_unit_test(no_descriptors_is_a_limit),
        cmocka_unit_test(loops_share_a_port),
        cmocka_unit_test(a_foreign_shared_port_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
