/* macros: attributes, ownership helpers and sizes that every file uses.
 *
 * KT_MUST_CHECK marks functions whose result may not be dropped. KT_YIELDS marks functions that may
 * park the calling fiber: they may be called only on a fiber and never inside a no-yield section.
 * KT_CLEANUP(f) runs f(&var) at scope exit. TAKE(p) moves a pointer out, leaving NULL behind.
 */
#ifndef KT_BASE_MACROS_H
#define KT_BASE_MACROS_H

#define KT_MUST_CHECK __attribute__((warn_unused_result))
#define KT_PRINTF(fmt_index, arg_index) __attribute__((format(printf, fmt_index, arg_index)))
#define KT_NORETURN __attribute__((noreturn))
#define KT_LIKELY(x) __builtin_expect(!!(x), 1)
#define KT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define KT_YIELDS
#define KT_CLEANUP(fn) __attribute__((cleanup(fn)))
#define KT_UNUSED __attribute__((unused))

#define KT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define KT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KT_MAX(a, b) ((a) > (b) ? (a) : (b))

#define KT_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define TAKE(ptr)                                                                                  \
    ({                                                                                             \
        __typeof__(ptr) *take_at_ = &(ptr);                                                        \
        __typeof__(ptr) taken_ = *take_at_;                                                        \
        *take_at_ = NULL;                                                                          \
        taken_;                                                                                    \
    })

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

#endif
