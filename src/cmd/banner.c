/* banner: see banner.h. */
#include "cmd/banner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A word for a shell: quoted when it holds anything unusual. */
static void print_word(const char *s)
{
    if (*s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-+:") ==
                  strlen(s)) {
        fputs(s, stdout);
        return;
    }
    putchar('\'');
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*s);
    }
    putchar('\'');
}

/* The address as a client on this machine would write it: "any" becomes the loopback. */
static void reachable(const struct rt_addr *a, char out[RT_ADDR_TEXT_MAX])
{
    static const uint8_t any4[16] = {[10] = 0xff, [11] = 0xff}, any6[16] = {0};
    struct rt_addr b = *a;
    if (memcmp(a->ip, any4, sizeof(any4)) == 0)
        memcpy(b.ip + 12, "\x7f\0\0\1", 4);
    else if (memcmp(a->ip, any6, sizeof(any6)) == 0)
        b.ip[15] = 1;
    rt_addr_format(&b, out);
}

static void print_lines(const struct banner *b, const char *at)
{
    printf("\npaste this:\n  K=\"Authorization: Bearer $(");
    print_word(program_invocation_name);
    fputs(" keys show ", stdout);
    print_word(b->dir);
    fputs(")\"\n", stdout);
    printf("  curl -sSH \"$K\" -T /etc/hostname 'http://%s/blob?bucket=%s' | tee answer   # store "
           "a file\n",
           at, b->bucket);
    printf("  curl -sS \"http://%s/blob/$(sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/' answer)\"   # "
           "read it back\n",
           at);
    printf("  tar c . | curl -sSH \"$K\" -T- 'http://%s/batch?bucket=%s'   # store a directory\n",
           at, b->bucket);
    printf("  ");
    print_word(program_invocation_name);
    fputs(" status ", stdout);
    print_word(b->dir);
    fputs("   # how is it?\n", stdout);
}

void banner_print(const struct banner *b)
{
    char at[RT_ADDR_TEXT_MAX];
    printf("kitten %s mini, data in %s", KITTEN_VERSION, b->dir);
    if (b->ndirs > 1)
        printf(" and %d more", b->ndirs - 1);
    printf(", ready in %.2f s\n  endpoint ", (double)b->started_in_ms / 1000);
    for (int i = 0; i < b->naddrs; i++) {
        rt_addr_format(&b->addrs[i], at);
        printf(" http://%s", at);
    }
    if (b->key && b->show_secret)
        printf("\n  key       %s\n  secret    %s   (shown once; kept in %s/" KEYS_FILE ")",
               b->key->access, b->key->secret, b->dir);
    else if (b->key)
        printf("\n  key       %s   (secret in %s/" KEYS_FILE ")", b->key->access, b->dir);
    printf("\n  bucket    %s\n", b->bucket);
    reachable(&b->addrs[0], at);
    print_lines(b, at);
    printf("\nCtrl-C stops.\n");
    fflush(stdout);
}
