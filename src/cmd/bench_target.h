/* bench_target: the servers that the load generator can speak to, as request heads.
 *
 * Three kinds. BLOB: kitten's blob API (POST /blob?bucket=B gives an id; GET and DELETE /blob/ID;
 * PUT /batch?bucket=B takes a tar). S3: any S3 endpoint, path style, keys made of prefix and index,
 * signed by SigV4 with UNSIGNED-PAYLOAD; signatures of reads and deletes are computed ahead. RAW:
 * plain PUT, GET and DELETE of PREFIX + key (nginx serving a tree, a WebDAV or filer server).
 *
 * Everything constant is formatted once; a head is a few copies. The struct is read-only after
 * target_start, so all loops share it; target_head never yields. S3 signatures carry the time of
 * target_start and servers refuse them 15 minutes later, so a run against S3 must be shorter.
 */
#ifndef KT_CMD_BENCH_TARGET_H
#define KT_CMD_BENCH_TARGET_H

#include "base/macros.h"
#include "base/slice.h"
#include "cmd/cmd.h"
#include "format/blobid.h"
#include "rt/rt.h"

enum target_kind { TARGET_BLOB, TARGET_S3, TARGET_RAW };
enum target_op { OP_PUT, OP_GET, OP_DELETE, OP_LIST, OP_BATCH, OP_COUNT };
extern const char *const target_op_names[OP_COUNT];

#define TARGET_HEAD_MAX 4096u
#define TARGET_TEXT_MAX 256u
#define TARGET_SIG_LEN 64u

/* One stored object as the generator knows it. */
struct bench_object {
    struct blobid id; /* BLOB */
    uint64_t index;   /* decides key, size and bytes */
    uint32_t size;
    uint32_t crc; /* CRC32C of its bytes */
};

struct bench_target {
    enum target_kind kind;
    struct rt_addr addr;
    char host[TARGET_TEXT_MAX]; /* Host field */
    char bucket[TARGET_TEXT_MAX];
    char prefix[TARGET_TEXT_MAX]; /* of keys; for RAW the whole path before the key */
    char access[TARGET_TEXT_MAX];
    char secret[TARGET_TEXT_MAX];
    char region[32];
    char start[OP_COUNT][TARGET_TEXT_MAX * 5]; /* request line up to the key, NUL-terminated */
    char fields[TARGET_TEXT_MAX * 3];          /* " HTTP/1.1" and all fields but the signature */
    char fields_get[TARGET_TEXT_MAX + 64];     /* the same of a blob's GET: its id is the right */
    char date[17];                             /* S3: YYYYMMDDTHHMMSSZ of all signatures */
    uint8_t signing_key[32];
};

/* Reads the options that all bench commands share (bench.h). Errors: INVALID. */
int target_init(const struct cmd_args *args, struct bench_target *ret) KT_MUST_CHECK;
/* Resolves the endpoint and starts the signatures' clock; on a fiber. */
int target_start(struct bench_target *t) KT_MUST_CHECK KT_YIELDS;
/* S3 only: the signature of one request, TARGET_SIG_LEN hex digits; for signing ahead. */
void target_sign(const struct bench_target *t, enum target_op op, const struct bench_object *o,
                 char *ret_sig);
/* Writes the request head for one object into `out` (TARGET_HEAD_MAX bytes); returns its length.
 * `body_len` is for requests with a body; `sig` is S3's from target_sign, NULL: signed now. */
size_t target_head(const struct bench_target *t, enum target_op op, const struct bench_object *o,
                   uint64_t body_len, const char *sig, char *out);
/* The statuses that mean success. */
bool target_status_ok(enum target_op op, int status);

#endif
