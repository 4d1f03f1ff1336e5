/* addr: addresses as text. IPv4 lives as ::ffff:a.b.c.d inside; the text forms are 1.2.3.4:80 and
 * [::1]:80. */
#include "rt/rt.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int parse_port(struct slice s, uint16_t *ret)
{
    uint32_t port = 0;
    if (s.len == 0 || s.len > 5)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        port = port * 10 + (uint32_t)(s.p[i] - '0');
    }
    if (port > UINT16_MAX)
        return -1;
    *ret = (uint16_t)port;
    return 0;
}

static int parse_ip(const char *host, bool v6, struct rt_addr *ret)
{
    if (v6)
        return inet_pton(AF_INET6, host, ret->ip) == 1 ? 0 : -1;
    memcpy(ret->ip, v4_prefix, sizeof(v4_prefix));
    return inet_pton(AF_INET, host, ret->ip + 12) == 1 ? 0 : -1;
}

int rt_addr_parse(struct slice s, struct rt_addr *ret)
{
    struct rt_addr a;
    char host[INET6_ADDRSTRLEN];
    bool v6 = s.len > 0 && s.p[0] == '[';
    size_t from = v6 ? 1 : 0;
    ptrdiff_t end = slice_find(s, v6 ? ']' : ':');
    size_t len = end > 0 ? (size_t)end - from : 0;
    size_t colon = from * 2 + len; /* behind the host and its brackets */
    if (len == 0 || len >= sizeof(host) || colon >= s.len || s.p[colon] != ':')
        goto bad;
    memcpy(host, s.p + from, len);
    host[len] = '\0';
    if (strlen(host) != len || parse_ip(host, v6, &a) < 0 ||
        parse_port(slice_sub(s, colon + 1, SIZE_MAX), &a.port) < 0)
        goto bad;
    *ret = a;
    return 0;
bad:
    return err_set(KT_ERR_INVALID, "address \"%.*s\": expected 127.0.0.1:9000 or [::1]:9000",
                   (int)KT_MIN(s.len, (size_t)80), (const char *)s.p);
}

void rt_addr_format(const struct rt_addr *a, char out[RT_ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        inet_ntop(AF_INET, a->ip + 12, host, sizeof(host));
        snprintf(out, RT_ADDR_TEXT_MAX, "%s:%u", host, a->port);
    } else {
        inet_ntop(AF_INET6, a->ip, host, sizeof(host));
        snprintf(out, RT_ADDR_TEXT_MAX, "[%s]:%u", host, a->port);
    }
}
