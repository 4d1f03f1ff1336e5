/* conf_file: kitten.conf (INI, read by inih) and the environment.
 *
 * inih cuts lines at 200 bytes, takes an indented line for a continuation and cuts a value at " ;".
 * We refuse the first two with the line's number instead of reading something else than what was
 * written. */
#include "base/err.h"
#include "conf/conf.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX KIB(64)
#define LINE_MAX_BYTES 190
#define ENV_PREFIX "KITTEN_"

struct reading {
    struct conf *c;
    bool seen[CONF_PARAM_COUNT]; /* scalars set by this file */
    int rc;                      /* of the first bad line */
};

static int check_place(const char *section, const char *name, size_t i)
{
    if (*section && strcmp(section, conf_section(i)) != 0)
        return err_set(KT_ERR_INVALID, "%s belongs in the section [%s], not in [%.40s]", name,
                       conf_section(i), section);
    return 0;
}

static int set_line(struct reading *r, const char *section, const char *name, const char *value)
{
    const struct conf_param *p = conf_find(name);
    size_t i = 0;
    int rc = conf_set(r->c, CONF_FILE, name, value ? value : "");
    if (rc < 0 || !p)
        return rc;
    while (conf_param(i) != p)
        i++;
    rc = check_place(section, name, i);
    if (rc == 0 && r->seen[i] && p->type != CONF_TYPE_LIST)
        rc = err_set(KT_ERR_INVALID, "%s is set twice", name);
    r->seen[i] = true;
    return rc;
}

/* inih's callback: 0 marks the line as bad; it then goes on, but only the first bad line is told.
 */
static int on_line(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    if (r->rc == 0)
        r->rc = set_line(r, section, name, value);
    return r->rc == 0;
}

static int check_lines(struct slice text, const char *name)
{
    for (int line = 1; text.len; line++) {
        ptrdiff_t end = slice_find(text, '\n');
        struct slice row = slice_sub(text, 0, end < 0 ? text.len : (size_t)end);
        if (row.len > LINE_MAX_BYTES)
            return err_set(KT_ERR_INVALID, "%s:%d: longer than %d bytes", name, line,
                           LINE_MAX_BYTES);
        if (slice_find(row, 0) >= 0)
            return err_set(KT_ERR_INVALID, "%s:%d: a NUL byte", name, line);
        size_t indent = 0;
        while (indent < row.len && isspace(row.p[indent]))
            indent++;
        if (indent && indent < row.len && row.p[indent] != '#' && row.p[indent] != ';')
            return err_set(KT_ERR_INVALID,
                           "%s:%d: begins with a blank; start it in the first column", name, line);
        text = slice_sub(text, row.len + (end >= 0), text.len);
    }
    return 0;
}

int conf_load_text(struct conf *c, struct slice text, const char *name)
{
    if (text.len > FILE_MAX)
        return err_set(KT_ERR_TOO_LARGE, "%s is larger than %llu bytes", name,
                       (unsigned long long)FILE_MAX);
    int rc = check_lines(text, name);
    if (rc < 0)
        return rc;
    struct reading r = {.c = c};
    char *copy = mem_alloc(text.len + 1);
    if (text.len)
        memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    int line = ini_parse_string(copy, on_line, &r);
    mem_free(copy);
    if (r.rc < 0)
        return err_wrap(r.rc, "%s:%d", name, line);
    if (line > 0)
        return err_set(KT_ERR_INVALID, "%s:%d: neither 'name = value' nor '[section]'", name, line);
    if (line < 0)
        return err_set(KT_ERR_NO_MEMORY, "no memory to read %s", name);
    return 0;
}

int conf_load_file(struct conf *c, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_sys(errno, "open configuration file '%s'", path);
    struct buf text = BUF_INIT(FILE_MAX + 1);
    int rc = buf_reserve(&text, FILE_MAX + 1);
    if (rc == 0) {
        text.len = fread(text.p, 1, FILE_MAX + 1, f);
        if (ferror(f))
            rc = err_sys(errno, "read configuration file '%s'", path);
    }
    fclose(f);
    if (rc == 0)
        rc = conf_load_text(c, buf_slice(&text), path);
    buf_done(&text);
    return rc;
}

static int set_env(struct conf *c, const char *entry)
{
    static const char *const others[] = {"conf", "bug", "yes", "access_key", "secret_key"};
    char name[64];
    size_t i = 0;
    const char *at = entry + strlen(ENV_PREFIX);
    for (; *at && *at != '=' && i < sizeof(name) - 1; at++)
        name[i++] = (char)tolower((unsigned char)*at);
    name[i] = 0;
    if (*at != '=')
        return err_set(KT_ERR_INVALID, "environment: there is no parameter '%.40s...'", name);
    for (size_t k = 0; k < KT_ARRAY_LEN(others); k++)
        if (strcmp(name, others[k]) == 0)
            return 0;
    int rc = conf_set(c, CONF_ENV, name, at + 1);
    return rc < 0 ? err_wrap(rc, "environment: %.*s", (int)(at - entry), entry) : 0;
}

int conf_load_env(struct conf *c, char *const *env)
{
    for (; *env; env++) {
        int rc = strncmp(*env, ENV_PREFIX, strlen(ENV_PREFIX)) == 0 ? set_env(c, *env) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}
