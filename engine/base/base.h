/* base: what every room may use; knows nothing of streams.
 * The small faces <millrace/exact.h>, <millrace/hash.h>, <millrace/json.h> and
 * <millrace/expression.h> are implemented here too. */
#ifndef ENGINE_BASE_H
#define ENGINE_BASE_H

#include <millrace/record.h>
#include <millrace/status.h>
#include <millrace/text.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- Memory. Out of memory ends the process with a sentence: recovery is replay. ----------- */
void *mr_allocate(size_t bytes); /* zeroed                                       */
void *mr_reallocate(void *memory, size_t bytes);
char *mr_copy_text(const char *text);
struct mr_slice mr_copy_slice(struct mr_slice slice); /* the caller frees .data               */
#define mr_allocate_array(count, type) ((type *)mr_allocate_items((count), sizeof(type)))
void *mr_allocate_items(size_t count, size_t size); /* zeroed; the product is checked          */

/* An arena: take, take, reset. Keeps its memory between batches. */
struct mr_arena;
struct mr_arena *mr_arena_create(void);
void mr_arena_reset(struct mr_arena *arena);
void mr_arena_destroy(struct mr_arena *arena);
void *mr_arena_take(struct mr_arena *arena, size_t bytes); /* 64-byte aligned, not cleared     */

/* Growable bytes. A zeroed struct is empty. */
struct mr_buffer {
    char *data;
    size_t length, capacity;
};
void mr_buffer_reserve(struct mr_buffer *buffer, size_t extra); /* room for `extra` more bytes */
void mr_buffer_add(struct mr_buffer *buffer, const void *data, size_t length);
void mr_buffer_text(struct mr_buffer *buffer, const char *text);
void mr_buffer_format(struct mr_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mr_buffer_finish(struct mr_buffer *buffer); /* frees; the struct is empty again          */
static inline struct mr_slice mr_buffer_slice(const struct mr_buffer *buffer) {
    return (struct mr_slice){buffer->data ? buffer->data : "", buffer->length};
}

/* Little-endian numbers in bytes; both sides check their bounds through `mr_reader`. */
void mr_put_u32(struct mr_buffer *buffer, uint32_t x);
void mr_put_u64(struct mr_buffer *buffer, uint64_t x);
void mr_put_varint(struct mr_buffer *buffer, uint64_t x);
struct mr_bytes_reader {
    const uint8_t *at, *end;
    bool bad; /* set once, for good, when a read passes the end */
};
uint32_t mr_get_u32(struct mr_bytes_reader *reader);
uint64_t mr_get_u64(struct mr_bytes_reader *reader);
uint64_t mr_get_varint(struct mr_bytes_reader *reader);
struct mr_slice mr_get_bytes(struct mr_bytes_reader *reader, size_t length);

/* ---- Time. Adding saturates at the ends of int64, so that no event time can overflow. ------ */
#define MR_SECOND INT64_C(1000000000)
#define MR_NEVER  INT64_MIN                /* "no time yet": below every time */
int64_t mr_time_add(int64_t a, int64_t b); /* MR_NEVER stays; nothing else becomes it */

/* A clock: the real one, or one that a test sets. */
struct mr_clock {
    int64_t (*wall_ns)(const struct mr_clock *clock);   /* since 1970; may jump                  */
    int64_t (*steady_ns)(const struct mr_clock *clock); /* never goes back                     */
    int64_t virtual_ns;                                 /* both, for a virtual clock             */
};
extern const struct mr_clock mr_real_clock;
struct mr_clock mr_virtual_clock(int64_t start_ns); /* set .virtual_ns to move it */

/* ---- Text (see <millrace/text.h> too) ------------------------------------------------------- */
/* "250ms", "5s", "1.5h", "7d" (ns us ms s m h d). Rejects a missing unit, negatives, overflow. */
bool mr_parse_duration(struct mr_slice text, int64_t *ns);
/* "64KiB", "1GiB" (B KB MB GB KiB MiB GiB TiB). */
bool mr_parse_size(struct mr_slice text, int64_t *bytes);
/* "1kHz", "2MHz", "0.5Hz". */
bool mr_parse_rate(struct mr_slice text, double *hz);
const char *mr_format_size(int64_t bytes, char out[MR_TEXT_MAX]); /* "64 KiB", "1.5 GiB"     */
/* The nearest of `names` (ends with NULL) by edits, when near enough to be a slip; else NULL. */
const char *mr_nearest(const char *word, const char *const *names);

/* A property of a log's client: "security.protocol", "sasl_ssl". The value may be a secret. */
struct mr_property {
    const char *name, *value;
};

/* ---- Options (see <millrace/option.h>): scalars only, for job files and command lines alike -- */
struct mr_option;
/* Parses `text` as the option says and stores it in `options`. MR_REJECT with a sentence that
 * names what was expected: "expected a duration with a unit, such as 5s or 10m". Texts are copied
 * into `arena`. */
enum mr_status mr_option_parse(const struct mr_option *option, struct mr_slice text, void *options,
                               struct mr_arena *arena, struct mr_error *err);
/* Stores every fallback. */
void mr_option_defaults(const struct mr_option *table, void *options, struct mr_arena *arena);

/* ---- Expressions (see <millrace/expression.h>) ---------------------------------------------- */
struct mr_expression;
/* Finds a field by name: its slot and kind (MR_ABSENT: any scalar), or false. */
struct mr_scope {
    bool (*find)(void *arg, struct mr_slice name, uint16_t *slot, enum mr_kind *kind);
    void *arg;
};
/* Parses and checks types. MR_REJECT: *at is the byte in `text` where the fault lies. The tree
 * lives in `arena`. *kind: MR_BOOLEAN for a condition, MR_NUMBER, MR_F32 (any array), MR_TEXT, or
 * MR_ABSENT for a field alone that may be any scalar. */
enum mr_status mr_expression_parse(struct mr_slice text, const struct mr_scope *scope,
                                   struct mr_arena *arena, struct mr_expression **out,
                                   enum mr_kind *kind, size_t *at, struct mr_error *err);

/* ---- Diagnostics: one line on standard error, "millrace: ..." or "millrace: warning: ...".
 * Control characters other than line breaks and tabs are replaced. Thread: any. */
void mr_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mr_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
